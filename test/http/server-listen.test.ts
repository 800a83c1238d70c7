import { afterEach, expect, it } from 'vitest'
import { createApp } from '../../src/server/app.ts'
import { listen } from '../../src/server/listen.ts'

const apps: ReturnType<typeof createApp>[] = []
const app = (): ReturnType<typeof createApp> => {
  const made = createApp({ log: false })
  apps.push(made)
  return made
}
afterEach(async () => {
  for (const one of apps.splice(0)) await one.close()
})

it('says where it answers', async () => {
  const url = await listen(app(), { host: '127.0.0.1', port: 0 })
  expect((await fetch(`${url}/healthz`)).status).toBe(200)
})

it('an address that is taken, or not ours, is a mistake in the configuration', async () => {
  const url = await listen(app(), { host: '127.0.0.1', port: 0 })
  const taken = { host: '127.0.0.1', port: Number(new URL(url).port) }
  const refusal = { code: 'ERR_CONFIG_INVALID', at: 'listen' }
  await expect(listen(app(), taken)).rejects.toMatchObject(refusal)
  await expect(listen(app(), { host: '192.0.2.1', port: 0 })).rejects.toMatchObject(refusal)
})
