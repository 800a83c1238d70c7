import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { writeDevelopmentPin } from '../../../src/main/client-pin.ts'

let directory: string
const at = (name: string): string => join(directory, name)
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vouchsafe-pin-'))
})
afterEach(() => {
  rmSync(directory, { recursive: true })
})

const write = async () => writeDevelopmentPin(at('pin.json'), { origin: 'o', keys: ['k'] }, ['r'])
const pin = { version: 1, log: { origin: 'o', keys: ['k'] }, unsafe_simulated_roots: ['r'] }
const written = (): unknown => JSON.parse(readFileSync(at('pin.json'), 'utf8'))

it('takes the place of the one before, and leaves nothing beside it', async () => {
  writeFileSync(at('pin.json'), 'old')
  await write()
  expect(written()).toMatchObject(pin)
  expect(readdirSync(directory)).toEqual(['pin.json'])
})

it('follows no link: neither by its own name nor by one that could be guessed', async () => {
  writeFileSync(at('victim'), 'mine')
  symlinkSync(at('victim'), at('pin.json'))
  symlinkSync(at('victim'), at('pin.json.new'))
  await write()
  expect(readFileSync(at('victim'), 'utf8')).toBe('mine')
  expect(lstatSync(at('pin.json')).isFile()).toBe(true)
  expect(written()).toMatchObject(pin)
})

it('says where it cannot be written, and leaves nothing there', async () => {
  mkdirSync(at('pin.json/full'), { recursive: true })
  await expect(write()).rejects.toMatchObject({
    code: 'ERR_STATE_INVALID',
    message: expect.stringContaining(at('pin.json')) as unknown,
  })
  expect(readdirSync(directory)).toEqual(['pin.json'])
})
