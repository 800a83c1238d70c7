import { describe, expect, it } from 'vitest'
import { mintKey } from '../../../src/drivers/attester/simulated/minting/x509.ts'
import {
  ccaPlatform,
  encode,
  map,
  mintCorim,
  NOW,
  readSigned,
  readUnsigned,
  type SignOptions,
  signCorim,
  tag,
  time,
} from '../../support/corim.ts'

const HOUR = 3_600_000
const before = new Date(NOW.getTime() - HOUR)
const after = new Date(NOW.getTime() + HOUR)
const meta = (validity: ReturnType<typeof map>) =>
  [
    8,
    encode(
      map([
        [0, map([[0, 'ACME']])],
        [1, validity],
      ]),
    ),
  ] as const
const other = mintKey('ES256')
const p384 = mintKey('ES384')

describe('a signed CoRIM', () => {
  it.each([
    ['as COSE_Sign1', {}],
    ['in tag 500', { wrappers: [500] }],
    ['in tag 502', { wrappers: [502] }],
    ['in tags 500 and 502', { wrappers: [500, 502] }],
    [
      'with a key id',
      {
        headers: [
          [3, 'application/rim+cbor'],
          [4, encode('key')],
        ],
      },
    ],
    [
      'with what is current',
      {
        headers: [
          meta(
            map([
              [0, time(before)],
              [1, time(after)],
            ]),
          ),
        ],
      },
    ],
    [
      'with current CWT claims',
      {
        headers: [
          [
            15,
            map([
              [4, 2_000_000_000],
              [5, 1_000_000_000],
            ]),
          ],
        ],
      },
    ],
    [
      'with critical headers that are understood',
      { headers: [[2, [8]], meta(map([[1, time(after)]]))] },
    ],
  ] satisfies readonly (readonly [string, SignOptions])[])('is read %s', async (_, options) => {
    const read = await readSigned(signCorim(ccaPlatform(), options))
    expect(read.kind).toBe('signed-corim')
    expect(read.fragments).toHaveLength(1)
  })

  it('is read by ES384', async () => {
    const corim = signCorim(ccaPlatform(), { key: p384, algorithm: -35 })
    expect((await readSigned(corim, { key: p384 })).fragments).toHaveLength(1)
  })

  const untrusted = 'ERR_REFERENCE_VALUES_UNTRUSTED'
  const invalid = 'ERR_REFERENCE_VALUES_INVALID'
  it.each([
    ['by another key', { key: other }, untrusted, 'corim.signature'],
    ['by another algorithm', { algorithm: -35 }, untrusted, 'corim.signature'],
    ['by an algorithm that is not known', { algorithm: -257 }, untrusted, 'corim.signature'],
    [
      'no longer',
      { headers: [meta(map([[1, time(before)]]))] },
      untrusted,
      'corim.signature.validity',
    ],
    [
      'not yet',
      {
        headers: [
          meta(
            map([
              [0, time(after)],
              [1, time(after)],
            ]),
          ),
        ],
      },
      untrusted,
      'corim.signature.validity',
    ],
    [
      'no longer, by its CWT claims',
      { headers: [[15, map([[4, 1_000_000_000]])]] },
      untrusted,
      'corim.signature.validity',
    ],
    [
      'not yet, by its CWT claims',
      { headers: [[15, map([[5, 2_000_000_000]])]] },
      untrusted,
      'corim.signature.validity',
    ],
    [
      'with a critical header of nobody’s',
      {
        headers: [
          [2, [99]],
          [99, 1],
        ],
      },
      invalid,
      'corim.protected',
    ],
    [
      'with a critical header of a large number',
      { headers: [[2, [2n ** 40n]]] },
      invalid,
      'corim.protected',
    ],
    [
      'with a critical header that is no label',
      { headers: [[2, [[2n ** 40n]]]] },
      invalid,
      'corim.protected',
    ],
    ['as a large number', { headers: [[3, 2n ** 40n]] }, invalid, 'corim.protected'],
    [
      'with a critical header that is absent',
      { headers: [[2, [8]]], unprotected: [meta(map([[1, time(after)]]))] },
      invalid,
      'corim.protected',
    ],
    ['with an empty list of critical headers', { headers: [[2, []]] }, invalid, 'corim.protected'],
    ['as something else', { headers: [[3, 'text/plain']] }, invalid, 'corim.protected'],
    ['as a hash of something elsewhere', { headers: [[258, -16]] }, invalid, 'corim.protected'],
    [
      'with a time that is none',
      { headers: [[15, map([[4, 'soon']])]] },
      invalid,
      'corim.cwt-claims.4',
    ],
    [
      'with a time beyond all',
      { headers: [[15, map([[4, 2n ** 62n]])]] },
      invalid,
      'corim.cwt-claims.4',
    ],
  ] satisfies readonly (readonly [string, SignOptions, string, string])[])(
    'is refused: signed %s',
    async (...[, options, code, at]) => {
      const corim = signCorim(ccaPlatform(), options)
      await expect(readSigned(corim)).rejects.toMatchObject({ code, at })
    },
  )

  it('is never read by the key in its own headers', async () => {
    const corim = signCorim(ccaPlatform(), { key: other, unprotected: [[33, other.spki]] })
    await expect(readSigned(corim)).rejects.toMatchObject({ code: untrusted })
  })

  it('is not read as if nobody had signed it, nor an unsigned one as if somebody had', async () => {
    const at = 'corim.signature'
    await expect(readUnsigned(signCorim(ccaPlatform()))).rejects.toMatchObject({
      code: untrusted,
      at,
    })
    await expect(readSigned(ccaPlatform())).rejects.toMatchObject({ code: untrusted, at })
    const json = new TextEncoder().encode('{"platform": []}')
    await expect(readSigned(json)).rejects.toMatchObject({ code: untrusted, at })
  })
})

describe('rim-validity', () => {
  it('is kept to the second at both ends', async () => {
    const good = mintCorim({
      triples: [[4, [1]]],
      validity: map([
        [0, time(before)],
        [1, time(after)],
      ]),
    })
    const error = { code: 'ERR_REFERENCE_VALUES_UNTRUSTED', at: 'corim.rim-validity' }
    for (const now of [before, NOW, after]) {
      expect((await readUnsigned(good, now)).unmapped).toEqual(['CoMID comid: dependency-triples'])
    }
    const outside = [before.getTime() - 1000, after.getTime() + 1000, Number.NaN]
    for (const now of outside.map((at) => new Date(at))) {
      await expect(readUnsigned(good, now)).rejects.toMatchObject(error)
    }
  })

  it('must have an end, and real times', async () => {
    const wrong = [
      map([[0, time(before)]]),
      map([[1, 1_900_000_000]]),
      map([[1, tag(1, 'tomorrow')]]),
    ]
    for (const validity of wrong) {
      const made = mintCorim({ triples: [[4, [1]]], validity })
      await expect(readUnsigned(made)).rejects.toMatchObject({
        code: 'ERR_REFERENCE_VALUES_INVALID',
      })
    }
  })
})
