import { describe, expect, it } from 'vitest'
import { type CborValue, encodeCbor } from '../../../src/core/encoding/cbor.ts'
import { parseDocument } from '../../../src/core/evidence/nitro/document.ts'
import { nitro } from '../../../src/core/evidence/nitro/format.ts'
import {
  der,
  derContext,
  derOctets,
  derOid,
  derSequence,
} from '../../../src/drivers/attester/simulated/minting/der.ts'
import {
  mintAwsPki,
  mintNitroDocument,
  mintNsmResponse,
  type NitroMembers,
} from '../../../src/testing/index.ts'
import { AT } from '../../support/nitro.ts'

const pki = mintAwsPki({ at: AT })
const document = (members: NitroMembers = {}) => mintNitroDocument({ pki, timestamp: AT, members })
const good = document()
const bytes = (length: number) => new Uint8Array(length).fill(9)
const pcrsOf = (...entries: [number | string, CborValue][]) =>
  new Map<number | string, CborValue>(entries)
const many = (count: number) =>
  pcrsOf(...Array.from({ length: count }, (_, i): [number, CborValue] => [i, bytes(48)]))

const MALFORMED = 'ERR_EVIDENCE_MALFORMED'
const UNSUPPORTED = 'ERR_EVIDENCE_UNSUPPORTED'

/** A certificate's shape around a subjectAltName with one DNS name. */
function certificateWith(name: string): Uint8Array {
  const names = derSequence(der(0x82, new TextEncoder().encode(name)))
  const extension = derSequence(derOid('2.5.29.17'), derOctets(names))
  return derSequence(derSequence(derContext(3, derSequence(extension))))
}

describe('parseDocument', () => {
  it('reads every member', () => {
    const { document: parsed, message } = parseDocument(good)
    expect(parsed).toMatchObject({
      moduleId: 'i-0123456789abcdef0-enc0123456789abcdef',
      timestamp: AT.getTime(),
      certificate: pki.leaf.der,
      cabundle: pki.cabundle,
      publicKey: undefined,
      userData: new Uint8Array(32).fill(0xd1),
      nonce: new Uint8Array(32).fill(0xe2),
    })
    expect(parsed.pcrs.size).toBe(16)
    expect(message.signature).toHaveLength(96)
  })

  it.each([
    ['tagged', mintNitroDocument({ pki, timestamp: AT, tagged: true })],
    ["in the device's response", mintNsmResponse(good)],
    ['in a certificate', certificateWith(Buffer.from(good).toString('hex'))],
  ])('finds it %s', (_, wrapped) => {
    expect(nitro.detects(wrapped)).toBe(true)
    expect(parseDocument(wrapped).document.timestamp).toBe(AT.getTime())
  })

  it.each<[string, NitroMembers]>([
    ['absent', { nonce: undefined, user_data: undefined, public_key: undefined }],
    ['null', { nonce: null, user_data: null, public_key: null }],
    ['empty', { nonce: bytes(0), user_data: bytes(0), public_key: bytes(0) }],
  ])('optional members may be %s', (_, members) => {
    const { document: parsed } = parseDocument(document(members))
    expect([parsed.nonce, parsed.userData, parsed.publicKey]).toEqual([
      undefined,
      undefined,
      undefined,
    ])
  })

  it.each<[string, NitroMembers]>([
    [
      'optional members at their limit',
      { nonce: bytes(1024), user_data: bytes(1024), public_key: bytes(1024) },
    ],
    ['one register', { pcrs: many(1) }],
    ['32 registers', { pcrs: many(32) }],
    ['registers of 32 and 64 bytes', { pcrs: pcrsOf([0, bytes(32)], [31, bytes(64)]) }],
    ['a small timestamp', { timestamp: 1 }],
  ])('takes %s', (_, members) => {
    expect(() => parseDocument(document(members))).not.toThrow()
  })

  it.each<[string, NitroMembers, string, string]>([
    ['no module_id', { module_id: undefined }, MALFORMED, 'module_id'],
    ['empty module_id', { module_id: '' }, MALFORMED, 'module_id'],
    ['module_id of bytes', { module_id: bytes(8) }, MALFORMED, 'module_id'],
    ['long module_id', { module_id: 'i'.repeat(1025) }, MALFORMED, 'module_id'],
    ['no digest', { digest: undefined }, MALFORMED, 'digest'],
    ['another digest', { digest: 'SHA256' }, UNSUPPORTED, 'digest'],
    ['digest of bytes', { digest: bytes(6) }, MALFORMED, 'digest'],
    ['no timestamp', { timestamp: undefined }, MALFORMED, 'timestamp'],
    ['timestamp zero', { timestamp: 0 }, MALFORMED, 'timestamp'],
    ['negative timestamp', { timestamp: -1 }, MALFORMED, 'timestamp'],
    ['timestamp beyond dates', { timestamp: (1n << 64n) - 1n }, MALFORMED, 'timestamp'],
    ['timestamp of text', { timestamp: '2026' }, MALFORMED, 'timestamp'],
    ['no pcrs', { pcrs: undefined }, MALFORMED, 'pcrs'],
    ['pcrs of none', { pcrs: pcrsOf() }, MALFORMED, 'pcrs'],
    ['33 registers', { pcrs: many(33) }, MALFORMED, 'pcrs'],
    ['register 32', { pcrs: pcrsOf([32, bytes(48)]) }, MALFORMED, 'pcrs'],
    ['register -1', { pcrs: pcrsOf([-1, bytes(48)]) }, MALFORMED, 'pcrs'],
    ['register by name', { pcrs: pcrsOf(['0', bytes(48)]) }, MALFORMED, 'pcrs'],
    ['register of 47 bytes', { pcrs: pcrsOf([0, bytes(47)]) }, MALFORMED, 'pcrs'],
    ['register of null', { pcrs: pcrsOf([0, null]) }, MALFORMED, 'pcrs'],
    ['pcrs in a list', { pcrs: [bytes(48)] }, MALFORMED, 'pcrs'],
    ['no certificate', { certificate: undefined }, MALFORMED, 'certificate'],
    ['empty certificate', { certificate: bytes(0) }, MALFORMED, 'certificate'],
    ['certificate over 1024 bytes', { certificate: bytes(1025) }, MALFORMED, 'certificate'],
    ['no cabundle', { cabundle: undefined }, MALFORMED, 'cabundle'],
    ['cabundle of none', { cabundle: [] }, MALFORMED, 'cabundle'],
    [
      'cabundle of nine',
      { cabundle: Array.from({ length: 9 }, () => bytes(9)) },
      MALFORMED,
      'cabundle',
    ],
    ['cabundle with an empty one', { cabundle: [bytes(9), bytes(0)] }, MALFORMED, 'cabundle'],
    ['cabundle that is no list', { cabundle: bytes(9) }, MALFORMED, 'cabundle'],
    ['user_data over 1024 bytes', { user_data: bytes(1025) }, MALFORMED, 'user_data'],
    ['nonce over 1024 bytes', { nonce: bytes(1025) }, MALFORMED, 'nonce'],
    ['public_key over 1024 bytes', { public_key: bytes(1025) }, MALFORMED, 'public_key'],
    ['nonce of text', { nonce: 'abc' }, MALFORMED, 'nonce'],
    ['a member nobody documented', { extra: 1 }, UNSUPPORTED, 'member'],
  ])('refuses %s', (...[, members, code, field]) => {
    expect(() => parseDocument(document(members))).toThrow(
      expect.objectContaining({ code, at: `nitro.document.${field}` }),
    )
  })

  it.each<[string, Uint8Array, string]>([
    ['nothing', new Uint8Array(), 'nitro.cose.head'],
    ['a document over 16 KiB', bytes(16 * 1024 + 1), 'nitro.document'],
    ['bytes after it', Uint8Array.from([...good, 0]), 'nitro.cose.end'],
    [
      'a payload that is no map',
      encodeCbor([
        encodeCbor(new Map([[1, -35]])),
        new Map<string, CborValue>(),
        encodeCbor([1]),
        bytes(96),
      ]),
      'nitro.document',
    ],
    [
      'an unprotected header',
      mintNitroDocument({ pki, timestamp: AT, unprotected: new Map([[4, 1]]) }),
      'nitro.cose.unprotected',
    ],
    [
      'a response of another kind',
      encodeCbor(new Map([['Error', 'InvalidOperation']])),
      'nitro.response',
    ],
    [
      'a response without document',
      encodeCbor(new Map([['Attestation', new Map([['doc', good]])]])),
      'nitro.response',
    ],
    [
      'a response with more',
      encodeCbor(
        new Map([
          [
            'Attestation',
            new Map<string, CborValue>([
              ['document', good],
              ['x', 1],
            ]),
          ],
        ]),
      ),
      'nitro.response',
    ],
  ])('refuses %s', (_, input, at) => {
    expect(() => parseDocument(input)).toThrow(expect.objectContaining({ code: MALFORMED, at }))
  })

  it('input-is-untouched', () => {
    const input = Buffer.from(good)
    const parsed = parseDocument(input)
    expect(input.equals(Buffer.from(good))).toBe(true)
    input.fill(0)
    expect(parsed).toEqual(parseDocument(good))
  })
})

describe('detects and describe', () => {
  it('knows a document by its shape', () => {
    expect(nitro.detects(good)).toBe(true)
    for (const other of [[], [0x84], [0x84, 0xa0], [0xd2, 0x83], [0xa1, 0x01], [0x30, 0x03]]) {
      expect(nitro.detects(Uint8Array.from(other)), other.join()).toBe(false)
    }
  })

  it('prints every field by its name', () => {
    const fields = Object.fromEntries(
      nitro.describe(parseDocument(good)).map(({ name, value }) => [name, value]),
    )
    expect(fields).toMatchObject({
      alg: '-35',
      digest: 'SHA384',
      timestamp: AT.toISOString(),
      PCR0: '01'.repeat(48),
      public_key: 'absent',
      nonce: 'e2'.repeat(32),
    })
  })
})
