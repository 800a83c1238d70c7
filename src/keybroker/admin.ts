/**
 * What operators do with keys. Every change is a leaf first and takes effect second; two operators
 * who change one key at the same time are told so.
 *
 * @packageDocumentation
 */

import { toHex } from '../core/bytes/hex.ts'
import { canonicalBytes, type Json } from '../core/encoding/canonical-json.ts'
import { VouchsafeError } from '../core/errors.ts'
import {
  parseReleasePolicy,
  releasePolicyDigest,
  releasePolicyToJson,
} from '../core/keys/release-policy.ts'
import { type KeyId, keyUri, keyVersionUri } from '../core/keys/uri.ts'
import type { StoredKey, StoredRequest, StoredVersion } from '../core/ports/keybroker-store.ts'
import type { KeyLeaf } from '../core/tlog/leaf.ts'
import type { Material } from './material.ts'
import { createMutex } from './mutex.ts'
import { type KeyBrokerParts, secondsOf } from './parts.ts'
import type { Recorder } from './recorder.ts'
import { type KeyView, viewOf } from './views.ts'

/** What a new version is. */
export interface VersionOrder {
  /** JWE to the import key; made here if absent. */
  readonly material?: unknown
  readonly notBefore: number | null
  readonly notAfter: number | null
}

/** What a new key is. */
export interface KeyOrder extends VersionOrder {
  readonly policy: Json
  readonly policyImmutable: boolean
  readonly maxReleases: number | null
  readonly leaseSeconds: number
  readonly labels: Readonly<Record<string, string>>
}

/** So that a request whose answer was lost can be sent again. */
export interface Idempotency {
  /** Whose request it is, and what they call it. */
  readonly id: string
  /** Everything that was asked. */
  readonly asked: Json
}

/** Administration of keys. Who may is decided before. */
export interface KeyAdmin {
  /**
   * @throws {@link VouchsafeError} `ERR_RESOURCE_CONFLICT` if there is such a key, or another request
   *   had this `idempotency.id`; `ERR_POLICY_INVALID`, `ERR_REQUEST_INVALID`, `ERR_KEY_UNWRAP_FAILED`,
   *   `ERR_LOG_UNAVAILABLE`.
   */
  create(id: KeyId, order: KeyOrder, idempotency: Idempotency | undefined): Promise<KeyView>
  /**
   * Adds a version.
   *
   * @param graceSeconds - The versions before it end after so many seconds; `undefined` leaves them.
   */
  rotate(
    id: KeyId,
    order: VersionOrder & { readonly graceSeconds: number | undefined },
    idempotency: Idempotency | undefined,
  ): Promise<KeyView>
  /** Enabling also takes a destruction back, while it is pending. */
  setState(id: KeyId, version: number, state: 'enabled' | 'disabled'): Promise<KeyView>
  /** Destroys a version after the waiting period, or at once. */
  destroy(id: KeyId, version: number, immediately: boolean): Promise<KeyView>
  setPolicy(id: KeyId, policy: Json, immutable: boolean): Promise<KeyView>
  /** @throws {@link VouchsafeError} `ERR_KEY_NOT_FOUND`. */
  get(id: KeyId): Promise<KeyView>
  list(query: {
    readonly namespaces: readonly string[] | undefined
    readonly after: string | undefined
    readonly limit: number
  }): Promise<readonly KeyView[]>
  /** Destroys what has waited long enough. To be called now and then. */
  sweep(): Promise<void>
}

const PAGE = 100

type Change = Omit<StoredKey, 'revision'>

/** Administration over these parts. */
export function createKeyAdmin(
  parts: KeyBrokerParts,
  recorder: Recorder,
  material: Material,
): KeyAdmin {
  const { keys } = parts
  const inTurn = createMutex()
  const editor: Editor = { parts, recorder, material }
  const edit = async (
    id: KeyId,
    change: (key: StoredKey, now: number) => Promise<Edit>,
    idempotency?: Idempotency,
  ): Promise<KeyView> =>
    inTurn(keyUri(id), async () =>
      once(parts, idempotency, async (digest) => {
        const now = secondsOf(parts.now())
        const key = await found(parts, id)
        const edited = await change(key, now)
        return apply(
          editor,
          { ...edited, revision: key.revision + 1, now },
          { idempotency, digest },
        )
      }),
    )
  return {
    create: async (id, order, idempotency) =>
      inTurn(keyUri(id), async () =>
        once(parts, idempotency, async (digest) => {
          const now = secondsOf(parts.now())
          const edited = await newKey(editor, { id, order, now })
          return apply(editor, { ...edited, revision: 1, now }, { idempotency, digest })
        }),
      ),
    rotate: async (id, order, idempotency) =>
      edit(id, async (key, now) => rotated(editor, { key, order, now }), idempotency),
    setState: async (id, version, state) => edit(id, async (key) => switched(key, version, state)),
    destroy: async (id, version, immediately) =>
      edit(id, async (key, now) => {
        const wait = immediately ? 0 : parts.limits.destructionWaitSeconds
        return destroyed(key, version, { at: now + wait, now })
      }),
    setPolicy: async (id, policy, immutable) =>
      edit(id, async (key) => {
        if (key.policyImmutable) throw conflict('key.policy_immutable', 'can never be changed')
        const parsed = await readPolicy(parts, policy)
        return { key: { ...key, ...parsed, policyImmutable: immutable }, ...newest(key, 'policy') }
      }),
    get: async (id) => viewOf(await found(parts, id)),
    list: async (query) => (await keys.list(query)).map(viewOf),
    sweep: async () => {
      for await (const { id, version } of dueVersions(parts)) {
        await edit(id, async (key, now) => destroyed(key, version, { at: now, now }))
      }
    },
  }
}

interface Editor {
  readonly parts: KeyBrokerParts
  readonly recorder: Recorder
  readonly material: Material
}

/** A key as it shall be, and what the log is told. */
interface Edit {
  readonly key: Change
  readonly version: number
  readonly action: KeyLeaf['action']
}

/** The answer of an earlier request of this name, or what `work` does now. */
async function once(
  { keys, hasher, now }: KeyBrokerParts,
  idempotency: Idempotency | undefined,
  work: (digest: string) => Promise<KeyView>,
): Promise<KeyView> {
  if (idempotency === undefined) return work('')
  const digest = `sha256:${toHex(await hasher.digest('SHA-256', bytesOf(idempotency)))}`
  const earlier = await keys.request(idempotency.id, secondsOf(now()))
  if (earlier === undefined) return work(digest)
  if (earlier.digest === digest) return earlier.response as unknown as KeyView
  throw conflict('request.idempotency_key', 'was used for another request')
}

function bytesOf({ asked }: Idempotency): Uint8Array {
  try {
    return canonicalBytes(asked)
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause
    const blame = { code: 'ERR_REQUEST_INVALID', at: 'body' } as const
    throw new VouchsafeError(blame, 'only integers and well-formed text', { cause })
  }
}

/** Leaf first, then the store. */
async function apply(
  { parts, recorder }: Editor,
  {
    key,
    version,
    action,
    revision,
    now,
  }: Edit & { readonly revision: number; readonly now: number },
  { idempotency, digest }: { idempotency: Idempotency | undefined; digest: string },
): Promise<KeyView> {
  const changed: StoredKey = { ...key, revision }
  await recorder.record([canonicalBytes(key.policy)], () => ({
    v: 1,
    type: 'key',
    time: now,
    key: keyUri(key.id),
    version,
    action,
    policy: key.policyDigest,
  }))
  const view = viewOf(changed)
  const request = idempotency && requestOf(parts, { id: idempotency.id, digest, now }, view)
  if (!(await parts.keys.save(changed, request))) throw conflict('key', 'changed in between')
  return view
}

function requestOf(
  { limits }: KeyBrokerParts,
  { id, digest, now }: { readonly id: string; readonly digest: string; readonly now: number },
  view: KeyView,
): StoredRequest {
  const response = view as unknown as Json
  return { id, digest, response, at: now, expiresAt: now + limits.idempotencySeconds }
}

async function newKey(
  editor: Editor,
  { id, order, now }: { readonly id: KeyId; readonly order: KeyOrder; readonly now: number },
): Promise<Edit> {
  const { parts } = editor
  if ((await parts.keys.find(id)) !== undefined) throw conflict('key', 'exists already')
  const policy = await readPolicy(parts, order.policy)
  const first = await newVersion(editor, { id, version: 1 }, { order, now })
  const { policyImmutable, maxReleases, leaseSeconds, labels } = order
  const terms = { policyImmutable, maxReleases, leaseSeconds, labels }
  const key = { id, createdAt: now, ...policy, ...terms, versions: [first] }
  return { key, version: 1, action: 'create' }
}

async function rotated(
  editor: Editor,
  {
    key,
    order,
    now,
  }: {
    readonly key: StoredKey
    readonly order: VersionOrder & { readonly graceSeconds: number | undefined }
    readonly now: number
  },
): Promise<Edit> {
  const { maxVersions } = editor.parts.limits
  if (key.versions.length >= maxVersions) throw conflict('key.versions', `at most ${maxVersions}`)
  const version = (key.versions.at(-1)?.version ?? 0) + 1
  const next = await newVersion(editor, { id: key.id, version }, { order, now })
  const end = order.graceSeconds === undefined ? undefined : now + order.graceSeconds
  const before = key.versions.map((one) =>
    end === undefined ? one : { ...one, notAfter: Math.min(one.notAfter ?? end, end) },
  )
  return { key: { ...key, versions: [...before, next] }, version, action: 'rotate' }
}

async function newVersion(
  { parts, material }: Editor,
  { id, version }: { readonly id: KeyId; readonly version: number },
  { order, now }: { readonly order: VersionOrder; readonly now: number },
): Promise<StoredVersion> {
  const { notBefore, notAfter } = order
  if (notBefore !== null && notAfter !== null && notBefore >= notAfter) {
    const blame = { code: 'ERR_REQUEST_INVALID', at: 'body.not_after' } as const
    throw new VouchsafeError(blame, 'not after not_before')
  }
  const taken = await material.take(id, order.material)
  try {
    const wrapped = await parts.kek.wrap(taken, keyVersionUri({ ...id, version }))
    const bounds = { notBefore, notAfter, destroyAt: null }
    return { version, state: 'enabled', createdAt: now, ...bounds, wrapped, releases: 0 }
  } finally {
    // Best effort: the runtime may have copied it.
    taken.fill(0)
  }
}

function switched(key: StoredKey, version: number, state: 'enabled' | 'disabled'): Edit {
  const changed = change(key, version, (one) => ({ ...one, state, destroyAt: null }))
  return { key: changed, version, action: state === 'enabled' ? 'enable' : 'disable' }
}

function destroyed(
  key: StoredKey,
  version: number,
  { at, now }: { readonly at: number; readonly now: number },
): Edit {
  const gone = { state: 'destroyed', destroyAt: null, wrapped: null } as const
  const pending = { state: 'pending-destruction', destroyAt: at } as const
  const changed = change(key, version, (one) => ({ ...one, ...(at <= now ? gone : pending) }))
  return { key: changed, version, action: 'destroy' }
}

/** Nothing brings a destroyed version back. */
function change(
  key: StoredKey,
  version: number,
  to: (one: StoredVersion) => StoredVersion,
): Change {
  const old = key.versions.find((one) => one.version === version)
  if (old === undefined) throw notFound()
  if (old.state === 'destroyed') throw conflict('key.state', 'destroyed')
  return { ...key, versions: key.versions.map((one) => (one === old ? to(one) : one)) }
}

async function readPolicy(
  { hasher }: KeyBrokerParts,
  value: Json,
): Promise<Pick<StoredKey, 'policy' | 'policyDigest'>> {
  const policy = parseReleasePolicy(value)
  const policyDigest = await releasePolicyDigest(policy, hasher)
  return { policy: releasePolicyToJson(policy), policyDigest }
}

async function* dueVersions({
  keys,
  now,
}: KeyBrokerParts): AsyncGenerator<{ readonly id: KeyId; readonly version: number }> {
  let after: string | undefined
  for (;;) {
    const page = await keys.list({ namespaces: undefined, after, limit: PAGE })
    for (const { id, versions } of page) {
      for (const { version, destroyAt } of versions) {
        if (destroyAt !== null && destroyAt <= secondsOf(now())) yield { id, version }
      }
    }
    const last = page.at(-1)
    if (last === undefined || page.length < PAGE) return
    after = keyUri(last.id)
  }
}

function newest(key: StoredKey, action: 'policy'): Pick<Edit, 'version' | 'action'> {
  return { version: key.versions.at(-1)?.version ?? 1, action }
}

async function found({ keys }: KeyBrokerParts, id: KeyId): Promise<StoredKey> {
  const key = await keys.find(id)
  if (key === undefined) throw notFound()
  return key
}

function notFound(): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_KEY_NOT_FOUND', at: 'key' }, 'no such key or version')
}

function conflict(at: string, detail: string): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_RESOURCE_CONFLICT', at }, detail)
}
