/** What a service finds when it starts again, and something of its data is gone. */
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { developmentConfig } from '../../../src/main/config.ts'
import { type Service, startService } from '../../../src/main.ts'

let data: string
let service: Service | undefined
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'restart-'))
})
afterEach(async () => {
  await service?.close()
  service = undefined
  rmSync(data, { recursive: true })
})

const start = async (): Promise<string> => {
  await service?.close()
  service = undefined
  const settings = developmentConfig({ dataDirectory: data, port: 0 })
  service = await startService(settings, { write: () => undefined })
  return service.url
}
const headers = (name: string) => ({
  authorization: `Bearer ${readFileSync(join(data, 'tokens', name), 'utf8').trim()}`,
  'content-type': 'application/json',
})
const status = async (url: string, token: string) =>
  (await fetch(url, { headers: headers(token) })).status

const POLICY = {
  version: '1.0.0',
  anyOf: [
    { authority: 'urn:vouchsafe:verifier', allOf: [{ claim: 'iss', equals: 'urn:vouchsafe' }] },
  ],
}
const createKey = async (url: string): Promise<void> => {
  const body = JSON.stringify({ policy: POLICY })
  const options = { method: 'POST', headers: headers('operator'), body }
  expect((await fetch(`${url}/v1/keys/acme/models/a`, options)).status).toBe(201)
}

describe('the key-encryption key', () => {
  it('is not made anew under keys that another one wraps: they would be lost without a word', async () => {
    await createKey(await start())
    await service?.close()
    service = undefined
    const kek = join(data, 'keys/kek')
    rmSync(kek)
    await expect(start()).rejects.toMatchObject({ code: 'ERR_KEK_UNAVAILABLE', at: 'kek.file' })
    expect(existsSync(kek)).toBe(false)
  })

  it('of another installation is refused at the start, not at the first release', async () => {
    await start()
    const kek = join(data, 'keys/kek')
    rmSync(kek)
    // No key is wrapped yet, so another one will do.
    await createKey(await start())
    await service?.close()
    service = undefined
    const other = mkdtempSync(join(tmpdir(), 'restart-'))
    const settings = developmentConfig({ dataDirectory: other, port: 0 })
    await (await startService(settings, { write: () => undefined })).close()
    copyFileSync(join(other, 'keys/kek'), kek)
    rmSync(other, { recursive: true })
    await expect(start()).rejects.toMatchObject({ code: 'ERR_KEK_UNAVAILABLE', at: 'kek.file' })
  })
})

describe('development repairs what it made itself', () => {
  it('a client key that the gateway does not know, since its database is gone', async () => {
    expect(await status(`${await start()}/v1/models`, 'client')).toBe(200)
    await service?.close()
    service = undefined
    for (const suffix of ['', '-wal', '-shm']) {
      rmSync(join(data, `gateway.sqlite${suffix}`), { force: true })
    }
    expect(await status(`${await start()}/v1/models`, 'client')).toBe(200)
  })

  it('a client key that is kept while it is good', async () => {
    await start()
    const before = headers('client')
    await start()
    expect(headers('client')).toEqual(before)
  })

  it('an operator token that the list does not have', async () => {
    await start()
    rmSync(join(data, 'tokens/operator'))
    expect(await status(`${await start()}/v1/keys`, 'operator')).toBe(200)
  })
})
