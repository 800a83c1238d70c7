/** The whole configuration file, and the one that `--dev` stands for. @packageDocumentation */
import { dirname, resolve } from 'node:path'
import { type Static, Type } from 'typebox'
import { VouchsafeError } from '../core/errors.ts'
import { readTextWithin } from '../drivers/files/read.ts'
import { GatewaySettings } from '../gateway/config.ts'
import { DEFAULT_LIMITS as KEYBROKER_LIMITS } from '../keybroker/config.ts'
import { CLOSED, readConfig } from '../server/config.ts'
import { DEFAULT_LIMITS } from '../server/limits.ts'
import { VerifierConfig } from '../verifier/config.ts'

const ROLES = ['verifier', 'keybroker', 'log', 'gateway'] as const
export type Role = (typeof ROLES)[number]

/** Port of the service unless configured otherwise. */
const DEFAULT_PORT = 8420
const MAX_CONFIG_BYTES = 1024 * 1024

const count = (fallback: number, description: string, most = 2 ** 31 - 1) =>
  Type.Integer({ default: fallback, minimum: 1, maximum: most, description })

const Limits = Type.Object(
  {
    bodyBytes: count(
      DEFAULT_LIMITS.bodyBytes,
      'Bytes of a request body, unless its route differs.',
    ),
    headerBytes: count(DEFAULT_LIMITS.headerBytes, 'Bytes of all headers of a request.'),
    requestTimeoutMs: count(DEFAULT_LIMITS.requestTimeoutMs, 'Time to receive a whole request.'),
    keepAliveTimeoutMs: count(DEFAULT_LIMITS.keepAliveTimeoutMs, 'Time an idle connection lives.'),
    idleTimeoutMs: count(
      DEFAULT_LIMITS.idleTimeoutMs,
      'Time in which nothing moves on a connection at work, such as a caller who does not read.',
    ),
    maxConnections: count(DEFAULT_LIMITS.maxConnections, 'Open connections.'),
    maxInFlight: count(DEFAULT_LIMITS.maxInFlight, 'Requests at work before new ones get 503.'),
    maxLoopDelayMs: count(DEFAULT_LIMITS.maxLoopDelayMs, 'Event-loop delay before 503.'),
  },
  { ...CLOSED, default: {} },
)

const Log = Type.Object(
  {
    origin: Type.String({
      default: 'vouchsafe.localhost/log',
      pattern: '^[^\\s+]{1,128}$',
      description: 'Name of the log and its keys: its URL without scheme. Fixed for its lifetime.',
    }),
    create: Type.Boolean({
      default: true,
      description:
        'Whether a new log may begin. Turn off afterwards: a lost disk is then an error.',
    }),
    waitMs: count(5_000, 'How long an append or a proof may take before it is refused.'),
    publishEveryMs: count(100, 'Between two checkpoints, under load.'),
  },
  { ...CLOSED, default: {} },
)

const TrustedVerifier = Type.Object(
  {
    issuer: Type.String({ minLength: 1, maxLength: 256, description: '`iss` of its EARs.' }),
    jwks: Type.String({ description: 'File with its JWK set. Keys are never taken from a token.' }),
  },
  CLOSED,
)

const SecretFile = (description: string) => Type.Optional(Type.String({ description }))

const KeyBroker = Type.Object(
  {
    logTimeoutMs: count(
      KEYBROKER_LIMITS.logTimeoutMs,
      'How long a release may wait for the log; then it fails and nothing was released.',
    ),
    destructionWaitSeconds: count(
      KEYBROKER_LIMITS.destructionWaitSeconds,
      'Between the order to destroy a key version and its end.',
    ),
    idempotencySeconds: count(
      KEYBROKER_LIMITS.idempotencySeconds,
      'How long an `Idempotency-Key` is remembered.',
    ),
    maxVersions: count(KEYBROKER_LIMITS.maxVersions, 'Versions of one key.'),
    ratePerMinute: count(600, 'Releases asked for, per peer address and minute.'),
    kekPassphrase: SecretFile('File (0600) with the passphrase over the key-encryption key.'),
  },
  { ...CLOSED, default: {} },
)

/** `vouchsafe.json`. Relative paths are relative to the file. */
export const ServiceConfig = Type.Object(
  {
    $schema: Type.Optional(Type.String()),
    mode: Type.Enum(['production', 'development'], {
      default: 'production',
      description: 'Production refuses simulated evidence and every policy for it.',
    }),
    roles: Type.Array(Type.Enum([...ROLES]), {
      default: [...ROLES],
      minItems: 1,
      uniqueItems: true,
      description: 'What this process does.',
    }),
    listen: Type.Object(
      {
        host: Type.String({ default: '127.0.0.1', minLength: 1, description: 'Address to bind.' }),
        port: Type.Integer({
          default: DEFAULT_PORT,
          minimum: 0,
          maximum: 65_535,
          description: '0 picks a free one.',
        }),
      },
      { ...CLOSED, default: {} },
    ),
    publicUrl: Type.Optional(
      Type.String({
        pattern: '^https?://[^\\s?#]+$',
        description: 'Where clients reach this service, if not at `listen`.',
      }),
    ),
    dataDirectory: Type.String({
      default: 'vouchsafe-data',
      minLength: 1,
      description: 'Everything that must survive; mode 0700.',
    }),
    logLevel: Type.Enum(['debug', 'info', 'warn', 'error', 'silent'], {
      default: 'info',
      description: 'Of the process, as JSON lines on standard error.',
    }),
    shutdownSeconds: count(15, 'How long requests at work may take to end after SIGTERM.', 3600),
    operators: SecretFile('File (0600) of who may administer keys, see docs/configuration.md.'),
    providerTokens: SecretFile(
      'File (0600) of tokens of those who register enclaves: one a line, or `sha256:<hex>` of it.',
    ),
    trustedVerifiers: Type.Array(TrustedVerifier, {
      default: [],
      description: 'Verifiers besides the one of this process whose results count here.',
    }),
    limits: Limits,
    verifier: VerifierConfig,
    log: Log,
    keybroker: KeyBroker,
    gateway: GatewaySettings,
  },
  CLOSED,
)

/** A configuration with every default filled in and every path absolute. */
export type ServiceSettings = Static<typeof ServiceConfig>

/**
 * Reads a configuration file.
 *
 * @throws {@link VouchsafeError} `ERR_CONFIG_INVALID`, naming every mistake with its line; also for
 *   what is no file of at most 1 MiB.
 */
export async function loadConfig(file: string): Promise<ServiceSettings> {
  const blame = { code: 'ERR_CONFIG_INVALID', at: 'config' } as const
  const text = await readTextWithin(file, { blame, most: MAX_CONFIG_BYTES })
  return parseConfig({ file, text })
}

/** {@link loadConfig} of a text; `file` is for messages and for relative paths. */
export function parseConfig(source: {
  readonly file: string
  readonly text: string
}): ServiceSettings {
  const settings = absolute(readConfig(ServiceConfig, source), dirname(resolve(source.file)))
  assertRolesFit(settings)
  return settings
}

/** What `--dev` means: everything on loopback, simulated TEEs welcome, secrets made at once. */
export function developmentConfig(options: {
  readonly dataDirectory: string
  readonly port: number | undefined
}): ServiceSettings {
  const { dataDirectory, port = DEFAULT_PORT } = options
  const config = { mode: 'development', dataDirectory, listen: { port } }
  return parseConfig({ file: '--dev', text: JSON.stringify(config) })
}

/** Every path, wherever it stands in the schema. */
function absolute(settings: ServiceSettings, base: string): ServiceSettings {
  const at = (path: string) => resolve(base, path)
  const { operators, providerTokens, trustedVerifiers, verifier, keybroker } = settings
  const { policies, referenceValues, passportTrust, endorsements, endorsementServices } = verifier
  const { pcsApiKey } = endorsementServices
  const { kekPassphrase } = keybroker
  return {
    ...settings,
    dataDirectory: at(settings.dataDirectory),
    ...(operators !== undefined && { operators: at(operators) }),
    ...(providerTokens !== undefined && { providerTokens: at(providerTokens) }),
    trustedVerifiers: trustedVerifiers.map(({ issuer, jwks }) => ({ issuer, jwks: at(jwks) })),
    verifier: {
      ...verifier,
      ...(policies !== undefined && { policies: at(policies) }),
      ...(referenceValues !== undefined && { referenceValues: at(referenceValues) }),
      ...(passportTrust !== undefined && { passportTrust: at(passportTrust) }),
      endorsements: endorsements.map(at),
      endorsementServices: {
        ...endorsementServices,
        ...(pcsApiKey !== undefined && { pcsApiKey: at(pcsApiKey) }),
      },
    },
    keybroker: {
      ...keybroker,
      ...(kekPassphrase !== undefined && { kekPassphrase: at(kekPassphrase) }),
    },
  }
}

/** Whoever must log before it answers needs a log it can wait for, and so far that is in process. */
function assertRolesFit({ roles, trustedVerifiers }: ServiceSettings): void {
  const refuse = (at: string, detail: string) =>
    new VouchsafeError({ code: 'ERR_CONFIG_INVALID', at }, detail)
  if (!roles.includes('log')) throw refuse('roles', 'every role needs the log in the same process')
  const believer = roles.find((role) => role === 'keybroker' || role === 'gateway')
  if (believer === undefined || roles.includes('verifier') || trustedVerifiers.length > 0) return
  throw refuse('trustedVerifiers', `${believer} needs a verifier: one of these, or the role`)
}
