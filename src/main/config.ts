/** The whole configuration file, and the one that `--dev` stands for. @packageDocumentation */
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { type Static, Type } from 'typebox'
import { VouchsafeError } from '../core/errors.ts'
import { GatewaySettings } from '../gateway/config.ts'
import { CLOSED, readConfig } from '../server/config.ts'
import { DEFAULT_LIMITS } from '../server/limits.ts'
import { VerifierConfig } from '../verifier/config.ts'

export const ROLES = ['verifier', 'keybroker', 'log', 'gateway'] as const
export type Role = (typeof ROLES)[number]

/** Port of the service unless configured otherwise. */
export const DEFAULT_PORT = 8420

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
    gateway: GatewaySettings,
  },
  CLOSED,
)

/** A configuration with every default filled in and every path absolute. */
export type ServiceSettings = Static<typeof ServiceConfig>

/**
 * Reads a configuration file.
 *
 * @throws {@link VouchsafeError} `ERR_CONFIG_INVALID`, naming every mistake with its line.
 */
export async function loadConfig(file: string): Promise<ServiceSettings> {
  return parseConfig({ file, text: await readText(file) })
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

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    const blame = { code: 'ERR_CONFIG_INVALID', at: 'config' } as const
    throw new VouchsafeError(blame, `cannot read ${file}`, { cause })
  }
}

function absolute(settings: ServiceSettings, base: string): ServiceSettings {
  const { operators, providerTokens, trustedVerifiers, verifier } = settings
  const { policies, referenceValues, endorsements } = verifier
  return {
    ...settings,
    dataDirectory: resolve(base, settings.dataDirectory),
    ...(operators !== undefined && { operators: resolve(base, operators) }),
    ...(providerTokens !== undefined && { providerTokens: resolve(base, providerTokens) }),
    trustedVerifiers: trustedVerifiers.map(({ issuer, jwks }) => ({
      issuer,
      jwks: resolve(base, jwks),
    })),
    verifier: {
      ...verifier,
      ...(policies !== undefined && { policies: resolve(base, policies) }),
      ...(referenceValues !== undefined && { referenceValues: resolve(base, referenceValues) }),
      endorsements: endorsements.map((path) => resolve(base, path)),
    },
  }
}

/** Whoever must log before it answers needs a log it can wait for, and so far that is in process. */
function assertRolesFit({ roles }: ServiceSettings): void {
  if (roles.includes('log')) return
  const [needy] = roles
  const blame = { code: 'ERR_CONFIG_INVALID', at: 'roles' } as const
  throw new VouchsafeError(blame, `${needy ?? 'nothing'} needs the log in the same process`)
}
