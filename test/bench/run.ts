/**
 * `npm run bench`: how fast we are beside others, in one run. A table for people; with `--json` only
 * a JSON array of rows on standard output. Goals that are missed are rows like the others.
 *
 * Options: `--json`, `--only ID` (again for more), `--quick` (seconds: shows that it works, not how fast).
 *
 * @packageDocumentation
 */
import { parseArgs } from 'node:util'
import { type Bench, type Effort, failedRow, type Row, rowOf } from './row.ts'
import { CORES } from './rows/cores.ts'
import { FLOOD } from './rows/flood.ts'
import { LOG } from './rows/log.ts'
import { MEMORY } from './rows/memory.ts'
import { RELEASE } from './rows/release.ts'
import { SEALING } from './rows/sealing.ts'
import { SNP } from './rows/snp.ts'
import { TDX } from './rows/tdx.ts'
import { WEIGHTS } from './rows/weights.ts'
import { table } from './table.ts'

const BENCHES: readonly Bench[] = [
  ...TDX,
  ...SNP,
  ...CORES,
  ...FLOOD,
  ...RELEASE,
  ...SEALING,
  ...WEIGHTS,
  ...LOG,
  ...MEMORY,
]
const FULL: Effort = { warmUpMs: 2500, rounds: 41, roundMs: 50 }
const QUICK: Effort = { warmUpMs: 100, rounds: 5, roundMs: 10 }

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
    quick: { type: 'boolean', default: false },
  },
})
const unknown = values.only.filter((id) => !BENCHES.some((bench) => bench.id === id))
if (unknown.length > 0) {
  const known = BENCHES.map(({ id }) => id).join(', ')
  process.stderr.write(`no row ${unknown.join(', ')}; there are ${known}\n`)
  process.exit(50)
}
const rows: Row[] = []
for (const bench of BENCHES) {
  if (values.only.length > 0 && !values.only.includes(bench.id)) continue
  process.stderr.write(`${bench.id} …\n`)
  try {
    rows.push(await rowOf(bench, values.quick ? QUICK : FULL))
  } catch (err) {
    // The others still say something; what failed holds nothing, and the exit code says so.
    console.error(err)
    rows.push(failedRow(bench))
    process.exitCode = 1
  }
}
process.stdout.write(values.json ? `${JSON.stringify(rows, null, 2)}\n` : table(rows))
