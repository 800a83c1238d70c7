/** What a policy can ask about the platform and the signing key. @packageDocumentation */
import {
  constant,
  field,
  fixedField,
  hex,
  integer,
  listOf,
  oneOf,
  record,
  text,
  type ValueType,
} from '../../appraisal/policy-field.ts'
import { type Ask, type Question, type Questions, question } from '../../appraisal/question.ts'
import { equal } from '../../bytes/bytes.ts'
import { VouchsafeError } from '../../errors.ts'
import type { SnpClaims } from './claims.ts'
import { versionText } from './describe.ts'
import { bitsOf, PLATFORM_NAMES, platformFlags } from './platform-info.ts'
import type { FirmwareVersion } from './report.ts'
import { formatTcb, isAtLeast, PRODUCTS, type Product, type SnpTcb } from './tcb.ts'

const ask: Ask<SnpClaims> = question

/** One more than a component can hold is a floor that nothing reaches; it is accepted as that. */
const svn = integer()
const tcb = record<{ [Part in keyof SnpTcb]: SnpTcb[Part] }>({
  fmc: svn,
  bootloader: svn,
  tee: svn,
  snp: svn,
  microcode: svn,
})

/** Floors by product: each counts versions in its own way, and one without floors has none to meet. */
type Floors = Readonly<Partial<Record<Product, SnpTcb>>>

const floors: ValueType<Floors> = {
  schema: {
    type: 'object',
    properties: Object.fromEntries(PRODUCTS.map((name) => [name, tcb.schema])),
    minProperties: 1,
    additionalProperties: false,
  },
  parse: (value, blame) => {
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    const given = isObject ? Object.entries(value as Readonly<Record<string, unknown>>) : []
    if (given.length === 0) {
      throw new VouchsafeError(blame, `want an object by product: ${PRODUCTS.join(', ')}`)
    }
    const parsed = given.map(([name, floor]) => {
      const product = PRODUCTS.find((known) => known === name)
      if (product === undefined) throw new VouchsafeError(blame, `unknown product ${name}`)
      return [product, tcb.parse(floor, { code: blame.code, at: `${blame.at}.${name}` })] as const
    })
    return Object.fromEntries(parsed)
  },
}

function tcbFloor(
  which: 'reported' | 'committed' | 'launch',
  meaning: string,
): Question<SnpClaims> {
  return ask({
    id: `snp.tcb.${which}`,
    field: field(
      `Lowest ${which.toUpperCase()}_TCB by product, component by component: ${meaning} A product that is not named fails. AMD publishes no levels, so these are the operator's to choose; fmc is 0 before Turin.`,
      floors,
    ),
    actual: ({ tcbs, product }) => `${product} ${formatTcb(tcbs[which])}`,
    judge: ({ tcbs, product }, required) => {
      const minimum = required[product]
      return minimum === undefined
        ? { expected: `${Object.keys(required).join(' or ')}, which alone have a floor`, ok: false }
        : { expected: `>= ${formatTcb(minimum)}`, ok: isAtLeast(tcbs[which], minimum) }
    },
  })
}

const firmware = record({ major: integer(), minor: integer(), build: integer() })

function isFirmwareAtLeast(version: FirmwareVersion, least: FirmwareVersion): boolean {
  if (version.major !== least.major) return version.major > least.major
  if (version.minor !== least.minor) return version.minor > least.minor
  return version.build >= least.build
}

function hasProvisionalFirmware({ report }: SnpClaims): boolean {
  const { currentVersion, committedVersion } = report
  const sameVersion = versionText(currentVersion) === versionText(committedVersion)
  return !sameVersion || !equal(report.currentTcb, report.committedTcb)
}

function mitigation(which: 'launch' | 'current'): Question<SnpClaims> {
  const bits = ({ report }: SnpClaims): readonly number[] | undefined =>
    report.mitigations === undefined ? undefined : bitsOf(report.mitigations[which])
  return ask({
    id: `snp.mitigation.${which}`,
    field: field(
      `Bits that must be set in ${which.toUpperCase()}_MIT_VECTOR, by number. Reports before version 5 have none.`,
      listOf(integer()),
    ),
    actual: (claims) => bits(claims)?.join(', ') ?? 'absent',
    judge: (claims, wanted) => ({
      expected: `with ${wanted.join(', ')}`,
      ok: wanted.every((bit) => bits(claims)?.includes(bit) === true),
    }),
  })
}

const platformName = oneOf(...PLATFORM_NAMES)
const platformInfo = record({
  set: listOf(platformName, 0),
  clear: listOf(platformName, 0),
  allowUnnamed: listOf(integer(), 0),
})

/** The key's side: which processors and keys are trusted, and whether revocation must be known. */
export const PLATFORM_QUESTIONS: Questions<SnpClaims> = {
  'tcb.reported': tcbFloor('reported', 'the version that the signing key stands for.'),
  'tcb.committed': tcbFloor('committed', 'the version below which the host cannot go back.'),
  'tcb.launch': tcbFloor('launch', 'the version when the guest was launched.'),
  'tcb.provisional': ask({
    id: 'snp.tcb.provisional',
    field: field(
      'No provisional firmware: CURRENT_TCB is COMMITTED_TCB and the versions are equal.',
      constant(false),
    ),
    actual: (claims) => String(hasProvisionalFirmware(claims)),
    judge: (claims, required) => ({
      expected: String(required),
      ok: hasProvisionalFirmware(claims) === required,
    }),
  }),
  'tcb.firmware': ask({
    id: 'snp.tcb.firmware',
    field: field('Lowest COMMITTED_VERSION of the firmware.', firmware),
    actual: ({ report }) => versionText(report.committedVersion),
    judge: ({ report }, least) => ({
      expected: `>= ${versionText(least)}`,
      ok: isFirmwareAtLeast(report.committedVersion, least),
    }),
  }),
  'mitigation.launch': mitigation('launch'),
  'mitigation.current': mitigation('current'),
  'platform.info': ask({
    id: 'snp.platform.info',
    field: field(
      'Bits of PLATFORM_INFO that must be set and that must be clear; others do not matter, except that ones without a name fail unless allowUnnamed has their number. Turin hosts set bit 6, of which AMD has said nothing.',
      platformInfo,
    ),
    actual: ({ report }) => platformFlags(report.platformInfo).join(', ') || 'none',
    judge: ({ report }, { set, clear, allowUnnamed }) => {
      const flags = platformFlags(report.platformInfo)
      const named = [...PLATFORM_NAMES, ...allowUnnamed.map((bit) => `bit ${bit}`)]
      const unnamed = flags.filter((flag) => !named.includes(flag))
      const ok =
        set.every((flag) => flags.includes(flag)) && !clear.some((flag) => flags.includes(flag))
      const unnamedText = `; unnamed none but ${allowUnnamed.join(', ') || 'none'}`
      const expected = `with ${set.join(', ') || 'any'}; without ${clear.join(', ') || 'none'}`
      return { expected: expected + unnamedText, ok: ok && unnamed.length === 0 }
    },
  }),
  'platform.product': ask({
    id: 'snp.platform.product',
    field: field(
      'Products that are trusted. Leaving Milan out is the answer to key extraction claimed for it (arXiv 2605.12990).',
      listOf(oneOf(...PRODUCTS)),
    ),
    actual: ({ product }) => product,
    judge: ({ product }, allowed) => ({
      expected: allowed.join(' or '),
      ok: allowed.includes(product),
    }),
  }),
  'platform.chipId': ask({
    id: 'snp.platform.chip_id',
    field: field(
      'Chips that are trusted, by CHIP_ID. A masked one is not among them.',
      listOf(hex(64)),
    ),
    actual: ({ chipId }) => chipId ?? 'absent',
    judge: ({ chipId }, allowed) => ({
      expected: `one of ${allowed.length} chips`,
      ok: chipId !== undefined && allowed.includes(chipId),
    }),
  }),
  'platform.excludedChips': ask({
    id: 'snp.platform.excluded_chips',
    field: field(
      'Chips that are not trusted any more, by CHIP_ID: AMD’s lists revoke CAs and VLEKs, never the VCEK of one chip. A masked CHIP_ID fails, since it might be one of them.',
      listOf(hex(64)),
    ),
    actual: ({ chipId }) => chipId ?? 'absent',
    judge: ({ chipId }, excluded) => ({
      expected: `none of ${excluded.length} chips`,
      ok: chipId !== undefined && !excluded.includes(chipId),
    }),
  }),
  signingKey: ask({
    id: 'snp.key.kind',
    field: field(
      'Kinds of key that are trusted: VCEK belongs to one chip, VLEK to a cloud provider.',
      listOf(oneOf('VCEK', 'VLEK')),
    ),
    actual: ({ report }) => report.signingKey,
    judge: ({ report }, allowed) => ({
      expected: allowed.join(' or '),
      ok: allowed.some((kind) => kind === report.signingKey),
    }),
  }),
  'signingKey.cspId': ask({
    id: 'snp.key.csp_id',
    field: field(
      'Cloud providers whose VLEK is trusted, by CSP_ID.',
      listOf(text(/^[ -~]{1,256}$/)),
    ),
    actual: ({ cspId }) => cspId ?? 'absent',
    judge: ({ cspId }, allowed) => ({
      expected: allowed.join(' or '),
      ok: cspId !== undefined && allowed.includes(cspId),
    }),
  }),
}

/**
 * Whether revocation must be known. `crl` is the answer wherever trust follows from the result.
 * `crl-if-present` is for archives, for which nobody kept the list of their day: the check is then
 * `waived` in plain sight, and `requireAffirming` lets no such result through.
 */
export const REVOCATION = fixedField(
  'crl: a current CRL of the product must be there. crl-if-present: without one the result says that revocation was not checked, and opens nothing.',
  oneOf('crl', 'crl-if-present'),
)

/** @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE`: no verdict without the list. */
export function requireCrl({ product }: SnpClaims): never {
  const blame = { code: 'ERR_ENDORSEMENT_UNAVAILABLE', at: 'snp.crl' } as const
  throw new VouchsafeError(blame, `no CRL of ARK-${product}, and the policy requires one`)
}
