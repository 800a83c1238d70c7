import { describe, expect, it } from 'vitest'
import { toBase64 } from '../../../src/core/bytes/base64.ts'
import { concat, utf8 } from '../../../src/core/bytes/bytes.ts'
import { encodeCheckpoint, parseCheckpoint } from '../../../src/core/tlog/checkpoint.ts'
import {
  ed25519CosignedBytes,
  mlDsaCosignedBytes,
  signCheckpointLine,
} from '../../../src/core/tlog/cosignature.ts'
import { inclusionProof } from '../../../src/core/tlog/merkle.ts'
import { encodeNote, parseNote } from '../../../src/core/tlog/note.ts'
import {
  encodeSkey,
  encodeVkey,
  noteKey,
  parseSkey,
  parseVkey,
} from '../../../src/core/tlog/note-key.ts'
import { openCheckpoint, openNote, signCheckpoint } from '../../../src/core/tlog/open.ts'
import { encodeProof, parseProof, requireLogged } from '../../../src/core/tlog/proof.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { createTestLog } from '../../support/tlog.ts'

const crypto = createCrypto()
const log = await createTestLog('example.com/log')
const other = await createTestLog('example.com/log')
const TIME = 1_790_000_000
const entries = ['a', 'b', 'c'].map(utf8)
const note = await log.sign(entries, TIME)
const [text = '', lineBlock = ''] = note.split('\n\n')
const lines = lineBlock.trimEnd().split('\n')

const failure = (code: string, at?: string): Error =>
  expect.objectContaining(at === undefined ? { code } : { code, at }) as Error
const malformed = (at?: string): Error => failure('ERR_LOG_MALFORMED', at)

describe('parseNote', () => {
  it('reads what it writes, with blank lines in the text', () => {
    const odd = `one\n\ntwo\n\n${lines[0] ?? ''}\n`
    expect(parseNote(utf8(odd)).text).toBe('one\n\ntwo\n')
    expect(encodeNote(parseNote(utf8(odd)))).toBe(odd)
  })

  it.each([
    ['no signatures', `${text}\n\n`],
    ['no empty line', `${text}\n${lineBlock}`],
    ['no final line feed', note.slice(0, -1)],
    ['a carriage return', note.replace('\n3\n', '\r\n3\n')],
    ['a tab', note.replace('\n3\n', '\t\n3\n')],
    ['a NUL', `\0${note}`],
    ['a hyphen for the dash', note.replace('\u2014', '-')],
    ['two blanks', note.replace('\u2014 ', '\u2014  ')],
    ['a name with a plus', note.replace('\u2014 example', '\u2014 exa+mple')],
    ['a name with a no-break space', note.replace('\u2014 example', '\u2014 exa\u00a0mple')],
    ['base64 without padding', `${text}\n\n\u2014 a AAAAAAA\n`],
    ['base64 with stray bits', `${text}\n\n\u2014 a AAAAAAB=\n`],
    ['a signature of no bytes', `${text}\n\n\u2014 a AAAAAA==\n`],
    ['words after the signature', note.replace(/\n$/, ' x\n')],
    ['an unknown line that is malformed', `${note}\u2014 stranger %%%\n`],
    ['101 lines', `${text}\n\n${`${lines[0] ?? ''}\n`.repeat(101)}`],
  ])('refuses %s', (_, bad) => {
    expect(bad).not.toBe(note)
    expect(() => parseNote(utf8(bad))).toThrow(malformed())
  })

  it('refuses bytes that are not UTF-8, and a megabyte', () => {
    expect(() => parseNote(concat(Uint8Array.of(0xff), utf8(note)))).toThrow(malformed('log.note'))
    expect(() => parseNote(utf8(`${'a'.repeat(1_000_000)}${note}`))).toThrow(malformed('log.note'))
  })
})

describe('openNote', () => {
  it('verifies both keys, and says when the second signed', async () => {
    const { verified } = await openNote(utf8(note), log.keys, crypto)
    expect(verified).toEqual([
      { key: log.keys[0], timestamp: undefined },
      { key: log.keys[1], timestamp: TIME },
    ])
  })

  it('ignores lines of unknown keys, also of ours by name', async () => {
    const [foreign] = parseNote(utf8(await other.sign(entries, TIME))).lines
    if (foreign === undefined) throw new Error('no line')
    const parsed = parseNote(utf8(note))
    const mixed = encodeNote({ ...parsed, lines: [foreign, ...parsed.lines, foreign] })
    expect((await openNote(utf8(mixed), log.keys, crypto)).verified).toHaveLength(2)
  })

  it('counts a repeated line once', async () => {
    const parsed = parseNote(utf8(note))
    const twice = encodeNote({ ...parsed, lines: [...parsed.lines, ...parsed.lines] })
    expect((await openNote(utf8(twice), log.keys, crypto)).verified).toHaveLength(2)
  })

  it('refuses the note if one known line fails, though another verifies', async () => {
    const parsed = parseNote(utf8(note))
    for (const bad of [0, 1]) {
      const spoilt = parsed.lines.map((line, i) =>
        i === bad ? { ...line, signature: line.signature.map((byte) => byte ^ 1) } : line,
      )
      const opened = openNote(utf8(encodeNote({ ...parsed, lines: spoilt })), log.keys, crypto)
      await expect(opened).rejects.toThrow(failure('ERR_LOG_UNTRUSTED', 'log.note.signature'))
    }
  })

  it('refuses a note that no known key signed', async () => {
    await expect(openNote(utf8(note), other.keys, crypto)).rejects.toThrow(
      failure('ERR_LOG_UNTRUSTED'),
    )
    await expect(openNote(utf8(note), [], crypto)).rejects.toThrow(failure('ERR_LOG_UNTRUSTED'))
  })

  it('refuses a tree cosignature over text that is no checkpoint', async () => {
    const parsed = parseNote(utf8(note))
    const line = parsed.lines[1]
    if (line === undefined) throw new Error('no line')
    const prose = encodeNote({ text: 'hello\n', lines: [line] })
    await expect(openNote(utf8(prose), log.keys, crypto)).rejects.toThrow(
      failure('ERR_LOG_UNTRUSTED'),
    )
  })

  it('refuses a cosignature with time 0, and one of another log', async () => {
    const checkpoint = parseCheckpoint(parseNote(utf8(note)).text)
    await expect(signCheckpointLine(checkpoint, log.signers[1], 0)).rejects.toThrow(RangeError)
    const elsewhere = { ...checkpoint, origin: 'example.com/elsewhere' }
    const signed = await signCheckpoint(elsewhere, log.signers, TIME)
    await expect(openCheckpoint(utf8(signed), log, crypto)).rejects.toThrow(
      failure('ERR_LOG_UNTRUSTED', 'log.checkpoint.origin'),
    )
  })
})

describe('cosigned bytes', () => {
  it('are the specified layouts', () => {
    expect(ed25519CosignedBytes('x\n', 7)).toEqual(utf8('cosignature/v1\ntime 7\nx\n'))
    const hash = new Uint8Array(32).fill(9)
    const subtree = { cosigner: 'w', origin: 'log', timestamp: 7, start: 0, end: 300, hash }
    const u64 = (value: number): number[] => [0, 0, 0, 0, 0, 0, value >> 8, value & 255]
    expect([...mlDsaCosignedBytes(subtree)]).toEqual([
      ...utf8('subtree/v1\n\0'),
      ...[1, ...utf8('w')],
      ...u64(7),
      ...[3, ...utf8('log')],
      ...u64(0),
      ...u64(300),
      ...hash,
    ])
    expect(() => mlDsaCosignedBytes({ ...subtree, start: 4 })).toThrow(RangeError)
  })
})

describe('note keys', () => {
  it('survive their text form', async () => {
    for (const key of log.keys) expect(await parseVkey(encodeVkey(key), crypto)).toEqual(key)
    const secret = { name: 'a', seed: new Uint8Array(32).fill(3), id: 0xdeadbeef }
    expect(parseSkey(encodeSkey(secret))).toEqual(secret)
    expect(encodeSkey(secret)).toMatch(/^PRIVATE\+KEY\+a\+deadbeef\+AQMD/)
  })

  const [good] = log.vkeys
  it.each([
    ['an id of another key', good.replace(/\+[0-9a-f]{8}\+/, '+00000000+')],
    ['another name', good.replace('example.com', 'example.org')],
    ['an upper-case id', good.replace(/\+[0-9a-f]{8}\+/, (id) => id.toUpperCase())],
    ['no key', good.split('+').slice(0, 2).join('+')],
    ['base64 cut', good.slice(0, -1)],
    ['ECDSA', `a+00000000+${toBase64(new Uint8Array(33).fill(2))}`],
    ['a short key', `a+00000000+${toBase64(new Uint8Array(32).fill(1))}`],
    ['a name with a blank', `a b${good}`],
  ])('refuses %s', async (_, bad) => {
    if (bad === good) return
    await expect(parseVkey(bad, crypto)).rejects.toThrow(failure('ERR_LOG_KEY_INVALID'))
  })

  it('refuses private keys that are none, without repeating them', () => {
    for (const bad of [good, 'PRIVATE+KEY+a+00000000+AQAA', 'PRIVATE+KEY+a+00000000+!!']) {
      expect(() => parseSkey(bad)).toThrow(failure('ERR_LOG_KEY_INVALID'))
    }
  })

  it('refuses a key of another algorithm than its type', async () => {
    const key = log.signers[1].signer.key
    await expect(noteKey({ name: 'a', type: 1, key }, crypto)).rejects.toThrow(
      failure('ERR_LOG_KEY_INVALID'),
    )
  })
})

describe('parseCheckpoint', () => {
  const root = toBase64(new Uint8Array(32))
  it('reads what it writes, with extensions', () => {
    const whole = `o\n0\n${root}\nextra\n`
    expect(encodeCheckpoint(parseCheckpoint(whole))).toBe(whole)
  })

  it.each([
    ['no origin', `\n1\n${root}\n`, 'log.checkpoint.origin'],
    ['a leading zero', `o\n01\n${root}\n`, 'log.checkpoint.size'],
    ['a sign', `o\n+1\n${root}\n`, 'log.checkpoint.size'],
    ['a size of 2^64 - 1', `o\n18446744073709551615\n${root}\n`, 'log.checkpoint.size'],
    ['a size of 2^53', `o\n9007199254740992\n${root}\n`, 'log.checkpoint.size'],
    ['a short root', `o\n1\nAAAA\n`, 'log.checkpoint.root'],
    ['no root', `o\n1\n`, 'log.checkpoint.root'],
    ['an empty extension', `o\n1\n${root}\n\n`, 'log.checkpoint'],
    ['no final line feed', `o\n1\n${root}`, 'log.checkpoint'],
  ])('refuses %s', (_, bad, at) => {
    expect(() => parseCheckpoint(bad)).toThrow(malformed(at))
  })
})

describe('tlog-proof', () => {
  const make = async (): Promise<string> => {
    const hashes = await inclusionProof(await log.tree(entries), 1, 3)
    return encodeProof({ extra: utf8('b'), index: 1, hashes, checkpoint: note })
  }

  it('proves its entry, and only that', async () => {
    const proof = parseProof(utf8(await make()))
    expect(encodeProof(proof)).toBe(await make())
    const { checkpoint } = await requireLogged({ entry: utf8('b'), proof }, log, crypto)
    expect(checkpoint.size).toBe(3)
    for (const [entry, change] of [
      ['x', {}],
      ['b', { index: 0 }],
      ['b', { index: 3 }],
      ['b', { hashes: proof.hashes.toReversed() }],
      ['b', { hashes: [] }],
    ] as const) {
      const bad = { entry: utf8(entry), proof: { ...proof, ...change } }
      await expect(requireLogged(bad, log, crypto)).rejects.toThrow(failure('ERR_LOG_INCONSISTENT'))
    }
    await expect(requireLogged({ entry: utf8('b'), proof }, other, crypto)).rejects.toThrow(
      failure('ERR_LOG_UNTRUSTED'),
    )
  })

  it('needs no hashes in a tree of one', async () => {
    const checkpoint = await log.sign([utf8('a')], TIME)
    const proof = { extra: undefined, index: 0, hashes: [], checkpoint }
    const parsed = parseProof(utf8(encodeProof(proof)))
    await requireLogged({ entry: utf8('a'), proof: parsed }, log, crypto)
  })

  it.each([
    ['another header', (proof: string) => proof.replace('@v1', '@v2')],
    ['no index', (proof: string) => proof.replace('index 1\n', '')],
    ['an index with a zero', (proof: string) => proof.replace('index 1', 'index 01')],
    [
      'extra after the index',
      (proof: string) => proof.replace('extra Yg==\nindex 1', 'index 1\nextra Yg=='),
    ],
    ['a hash too short', (proof: string) => proof.replace('index 1\n', 'index 1\nAAAA\n')],
    ['no checkpoint', (proof: string) => proof.split('\n\n')[0] ?? ''],
    [
      '64 hashes',
      (proof: string) =>
        proof.replace('index 1\n', `index 1\n${`${toBase64(new Uint8Array(32))}\n`.repeat(64)}`),
    ],
  ])('refuses %s', async (_, change) => {
    expect(() => parseProof(utf8(change('')))).toThrow(malformed())
    const bad = change(await make())
    expect(() => parseProof(utf8(bad))).toThrow(malformed())
  })
})
