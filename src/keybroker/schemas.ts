/** The shapes on the wire; closed, all of them. @packageDocumentation */
import { Type } from '@fastify/type-provider-typebox'
import { MAX_EAR_LENGTH } from '../core/attestation-result/ear.ts'
import { KEY_PART } from '../core/keys/uri.ts'

const Closed = { additionalProperties: false } as const
const Part = Type.String({ pattern: `^${KEY_PART}$` })
const Seconds = Type.Integer({ minimum: 0, maximum: 253_402_300_799 })
const Nullable = Type.Union([Seconds, Type.Null()])
/** Read in full by its own parser: what it does not know is refused there. */
const AnyObject = Type.Object({}, { additionalProperties: true })
const Base64url = Type.String({ pattern: '^[A-Za-z0-9_-]*$', maxLength: 100_000 })

const Jwe = Type.Object(
  {
    protected: Base64url,
    encrypted_key: Base64url,
    iv: Base64url,
    ciphertext: Base64url,
    tag: Base64url,
  },
  Closed,
)

const Version = Type.Integer({ minimum: 1, maximum: 999_999_999 })

export const KeyParams = Type.Object({ ns: Part, type: Part, name: Part }, Closed)

const VERSION_ORDER = {
  material: Type.Optional(Jwe),
  not_before: Type.Optional(Seconds),
  not_after: Type.Optional(Seconds),
} as const

export const CreateBody = Type.Object(
  {
    ...VERSION_ORDER,
    policy: AnyObject,
    policy_immutable: Type.Optional(Type.Boolean()),
    max_releases: Type.Optional(Type.Integer({ minimum: 1 })),
    lease_seconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 31_536_000 })),
    labels: Type.Optional(
      Type.Record(
        Type.String({ pattern: '^[A-Za-z0-9_.-]{1,64}$' }),
        Type.String({ maxLength: 128 }),
        { maxProperties: 16, additionalProperties: false },
      ),
    ),
  },
  Closed,
)

export const RotateBody = Type.Object(
  { ...VERSION_ORDER, grace_seconds: Type.Optional(Seconds) },
  Closed,
)

export const VersionBody = Type.Object({ version: Version }, Closed)

export const DestroyBody = Type.Object(
  { version: Version, immediate: Type.Optional(Type.Boolean()) },
  Closed,
)

export const PolicyBody = Type.Object(
  { policy: AnyObject, immutable: Type.Optional(Type.Boolean()) },
  Closed,
)

export const ListQuery = Type.Object(
  {
    namespace: Type.Optional(Part),
    after: Type.Optional(Type.String({ maxLength: 256 })),
    limit: Type.Optional(Type.String({ pattern: '^[1-9][0-9]{0,2}$' })),
  },
  Closed,
)

export const ReleaseBody = Type.Object(
  {
    ear: Type.String({ minLength: 1, maxLength: MAX_EAR_LENGTH }),
    keyset: AnyObject,
    version: Type.Optional(Version),
  },
  Closed,
)

export const ReleaseAnswer = Type.Object(
  {
    jwe: Jwe,
    key: Type.Object({ uri: Type.String(), version: Type.Integer() }, Closed),
    lease: Type.Object({ id: Type.String(), expires_at: Type.Integer() }, Closed),
    log: Type.Object({ index: Type.Integer() }, Closed),
  },
  Closed,
)

export const KeyAnswer = Type.Object(
  {
    uri: Type.String(),
    created_at: Type.Integer(),
    policy: Type.Unknown(),
    policy_digest: Type.String(),
    policy_immutable: Type.Boolean(),
    max_releases: Nullable,
    lease_seconds: Type.Integer(),
    labels: Type.Record(Type.String(), Type.String()),
    versions: Type.Array(
      Type.Object(
        {
          version: Type.Integer(),
          state: Type.String(),
          created_at: Type.Integer(),
          not_before: Nullable,
          not_after: Nullable,
          destroy_at: Nullable,
          releases: Type.Integer(),
        },
        Closed,
      ),
    ),
  },
  Closed,
)

export const ListAnswer = Type.Object(
  { keys: Type.Array(KeyAnswer), next: Type.Union([Type.String(), Type.Null()]) },
  Closed,
)

export const ImportKeyAnswer = Type.Object(
  { kty: Type.String(), crv: Type.String(), x: Type.String(), y: Type.String() },
  Closed,
)
