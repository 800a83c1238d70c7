import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { toHex } from '../../../src/core/bytes/hex.ts'
import { NO_ENDORSEMENTS } from '../../../src/core/endorsements/endorsement-set.ts'
import { type EndorsementNeed, needKey } from '../../../src/core/endorsements/needs.ts'
import type {
  CachedEndorsement,
  EndorsementCache,
} from '../../../src/core/ports/endorsement-cache.ts'
import { openEndorsementCache } from '../../../src/drivers/store/sqlite/endorsements.ts'
import { mintAmdPki, mintChipId, mintIntelPki, mintVek } from '../../../src/testing/index.ts'

const START = new Date('2026-09-01T12:00:00Z')
const DAY = 24 * 60 * 60 * 1000
const dates = { notBefore: START, notAfter: new Date(START.getTime() + 900 * DAY) }
const amd = mintAmdPki('Milan', { ...dates, rsaBits: 2048 })
const tcb = Uint8Array.of(4, 0, 0, 0, 0, 0, 24, 219)
const [rootList = new Uint8Array()] = mintIntelPki({ now: START }).endorsements().crls
const chip = (n: number): Uint8Array => mintChipId('Milan').with(0, n)
const rootCrl: EndorsementNeed = { kind: 'intel-root-crl' }
const vcek = (n: number): EndorsementNeed => ({
  kind: 'vcek',
  product: 'Milan',
  hwid: toHex(chip(n)),
  tcb: toHex(tcb),
})
const vceks = [0, 1].map((n) => mintVek(amd, { kind: 'VCEK', ...dates, tcb, chipId: chip(n) }).der)
const clock = (): Date => START

let directory: string
let path: string
let cache: EndorsementCache & { close(): void }

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vouchsafe-cache-'))
  path = join(directory, 'endorsements.sqlite')
  cache = openEndorsementCache(path, { clock })
})
afterEach(() => {
  cache.close()
  rmSync(directory, { recursive: true })
})

describe('the SQLite cache', () => {
  const entry = (need: EndorsementNeed, fetchedAt = START): CachedEndorsement => ({
    need,
    endorsements:
      need.kind === 'vcek'
        ? { ...NO_ENDORSEMENTS, certificates: [vceks[Number(need.hwid[1])] ?? new Uint8Array()] }
        : { ...NO_ENDORSEMENTS, crls: [rootList] },
    fetchedAt,
    validUntil: undefined,
  })

  it('keeps the newer of two, whichever comes last', async () => {
    await cache.put(entry(rootCrl))
    await cache.put(entry(rootCrl, new Date(START.getTime() - DAY)))
    expect((await cache.get(rootCrl))?.fetchedAt).toEqual(START)
  })

  it('replaces what a wrong clock dated in the future', async () => {
    await cache.put(entry(rootCrl, new Date(START.getTime() + 1_000 * DAY)))
    await cache.put(entry(rootCrl))
    expect((await cache.get(rootCrl))?.fetchedAt).toEqual(START)
  })

  it('takes an edited entry for none', async () => {
    await cache.put(entry(vcek(0)))
    await cache.put(entry(vcek(1)))
    const file = new DatabaseSync(path)
    const other = file
      .prepare('SELECT endorsements FROM endorsement WHERE need = ?')
      .get(needKey(vcek(1)))
    const set = file.prepare('UPDATE endorsement SET endorsements = ? WHERE need = ?')
    for (const text of [String(other?.['endorsements']), '{}', 'x', '']) {
      set.run(text, needKey(vcek(0)))
      expect(await cache.get(vcek(0))).toBeUndefined()
    }
    expect(await cache.list()).toHaveLength(1)
    file.close()
  })
})
