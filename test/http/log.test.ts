import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { utf8 } from '../../src/core/bytes/bytes.ts'
import { encodeLeaf } from '../../src/core/tlog/leaf.ts'
import { openCheckpoint } from '../../src/core/tlog/open.ts'
import { parseProof, requireLogged } from '../../src/core/tlog/proof.ts'
import { decodeBundle, decodeTile } from '../../src/core/tlog/tiles.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { logRoutes } from '../../src/log/routes.ts'
import { createApp } from '../../src/server/app.ts'
import { createPlace, leafOf, type OpenLog, openTestLog } from '../support/log.ts'
import { createTestLog } from '../support/tlog.ts'

const crypto = createCrypto()
const blame = { code: 'ERR_LOG_MALFORMED', at: 'test' } as const
const keys = await createTestLog('example.com/log')
const place = createPlace()
const app = createApp()
let opened: OpenLog
let blob: string

beforeAll(async () => {
  opened = await openTestLog(place, keys)
  const { log, files, blobs } = opened
  await app.register(logRoutes, { files, blobs, prover: log })
  await Promise.all(Array.from({ length: 300 }, async (_, i) => log.append(leafOf(i))))
  await log.proof(299)
  blob = await blobs.put(utf8('evidence'))
})
afterAll(async () => {
  await app.close()
  await opened.close()
  place.remove()
})

const get = async (url: string) => app.inject({ url })

describe('the read side of the log', () => {
  it('serves the checkpoint, hardly cached', async () => {
    const { statusCode, headers, rawPayload } = await get('/log/checkpoint')
    expect(statusCode).toBe(200)
    expect(headers['content-type']).toBe('text/plain; charset=utf-8')
    expect(headers['cache-control']).toMatch(/max-age=[0-9]$/)
    const { checkpoint, verified } = await openCheckpoint(new Uint8Array(rawPayload), keys, crypto)
    expect(checkpoint.size).toBe(300)
    expect(verified).toHaveLength(2)
  })

  it('serves tiles and bundles for ever', async () => {
    for (const path of ['tile/0/000', 'tile/0/001.p/44', 'tile/1/000.p/1', 'tile/entries/000']) {
      const { statusCode, headers } = await get(`/log/${path}`)
      expect(statusCode, path).toBe(200)
      expect(headers['content-type']).toBe('application/octet-stream')
      expect(headers['cache-control']).toContain('immutable')
    }
    const tile = await get('/log/tile/0/001.p/44')
    expect(decodeTile(new Uint8Array(tile.rawPayload), 44, blame)).toHaveLength(44)
    const bundle = await get('/log/tile/entries/001.p/44')
    const entries = decodeBundle(new Uint8Array(bundle.rawPayload), 44, blame)
    expect(entries[43]).toEqual(encodeLeaf(leafOf(299)))
  })

  it.each([
    ['a partial tile that became full', 'tile/0/000.p/255'],
    ['a tile that is not there yet', 'tile/0/002'],
    ['a partial tile not there yet', 'tile/0/001.p/45'],
    ['a level without tiles', 'tile/2/000'],
    ['another spelling', 'tile/00/000'],
    ['a width of 256', 'tile/0/000.p/256'],
    ['a way out', 'tile/..%2f..%2flog.sqlite'],
    ['a way out, plainly', 'tile/0/../../../log.sqlite'],
    ['a folder', 'tile/0'],
    ['an unknown blob', `blobs/sha256/${'00'.repeat(32)}`],
    ['an index past the end', 'proof/300'],
  ])('answers 404 for %s', async (_, path) => {
    const { statusCode, json } = await get(`/log/${path}`)
    expect(statusCode).toBe(404)
    expect(json<{ code: string }>().code).toBe('ERR_RESOURCE_NOT_FOUND')
  })

  it('proves a leaf, and carries it', async () => {
    for (const index of [0, 255, 256, 299]) {
      const { statusCode, rawPayload } = await get(`/log/proof/${index}`)
      expect(statusCode).toBe(200)
      const proof = parseProof(new Uint8Array(rawPayload))
      expect(proof.extra).toEqual(encodeLeaf(leafOf(index)))
      await requireLogged({ entry: encodeLeaf(leafOf(index)), proof }, keys, crypto)
    }
  })

  it.each(['-1', '01', '1.0', '0x1', '99999999999999999999', 'a'])(
    'refuses the index %s',
    async (index) => {
      const { statusCode, json } = await get(`/log/proof/${index}`)
      expect(statusCode).toBe(400)
      expect(json<{ code: string }>().code).toBe('ERR_REQUEST_INVALID')
    },
  )

  it('serves blobs by digest only', async () => {
    const hex = blob.replace('sha256:', '')
    const { statusCode, body, headers } = await get(`/log/blobs/sha256/${hex}`)
    expect([statusCode, body]).toEqual([200, 'evidence'])
    expect(headers['cache-control']).toContain('immutable')
    for (const bad of [hex.toUpperCase(), hex.slice(1), `${hex}0`, '..']) {
      const answer = await get(`/log/blobs/sha256/${bad}`)
      expect([400, 404]).toContain(answer.statusCode)
    }
  })
})
