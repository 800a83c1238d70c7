/** One target on a thread of its own, where it may hang or die. @packageDocumentation */
import { parentPort, workerData } from 'node:worker_threads'
import { openSession } from './session.ts'
import type { Finding } from './target.ts'
import { TARGETS } from './targets.ts'

export interface Order {
  readonly id: string
  readonly seed: number
  readonly executions: number
  readonly milliseconds: number
  /** Length, then the input at work: what is left of it if the thread does not come back. */
  readonly shared: SharedArrayBuffer
}

export type Message =
  | { readonly kind: 'progress'; readonly executions: number; readonly ways: number }
  | { readonly kind: 'finding'; readonly finding: Finding; readonly executions: number }
  | { readonly kind: 'done'; readonly corpus: readonly Uint8Array[] }

const BATCH = 500
const LENGTH_BYTES = 4

async function work(order: Order, send: (message: Message) => void): Promise<void> {
  const target = TARGETS.find(({ id }) => id === order.id)
  if (target === undefined) throw new Error(`no target ${order.id}`)
  const length = new Uint32Array(order.shared, 0, 1)
  const bytes = new Uint8Array(order.shared, LENGTH_BYTES)
  const onInput = (input: Uint8Array): void => {
    length[0] = Math.min(input.length, bytes.length)
    bytes.set(input.subarray(0, bytes.length))
  }
  const session = await openSession(target, { seed: order.seed, onInput })
  const end = performance.now() + order.milliseconds
  while (session.executions < order.executions && performance.now() < end) {
    const finding = await session.run(BATCH)
    const { executions, ways } = session
    if (finding !== undefined) send({ kind: 'finding', finding, executions })
    send({ kind: 'progress', executions, ways })
  }
  send({ kind: 'done', corpus: session.corpus })
}

if (parentPort !== null) {
  const port = parentPort
  await work(workerData as Order, (message) => {
    port.postMessage(message)
  })
}
