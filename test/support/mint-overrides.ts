/** What the cases of policies say of evidence, and how it is read. */
import type { AppraisalInput } from '../../src/core/appraisal/appraise.ts'
import type { Json } from '../../src/core/encoding/canonical-json.ts'

/** What a case's evidence brings with it. */
export type Minted = Pick<AppraisalInput, 'evidence' | 'endorsements' | 'anchors' | 'now'>
/** Members of a case by name. */
export type Overrides = Readonly<Record<string, Json | undefined>>

/** When the cases are judged. */
export const AT = new Date('2026-09-01T12:00:00Z')
export const DAY = 24 * 60 * 60 * 1000
/** A text, and nothing else. */
export const textOf = (value: Json | undefined): string => {
  if (typeof value !== 'string') throw new Error('cases: want text')
  return value
}
/** Hex to bytes. */
export const bytes = (hex: Json | undefined): Uint8Array =>
  Uint8Array.from(Buffer.from(textOf(hex), 'hex'))
/** Hex to bytes, numbers as they are; a `0x` prefix makes a bigint. */
export const fieldsOf = (value: Json | undefined): Record<string, Uint8Array | number | bigint> =>
  Object.fromEntries(
    Object.entries((value ?? {}) as Overrides).map(([name, given]) => [
      name,
      typeof given === 'number'
        ? given
        : textOf(given).startsWith('0x')
          ? BigInt(textOf(given))
          : bytes(given),
    ]),
  )

/** A case that says something nobody reads is a case that tests nothing. */
export function refuseUnknown(rest: Overrides): void {
  const [name] = Object.keys(rest)
  if (name !== undefined) throw new Error(`cases: no override ${name}`)
}
