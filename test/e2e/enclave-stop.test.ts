/** The end of an enclave process, as its clients and its gateway see it. */
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Chain, startChain } from '../support/chain.ts'
import { ask, demoFiles, openAnswer, startProcess } from '../support/enclave-process.ts'
import { killServices } from '../support/serve.ts'

describe('an enclave that is stopped', () => {
  let chain: Chain
  beforeAll(async () => {
    chain = await startChain(await demoFiles())
  })
  afterAll(async () => {
    await killServices()
    chain.remove()
  })

  it('ends the answers at work, and stays until their receipts were fetched', async () => {
    const enclave = await startProcess([...chain.flags, '--model', 'demo'])
    const messages = [{ role: 'user', content: 'What does the key broker do?' }]
    const asked = await Promise.all(
      [1, 2, 3].map(async () => ask(chain, { model: 'demo', stream: true, messages })),
    )
    enclave.child.kill('SIGTERM')
    for (const answer of asked) expect((await openAnswer(answer)).text).toContain('[DONE]')
    const [code] = (await once(enclave.child, 'close')) as [number | null]
    expect(code).toBe(0)
    const usage = async () => {
      const headers = { authorization: `Bearer ${chain.token('operator')}` }
      const answer = await fetch(`${chain.service.url}/v1/usage/development`, { headers })
      const { totals } = (await answer.json()) as { totals: { state: string; requests: number }[] }
      return totals.map(({ state, requests }) => [state, requests])
    }
    await expect.poll(usage).toEqual([['billed', 3]])
  })
})
