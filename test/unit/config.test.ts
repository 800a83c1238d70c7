import { Type } from 'typebox'
import { describe, expect, it } from 'vitest'
import { VouchsafeError } from '../../src/core/errors.ts'
import { CLOSED, readConfig } from '../../src/server/config.ts'

const schema = Type.Object(
  {
    mode: Type.Enum(['production', 'development'], { default: 'production' }),
    listen: Type.Object(
      {
        host: Type.String({ default: '127.0.0.1' }),
        port: Type.Integer({ default: 8420, minimum: 0, maximum: 65_535 }),
      },
      { ...CLOSED, default: {} },
    ),
    names: Type.Array(Type.String({ minLength: 1 }), { default: [] }),
    'with/slash': Type.Optional(Type.Boolean()),
  },
  CLOSED,
)

const read = (text: string) => readConfig(schema, { file: 'vouchsafe.json', text })

const problemsOf = (text: string): { at: string; lines: readonly string[] } => {
  try {
    read(text)
  } catch (err) {
    if (!(err instanceof VouchsafeError)) throw err
    expect(err.code).toBe('ERR_CONFIG_INVALID')
    return { at: err.at, lines: err.message.slice(err.at.length + 2).split('\n') }
  }
  throw new Error('was accepted')
}

describe('readConfig', () => {
  it('fills in every default', () => {
    expect(read('{}')).toEqual({
      mode: 'production',
      listen: { host: '127.0.0.1', port: 8420 },
      names: [],
    })
    expect(read('{"listen":{"port":1}}').listen).toEqual({ host: '127.0.0.1', port: 1 })
  })

  it('gives every call defaults of its own', () => {
    read('{}').names.push('mine')
    expect(read('{}').names).toEqual([])
  })

  it('names every mistake at its line and column, in order', () => {
    const { at, lines } = problemsOf(
      [
        '{',
        '  "mode": "prodution",',
        '  "listen": { "prot": 1,',
        '    "port": "x" },',
        '  "names": ["a", ""],',
        '  "with/slash": 1,',
        '  "extra": {}',
        '}',
      ].join('\n'),
    )
    expect(at).toBe('mode')
    expect(lines.map((line) => line.split(': ')[0])).toEqual([
      'vouchsafe.json:2:11 mode',
      'vouchsafe.json:3:15 listen.prot',
      'vouchsafe.json:4:13 listen.port',
      'vouchsafe.json:5:18 names.1',
      'vouchsafe.json:6:17 with/slash',
      'vouchsafe.json:7:3 extra',
    ])
  })

  it('has no limit of eight', () => {
    const members = Array.from({ length: 20 }, (_, i) => `"x${i}": 1`)
    expect(problemsOf(`{${members.join(',')}}`).lines).toHaveLength(20)
  })

  it.each([
    ['no JSON', '{', 'vouchsafe.json'],
    ['a key twice', '{"mode":"production","mode":"development"}', 'vouchsafe.json'],
    ['a list', '[]', 'config'],
    ['a number out of range', '{"listen":{"port":65536}}', 'listen.port'],
    ['a coercible number', '{"listen":{"port":"8420"}}', 'listen.port'],
    ['null for a default', '{"listen":null}', 'listen'],
  ])('refuses %s', (_, text, at) => {
    expect(problemsOf(text).at).toBe(at)
  })
})
