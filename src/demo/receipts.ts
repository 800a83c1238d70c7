/** What the answers cost: signed inside, billed outside. @packageDocumentation */
import type { SecureSession } from '../client/index.ts'
import type { Service } from './setup.ts'
import { readToken } from './state.ts'
import { call, type World } from './world.ts'

/** Requests made so far: one chat, one call for embeddings. */
const REQUESTS = 2
const SETTLE_MS = 5_000
const POLL_MS = 50

/** Receipts as the client verified them, and the gateway's bill. @returns Ids of the receipts. */
export async function showReceipts(
  world: World,
  session: SecureSession,
  { url }: Service,
): Promise<readonly string[]> {
  const { stage } = world
  stage.heading('Receipts')
  const outcomes = await session.receipts()
  let [input, output] = [0, 0]
  for (const outcome of outcomes) {
    if (!outcome.verified || !('input_tokens' in outcome.receipt.usage)) continue
    const { usage, receipt_id: id } = outcome.receipt
    input += usage.input_tokens
    output += usage.output_tokens
    stage.line(`${id}  ${usage.input_tokens} tokens in, ${usage.output_tokens} out`)
  }
  stage.expect({
    what: 'signed by the enclave over the very bytes that we sent and got',
    held: outcomes.length === REQUESTS && outcomes.every(({ verified }) => verified),
    found: `${outcomes.length} receipts`,
  })
  const want = { requests: outcomes.length, input_tokens: input, output_tokens: output }
  const billed = await settled(world, url, want)
  stage.expect({
    what: "the gateway's bill agrees, although it could read none of it",
    held: JSON.stringify(billed) === JSON.stringify(want) && output > 0,
    found: `${billed.requests} requests, ${billed.input_tokens} in, ${billed.output_tokens} out`,
  })
  return outcomes.map(({ id }) => id)
}

interface Bill {
  readonly requests: number
  readonly input_tokens: number
  readonly output_tokens: number
}

/** The gateway settles after the answer has ended; a little later it must be there. */
async function settled(world: World, url: string, want: Bill): Promise<Bill> {
  const token = await readToken(world.paths.operatorToken)
  const until = performance.now() + SETTLE_MS
  for (;;) {
    const { body } = await call(world, `${url}/v1/usage/development`, { token })
    const totals = body['totals'] as readonly (Bill & { readonly state: string })[]
    const { requests, input_tokens, output_tokens } = totals.find(
      ({ state }) => state === 'billed',
    ) ?? { requests: 0, input_tokens: 0, output_tokens: 0 }
    if (requests >= want.requests || performance.now() > until) {
      return { requests, input_tokens, output_tokens }
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}
