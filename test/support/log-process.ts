/**
 * A log under load, as a process that can be killed: appends without pause and says what was
 * acknowledged, one `index number` a line, and the published checkpoints, one `size root` a line.
 *
 * Arguments: directory, first number.
 */
import { writeSync } from 'node:fs'
import { toBase64 } from '../../src/core/bytes/base64.ts'
import { leafOf } from './log.ts'
import { openDurableLog } from './log-durable.ts'

/** What a line is about: its first word. */
export type LineKind = 'key' | 'leaf' | 'checkpoint' | 'fault'

const CLIENTS = 24
const [directory = '', first = '0'] = process.argv.slice(2)

const { log, store, vkey } = await openDurableLog(directory, (err) => {
  say(`fault ${String(err)}`)
})

/** Straight to the pipe: a line that was buffered in the process would die with it. */
function say(line: `${LineKind} ${string}`): void {
  writeSync(1, `${line}\n`)
}

say(`key ${vkey}`)
let number = Number(first)
let published = -1
const clients = Array.from({ length: CLIENTS }, async () => {
  for (;;) {
    const mine = number++
    const { index } = await log.append(leafOf(mine))
    say(`leaf ${index} ${mine}`)
    const checkpoint = (await store.state())?.checkpoint
    if (checkpoint === undefined || checkpoint.size === published) continue
    published = checkpoint.size
    say(`checkpoint ${checkpoint.size} ${toBase64(checkpoint.root)}`)
  }
})
await Promise.all(clients)
