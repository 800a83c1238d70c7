import { expect, it } from 'vitest'
import { renderError } from '../../../src/cli/output.ts'
import { VouchsafeError } from '../../../src/core/errors.ts'

const PLAIN = { json: false, color: false }
const error = (detail: string, cause?: unknown) =>
  new VouchsafeError({ code: 'ERR_CONFIG_INVALID', at: 'listen.port' }, detail, { cause })

it('one mistake is one line', () => {
  expect(renderError(error('too high'), PLAIN)).toBe(
    'ERR_CONFIG_INVALID at listen.port: too high\n',
  )
})

it('several mistakes are a line each, below the place of the first', () => {
  expect(renderError(error('f:1:2 a: x\nf:3:4 b: y'), PLAIN)).toBe(
    'ERR_CONFIG_INVALID at listen.port:\n  f:1:2 a: x\n  f:3:4 b: y\n',
  )
})

it('what a stranger wrote moves no cursor and begins no line', () => {
  const text = renderError(error('found "\u001b[2J\r\nERR_FORGED at x: y"'), PLAIN)
  expect(text).not.toContain('\u001b')
  expect(text).not.toContain('\r')
  expect(text).not.toMatch(/^ERR_FORGED/m)
})

it('the system says in its own word why, as it does to every other program', () => {
  const refused = Object.assign(new Error('secret text'), { code: 'EACCES' })
  expect(renderError(error('cannot read f', refused), PLAIN)).toBe(
    'ERR_CONFIG_INVALID at listen.port: cannot read f (EACCES)\n',
  )
  const locked = Object.assign(new Error('x'), {
    code: 'ERR_SQLITE_ERROR',
    errstr: 'database is locked',
  })
  expect(renderError(error('cannot open f', locked), PLAIN)).toContain('(database is locked)')
  // A cause of our own has said its word already, and any other may quote what it read.
  expect(renderError(error('no', new Error('secret')), PLAIN)).not.toContain('secret')
  expect(renderError(error('no', error('inner')), PLAIN)).not.toContain('(')
})

it('JSON keeps the detail as it is', () => {
  expect(JSON.parse(renderError(error('a\nb'), { json: true, color: false }))).toEqual({
    error: { code: 'ERR_CONFIG_INVALID', at: 'listen.port', detail: 'a\nb' },
  })
})
