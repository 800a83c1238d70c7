/** The verifier on its drivers. @packageDocumentation */
import type { FastifyInstance } from 'fastify'
import type { Policy } from '../core/appraisal/policy.ts'
import { type TrustAnchors, VENDOR_ANCHORS } from '../core/endorsements/anchors.ts'
import { NO_ENDORSEMENTS } from '../core/endorsements/endorsement-set.ts'
import type { PassportTrust } from '../core/endorsements/passport-trust.ts'
import { FORMAT_IDS, type FormatId } from '../core/evidence/common/format-ids.ts'
import type { CryptoProvider } from '../core/ports/crypto.ts'
import type { EndorsementSource } from '../core/ports/endorsement-source.ts'
import { readEndorsements } from '../drivers/endorsements/directory.ts'
import { createRefreshingSource } from '../drivers/endorsements/refreshing.ts'
import { type FileEarSigner, openMac } from '../drivers/signer/file.ts'
import { openVerifierStore } from '../drivers/store/sqlite/verifier.ts'
import { createPolicySet, type PolicySet } from '../verifier/policies.ts'
import { verifierRoutes } from '../verifier/routes.ts'
import { createVerifier, type VerifierOptions, type VerifierService } from '../verifier/service.ts'
import { openAppraiser } from './appraiser.ts'
import type { ServiceSettings } from './config.ts'
import {
  loadPassportTrust,
  loadPolicies,
  loadReferenceValues,
  SHIPPED_POLICIES,
} from './documents.ts'
import { type EndorsementServices, endpointsOf, openEndorsementServices } from './endorsements.ts'
import type { RoleContext, RunningRole } from './role.ts'

/** A verifier that has logged its policies. */
export interface VerifierRole extends RunningRole {
  readonly service: VerifierService
}

/** The verifier, apart from keys that others must know before it can open. */
export type VerifierContext = Omit<RoleContext, 'readEar' | 'access' | 'metrics'> & {
  readonly signer: FileEarSigner
}

const ENDORSEMENTS_MAX_AGE_MS = 60_000
const PRUNE_EVERY_MS = 60_000
/** By format: what applies when a request names no policy, as far as it is among the shipped. */
const shippedDefault = (format: FormatId): string =>
  format === 'simulated' ? 'development' : `${format}-strict`

/**
 * Opens the verifier of a data directory.
 *
 * @throws {@link VouchsafeError} `ERR_POLICY_INVALID`, `ERR_REFERENCE_VALUES_INVALID`,
 *   `ERR_CONFIG_INVALID`, `ERR_STATE_INVALID`, `ERR_LOG_UNAVAILABLE`.
 */
export async function openVerifier(context: VerifierContext): Promise<VerifierRole> {
  const { settings, paths, signer } = context
  const { passports, ...documents } = await loadVerifierDocuments(settings, context.crypto)
  const mac = openMac(paths.challengeSecret)
  const store = openVerifierStore(paths.verifierStore)
  let services: EndorsementServices | undefined
  try {
    services = openServices(context)
    const endorsements = endorsementSource(context, services)
    // Starts nothing before there is an appraisal to make.
    const appraiser = openAppraiser(
      settings.verifier.threads,
      anchorsOf(context, passports),
      context,
    )
    const parts = { ...documents, signer, mac, store, appraiser, endorsements }
    const service = createVerifier(serviceOptions(context, parts))
    await service.recordPolicies()
    const timer = setInterval(() => {
      service.prune().catch(context.onFault)
    }, PRUNE_EVERY_MS)
    timer.unref()
    return {
      service,
      register: async (app) => registerRoutes(app, { service, signer, context }),
      ready: async () => {
        await store.hasLogged('')
      },
      close: async () => {
        clearInterval(timer)
        await appraiser.close()
        await services?.close()
        store.close()
      },
    }
  } catch (err) {
    await services?.close()
    store.close()
    throw err
  }
}

function anchorsOf(
  { settings, simulatedAnchors }: VerifierContext,
  passports: readonly PassportTrust[],
): TrustAnchors {
  return {
    ...VENDOR_ANCHORS,
    arm: settings.verifier.armPlatformKeys,
    passports,
    tpm: settings.verifier.tpmRoots,
    tpmKeys: settings.verifier.tpmKeys,
    simulated: simulatedAnchors,
  }
}

/** What files hold that the settings name. */
interface VerifierDocuments extends Pick<VerifierOptions, 'referenceValues'> {
  readonly policies: PolicySet
  readonly passports: readonly PassportTrust[]
}

/**
 * The policies, reference values and issuers of passports that the settings name; also what `--check` looks at.
 *
 * @throws {@link VouchsafeError} `ERR_POLICY_INVALID`, `ERR_REFERENCE_VALUES_INVALID`,
 *   `ERR_CONFIG_INVALID`.
 */
export async function loadVerifierDocuments(
  settings: ServiceSettings,
  crypto: CryptoProvider,
): Promise<VerifierDocuments> {
  const { policies: directory, referenceValues, defaultPolicies } = settings.verifier
  // A URL that cannot be used is found now, and not by the first quote that needs it.
  endpointsOf(settings.verifier.endorsementServices)
  const production = settings.mode === 'production'
  const loaded = await loadPolicies(directory ?? SHIPPED_POLICIES)
  // The shipped directory has the development policy in it; a directory of one's own must not.
  const servable = directory === undefined && production ? loaded.filter(isReal) : loaded
  const defaults = {
    ...(directory === undefined && shippedDefaults(servable)),
    ...definedOnly(defaultPolicies),
  }
  return {
    policies: await createPolicySet({ policies: servable, defaults, production }, crypto),
    referenceValues:
      referenceValues === undefined ? [] : await loadReferenceValues(referenceValues),
    passports: await loadPassportTrust(settings.verifier),
  }
}

function isReal({ format }: Policy): boolean {
  return format !== 'simulated'
}

function shippedDefaults(policies: readonly Policy[]): Readonly<Record<string, string>> {
  const fits = FORMAT_IDS.map((format) => [format, shippedDefault(format)] as const).filter(
    ([format, id]) => policies.some((policy) => policy.id === id && policy.format === format),
  )
  return Object.fromEntries(fits)
}

function definedOnly(
  names: ServiceSettings['verifier']['defaultPolicies'],
): Readonly<Partial<Record<FormatId, string>>> {
  const given = Object.entries(names).filter(([, id]) => (id as string | undefined) !== undefined)
  return Object.fromEntries(given)
}

function serviceOptions(
  context: VerifierContext,
  parts: Pick<
    VerifierOptions,
    'policies' | 'referenceValues' | 'signer' | 'mac' | 'store' | 'appraiser' | 'endorsements'
  >,
): VerifierOptions {
  const { settings, crypto, clock, random, log, blobs } = context
  return {
    ...parts,
    crypto,
    clock,
    random,
    log,
    blobs,
    settings: { ...settings.verifier, build: context.build },
  }
}

function openServices(context: VerifierContext): EndorsementServices | undefined {
  const { settings, paths, clock, random, onFault } = context
  const { endorsementServices } = settings.verifier
  if (endorsementServices.use === 'off') return undefined
  const tools = {
    cachePath: paths.endorsementCache,
    anchors: VENDOR_ANCHORS,
    clock,
    random,
    onFault,
  }
  return openEndorsementServices(endorsementServices, tools)
}

/** The configured files, and what the services have besides. */
function endorsementSource(
  { settings, clock }: VerifierContext,
  services: EndorsementServices | undefined,
): EndorsementSource {
  const { endorsements: paths } = settings.verifier
  const load = async () =>
    paths.length === 0 ? NO_ENDORSEMENTS : (await readEndorsements(paths)).endorsements
  const local = createRefreshingSource(load, { clock, maxAgeMs: ENDORSEMENTS_MAX_AGE_MS })
  return services?.sourceOver(local) ?? local
}

async function registerRoutes(
  app: FastifyInstance,
  parts: {
    readonly service: VerifierService
    readonly signer: FileEarSigner
    readonly context: VerifierContext
  },
): Promise<void> {
  const { service, signer, context } = parts
  const { settings, clock } = context
  const rate = { requests: settings.verifier.ratePerMinute, windowMs: 60_000 }
  await app.register(verifierRoutes, { service, jwks: { keys: [signer.jwk] }, clock, rate })
}
