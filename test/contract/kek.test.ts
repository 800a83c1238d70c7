import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { Kek } from '../../src/core/ports/kek.ts'
import { openFileKek } from '../../src/drivers/kek/file.ts'
import { systemRandom } from '../../src/drivers/random.ts'
import { openSecretFile } from '../../src/drivers/signer/file.ts'

const dir = mkdtempSync(join(tmpdir(), 'kek-'))
afterAll(() => {
  rmSync(dir, { recursive: true })
})
const passphrase = 'correct horse battery'
const openAt = async (name: string, secret?: string): Promise<Kek> =>
  openFileKek({
    file: (make) => openSecretFile(join(dir, name), make),
    passphrase: secret,
    random: systemRandom,
  })
const unavailable = (at: string): unknown =>
  expect.objectContaining({ code: 'ERR_KEK_UNAVAILABLE', at })
const context = 'kbs:///a/b/c?version=1'
const material = systemRandom(32)

const PROVIDERS: Readonly<Record<string, (name: string) => Promise<Kek>>> = {
  file: async (name) => openAt(name),
  'file with passphrase': async (name) => openAt(name, passphrase),
}

describe.each(Object.entries(PROVIDERS))('%s', (provider, open) => {
  it('unwraps what it wrapped, after a restart too', async () => {
    const kek = await open(`${provider}-1`)
    const wrapped = await kek.wrap(material, context)
    expect(wrapped.kek).toBe(kek.id)
    await kek.health()
    const again = await open(`${provider}-1`)
    expect(again.id).toBe(kek.id)
    expect(await again.unwrap(wrapped, context)).toEqual(material)
  })

  it('wraps the same material differently each time, and never in the clear', async () => {
    const kek = await open(`${provider}-1`)
    const [a, b] = [await kek.wrap(material, context), await kek.wrap(material, context)]
    expect(a.bytes).not.toEqual(b.bytes)
    expect(Buffer.from(a.bytes).includes(Buffer.from(material))).toBe(false)
  })

  it('refuses another context, another key, and any flipped bit', async () => {
    const kek = await open(`${provider}-1`)
    const other = await open(`${provider}-2`)
    const wrapped = await kek.wrap(material, context)
    const failed: unknown = unavailable('kek.unwrap')
    await expect(kek.unwrap(wrapped, 'kbs:///a/b/c?version=2')).rejects.toThrow(failed)
    await expect(other.unwrap(wrapped, context)).rejects.toThrow(failed)
    await expect(other.unwrap({ ...wrapped, kek: other.id }, context)).rejects.toThrow(failed)
    for (let length = 0; length < wrapped.bytes.length; length++) {
      const cut = { ...wrapped, bytes: wrapped.bytes.slice(0, length) }
      await expect(kek.unwrap(cut, context)).rejects.toThrow(failed)
      const bytes = wrapped.bytes.slice()
      bytes[length] = (bytes[length] ?? 0) ^ 4
      await expect(kek.unwrap({ ...wrapped, bytes }, context)).rejects.toThrow(failed)
    }
  })

  it('input-is-untouched', async () => {
    const kek = await open(`${provider}-1`)
    const before = material.slice()
    const wrapped = await kek.wrap(material, context)
    const opened = await kek.unwrap(wrapped, context)
    opened.fill(0)
    expect(material).toEqual(before)
    expect(await kek.unwrap(wrapped, context)).toEqual(before)
  })
})

describe('the file', () => {
  it('is made with mode 0600, and refused when others may read it', async () => {
    await openAt('mode')
    expect(statSync(join(dir, 'mode')).mode & 0o777).toBe(0o600)
    for (const mode of [0o640, 0o604, 0o660]) {
      chmodSync(join(dir, 'mode'), mode)
      await expect(openAt('mode')).rejects.toThrow(
        expect.objectContaining({ code: 'ERR_STATE_INVALID' }),
      )
    }
  })

  it('with a passphrase does not hold the key, and needs the passphrase', async () => {
    await openAt('locked', passphrase)
    await expect(openAt('locked')).rejects.toThrow(unavailable('kek.passphrase'))
    await expect(openAt('locked', `${passphrase}!`)).rejects.toThrow(unavailable('kek.passphrase'))
    await openAt('open')
    await expect(openAt('open', passphrase)).rejects.toThrow(unavailable('kek.passphrase'))
    await expect(openAt('short', 'short')).rejects.toThrow(unavailable('kek.passphrase'))
  })

  it('with anything changed is refused, without saying what it holds', async () => {
    await openAt('good')
    const text = readFileSync(join(dir, 'good'), 'utf8')
    const { key } = JSON.parse(text) as { key: string }
    const bent = [
      text.replace(key, (key.startsWith('A') ? 'B' : 'A') + key.slice(1)),
      text.replace(key, key.slice(0, -4)),
      text.replace('file:', 'file:0'),
      text.replace('"id"', '"more":1,"id"'),
      text.replace('kek/1', 'kek/2'),
      text.slice(0, 50),
      '[]',
      '',
    ]
    for (const [i, content] of bent.entries()) {
      writeFileSync(join(dir, `bent${i}`), content, { mode: 0o600 })
      const error = await openAt(`bent${i}`).catch((err: unknown) => err)
      expect(error).toEqual(unavailable('kek.file'))
      expect(String(error)).not.toContain(key)
    }
  })

  it('may not ask for a cost that is too low or too high', async () => {
    await openAt('cost', passphrase)
    const text = readFileSync(join(dir, 'cost'), 'utf8')
    const bent = ['"memory":8', '"memory":4000000', '"memory":"65536"']
    for (const [i, memory] of bent.entries()) {
      const content = text.replace('"memory":65536', memory)
      writeFileSync(join(dir, `cost${i}`), content, { mode: 0o600 })
      await expect(openAt(`cost${i}`, passphrase)).rejects.toThrow(
        unavailable('kek.file.protection'),
      )
    }
    writeFileSync(join(dir, 'cost9'), text.replace('"passes":3', '"passes":2'), { mode: 0o600 })
    await expect(openAt('cost9', passphrase)).rejects.toThrow(unavailable('kek.passphrase'))
  })
})
