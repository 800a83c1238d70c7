/** What a policy can ask of the platform's firmware. @packageDocumentation */
import { field, listOf, record, text } from '../../appraisal/policy-field.ts'
import { toHex } from '../../bytes/hex.ts'
import type { SwComponent } from './platform.ts'

interface WantedComponent {
  readonly type: string
  readonly measurement: string
  readonly signerId: string
  readonly [name: string]: unknown
}

interface Judgement {
  readonly expected: string
  readonly ok: boolean
}

const hash = text(/^(?:[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/)

export const COMPONENTS = field(
  'Firmware: each component of the token must be in this list, by type (empty if it has none), measurement and signer; and each type in this list must be in the token. A type may be listed several times, once for each version that is good.',
  listOf(
    record<WantedComponent>({ type: text(/^[ -~]{0,128}$/), measurement: hash, signerId: hash }),
  ),
)

export const SIGNERS = field(
  'Signers of firmware: every component’s is one of these.',
  listOf(hash),
)

/** Nothing that is not listed, and nothing listed that is missing altogether. */
export function checkComponents(
  found: readonly SwComponent[],
  wanted: readonly WantedComponent[],
): Judgement {
  const strangers = found.filter(
    ({ type = '', measurement, signer }) =>
      !wanted.some(
        (one) =>
          one.type === type &&
          one.measurement === toHex(measurement) &&
          one.signerId === toHex(signer),
      ),
  )
  const missing = wanted.filter(({ type }) => !found.some((one) => (one.type ?? '') === type))
  const name = (type = ''): string => (type === '' ? 'one without a type' : type)
  const problems = [
    ...strangers.map(({ type }) => `${name(type)} is not as listed`),
    ...[...new Set(missing.map(({ type }) => type))].map((type) => `${name(type)} is missing`),
  ]
  const expected = `components as in a list of ${wanted.length}`
  const ok = problems.length === 0
  return { expected: ok ? expected : `${expected}: ${problems.join('; ')}`, ok }
}

/** Every signer listed. */
export function checkSigners(found: readonly SwComponent[], wanted: readonly string[]): Judgement {
  return {
    expected: wanted.join(' or '),
    ok: found.every(({ signer }) => wanted.includes(toHex(signer))),
  }
}
