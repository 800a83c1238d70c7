/**
 * Azure confidential VMs: hardware evidence of their own format, and a vTPM that it vouches for.
 *
 * The hardware report is made once per boot and says only which vTPM key belongs to this VM: anyone
 * who has seen it can send it again. What is fresh is the vTPM's quote. So what a caller asks for,
 * nonce and statement, is compared with the quote's `extraData`, and never with REPORTDATA of the
 * hardware, which holds the digest of the paravisor's claims.
 *
 * @packageDocumentation
 */
import { type Check, checkOf, notAuthenticated } from '../../appraisal/check.ts'
import { policyTable } from '../../appraisal/question.ts'
import { equal, isZero } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import type { Json } from '../../encoding/canonical-json.ts'
import { joinEndorsements, NO_ENDORSEMENTS } from '../../endorsements/endorsement-set.ts'
import type { Problem } from '../../x509/chain.ts'
import type {
  Authenticated,
  AuthenticationContext,
  Claims,
  EvidenceFormat,
  Field,
} from '../common/format.ts'
import { FORMAT_HEADS } from '../common/format-ids.ts'
import { sampleOf } from '../common/sample.ts'
import { type BootLog, printBoot, replayBoot } from '../tpm/boot.ts'
import { measurementsOf, printQuote, quoteClaims, reportDataOf } from '../tpm/claims.ts'
import { describeEventLog, describeQuote } from '../tpm/describe.ts'
import { checkPcrDigest, checkQuoteSignature } from '../tpm/quote-checks.ts'
import type { AzureClaims } from './claims.ts'
import { type AzureEvidence, looksLikeEvidence, parseEvidence } from './evidence.ts'
import { describeDigest, type HclReportType } from './hcl.ts'
import { azureQuestions, levelConflict } from './policy.ts'

/** The two formats, by the hardware below. */
const IDS = { snp: 'azure-snp-vtpm', tdx: 'azure-tdx-vtpm' } as const

/** Evidence as it came, and the hardware's part of it, parsed by its own format. */
export interface AzureParsed<E> {
  readonly azure: AzureEvidence
  readonly hardware: E
}

/**
 * The format of Azure VMs on this hardware. Its checks are all those of the hardware's format, under
 * their own names, and besides them the binding of the vTPM's key, its quote and its PCRs.
 *
 * @param inner - The hardware's format; handed in, since formats do not know each other.
 */
export function azureVtpm<E, C extends Claims>(
  type: HclReportType,
  inner: EvidenceFormat<E, C>,
): EvidenceFormat<AzureParsed<E>, AzureClaims<C>> {
  const id = IDS[type]
  const { prefix } = FORMAT_HEADS[id]
  const ids = {
    runtime: `${prefix}.binding.runtime_data`,
    signature: `${prefix}.signature.quote`,
    pcrs: `${prefix}.pcrs.digest`,
  }
  const own = Object.values(ids)
  const policy = policyTable(azureQuestions<C>(prefix))
  return {
    id,
    detects: (bytes, sample = sampleOf(bytes)) => looksLikeEvidence(sample, type),
    parse: (bytes) => {
      const azure = parseEvidence(bytes, type)
      return { azure, hardware: inner.parse(azure.hardware) }
    },
    describe: ({ azure, hardware }) => [...inner.describe(hardware), ...describe(azure)],
    authenticate: async ({ azure, hardware }, context) => {
      const carried = { ...NO_ENDORSEMENTS, certificates: azure.certificates }
      const endorsements = joinEndorsements(context.endorsements, carried)
      const found = await inner.authenticate(hardware, { ...context, endorsements })
      return authenticate({ azure, found, ids }, context)
    },
    policyFields: { ...inner.policyFields, ...policy.fields },
    policyConflict: (values) => inner.policyConflict?.(values) ?? levelConflict(values),
    appraise: (claims, values) => [
      ...inner.appraise(claims.hardware, values),
      ...policy.appraise(claims, values),
    ],
    appraisalCheckIds: [...inner.appraisalCheckIds, ...policy.checkIds],
    requiredCheckIds: [...inner.requiredCheckIds, ...own],
  }
}

interface Authentication<C extends Claims> {
  readonly azure: AzureEvidence
  readonly found: Authenticated<C>
  readonly ids: Readonly<Record<'runtime' | 'signature' | 'pcrs', string>>
}

async function authenticate<C extends Claims>(
  { azure, found, ids }: Authentication<C>,
  { crypto }: AuthenticationContext,
): Promise<Authenticated<AzureClaims<C>>> {
  const { hcl, quote } = azure
  // Before the hardware's report is authentic, nothing in it vouches for anything.
  const runtime = found.authentic
    ? checkOf(
        ids.runtime,
        await runtimeProblem(azure, found.claims, { crypto }),
        'REPORTDATA is SHA-256 of the runtime claims and 32 zeros: made at boot, fresh by the quote',
      )
    : notAuthenticated(ids.runtime)
  const checks: readonly Check[] = [
    ...found.checks,
    runtime,
    await checkQuoteSignature(ids.signature, { quote, key: hcl.runtime.ak }, crypto),
    await checkPcrDigest(ids.pcrs, quote, crypto),
  ]
  const failed = checks.some(({ outcome }) => outcome === 'fail')
  if (failed || !found.authentic) return { authentic: false, checks }
  const boot = await replayBoot(azure, crypto)
  return { authentic: true, checks, claims: claimsOf(azure, found.claims, boot) }
}

async function runtimeProblem(
  { hcl }: AzureEvidence,
  { reportData }: Claims,
  { crypto }: Pick<AuthenticationContext, 'crypto'>,
): Promise<Problem | undefined> {
  const digest = await crypto.digest('SHA-256', hcl.runtimeData)
  const [head, tail] = [reportData?.subarray(0, 32), reportData?.subarray(32)]
  if (head !== undefined && tail?.length === 32 && equal(head, digest) && isZero(tail)) {
    return undefined
  }
  const expected = `REPORTDATA ${describeDigest(digest)}`
  return { expected, actual: reportData === undefined ? 'absent' : toHex(reportData) }
}

function claimsOf<C extends Claims>(
  { hcl, quote }: AzureEvidence,
  hardware: C,
  boot: BootLog | undefined,
): AzureClaims<C> {
  const vtpm = quoteClaims(quote)
  const { userData, vmConfiguration } = hcl.runtime
  return {
    hardware,
    vtpm,
    runtime: hcl.runtime,
    boot,
    reportData: reportDataOf(quote.attest),
    nonce: undefined,
    measurements: { ...hardware.measurements, ...measurementsOf(vtpm) },
    tcb: hardware.tcb,
    printable: {
      hardware: hardware.printable,
      vtpm: printQuote(vtpm),
      eventLog: boot === undefined ? null : printBoot(boot),
      runtime: {
        'user-data': userData ?? null,
        'vm-configuration': vmConfiguration as Json,
      },
    },
  }
}

function describe({ hcl, quote, eventLog }: AzureEvidence): readonly Field[] {
  const { ak, userData, vmConfiguration } = hcl.runtime
  return [
    { name: 'HCLAkPub', value: toHex(ak.spki) },
    { name: 'user-data', value: userData ?? 'absent' },
    ...Object.entries(vmConfiguration).map(([name, value]) => ({
      name: `vm-configuration ${name.slice(0, 64)}`,
      value: JSON.stringify(value).slice(0, 256),
    })),
    ...describeQuote(quote),
    describeEventLog(eventLog),
  ]
}
