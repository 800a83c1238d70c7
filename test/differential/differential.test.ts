/** Every difference to a peer is one that `docs/differential.md` explains, and the other way round. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createDice } from '../fuzz/random.ts'
import { CHANGES, subjectOf } from './cases.ts'
import { agree, ourVerdict, peerVerdict, type Subject, type Verdict } from './verdicts.ts'

const DOC = readFileSync(join(import.meta.dirname, '../../docs/differential.md'), 'utf8')
const [structured = '', random = ''] = DOC.split('## One byte changed')
const RANDOM_EACH = 250

interface Explained {
  readonly ours: string
  readonly theirs: string
}

function tableOf(text: string): ReadonlyMap<string, Explained> {
  const rows = text.split('\n').filter((line) => line.startsWith('| '))
  return new Map(
    rows.slice(2).map((line) => {
      const [, name = '', ours = '', theirs = '', clause = ''] = line
        .split('|')
        .map((c) => c.trim())
      if (clause.length < 8) throw new Error(`no reason for ${name}`)
      return [name, { ours, theirs }]
    }),
  )
}

/** As the table has it: a status where both accept, and the status is the difference. */
function words(verdict: Verdict, other: Verdict): string {
  if (!verdict.accepts) return 'refuses'
  const plain = verdict.status === 'UpToDate' && !other.accepts
  return plain || (!other.accepts && verdict.status !== 'Revoked') ? 'accepts' : verdict.status
}

describe('one thing changed, signed again', () => {
  const explained = tableOf(structured)

  it('the table names changes that there are', () => {
    expect([...explained.keys()].filter((name) => !(name in CHANGES))).toEqual([])
    expect(Object.keys(CHANGES).length).toBeGreaterThan(70)
  })

  it.each(Object.keys(CHANGES))('%s', async (name) => {
    const subject = subjectOf(CHANGES[name] ?? {})
    const [ours, theirs] = [await ourVerdict(subject), peerVerdict(subject)]
    const row = explained.get(name)
    expect(agree(ours, theirs), JSON.stringify({ ours, theirs })).toBe(row === undefined)
    if (row === undefined) return
    const found = { ours: words(ours, theirs), theirs: words(theirs, ours) }
    expect(found).toEqual(row)
  })
})

/** Which class of the second table a difference belongs to, by our own words and its place. */
function classOf(
  where: 'quote' | 'collateral',
  ours: Verdict,
  theirs: Verdict,
): string | undefined {
  if (ours.accepts) {
    if (where === 'quote' || theirs.accepts) return undefined
    return theirs.why.includes('string or an instance of Buffer')
      ? 'damaged name of a member'
      : 'damaged second copy of a certificate'
  }
  if (!theirs.accepts) return undefined
  const { why } = ours
  if (where === 'quote') {
    if (why.startsWith('dcap.pck.')) return 'damaged copy of the root in a quote'
    if (why.includes('qeCertification')) return 'length of certification data'
    return why.includes('at dcap.pck') ? 'line break or blank in PEM' : undefined
  }
  if (why.includes('crl')) return 'damaged list'
  return why === 'ERR_ENDORSEMENT_MALFORMED at endorsements'
    ? 'damaged base64 in a chain of the collateral'
    : undefined
}

describe('one byte changed, nothing signed again', () => {
  const explained = tableOf(random)
  const good = subjectOf({})
  const changedQuote = (dice: (bound: number) => number): Subject => {
    const at = dice(good.quote.length)
    return { ...good, quote: good.quote.with(at, dice(256)) }
  }
  const changedCollateral = (dice: (bound: number) => number): Subject => {
    const at = dice(good.collateral.length)
    const other = String.fromCharCode(0x20 + dice(95))
    const { collateral } = good
    return { ...good, collateral: collateral.slice(0, at) + other + collateral.slice(at + 1) }
  }

  it.each([
    ['quote', changedQuote],
    ['collateral', changedCollateral],
  ] as const)('%s: every difference is of a class in the table', async (where, change) => {
    const dice = createDice(20261125)
    let refused = 0
    for (let i = 0; i < RANDOM_EACH; i++) {
      const subject = change(dice)
      const [ours, theirs] = [await ourVerdict(subject), peerVerdict(subject)]
      if (!ours.accepts && !theirs.accepts) refused++
      if (agree(ours, theirs)) continue
      const name = classOf(where, ours, theirs) ?? 'none'
      const row = explained.get(name)
      const found = { ours: words(ours, theirs), theirs: words(theirs, ours) }
      expect(row, JSON.stringify({ name, ours, theirs })).toEqual(found)
    }
    // Where both refused nothing, nothing was compared.
    expect(refused).toBeGreaterThan(RANDOM_EACH / 3)
  })
})
