/** Results for people. @packageDocumentation */
import type { Row } from './row.ts'

const HOLDS = new Map([
  [true, 'yes'],
  [false, 'MISSED'],
  [null, '-'],
])

/** One line for each row, under a heading; what it is stands below its numbers. */
export function table(rows: readonly Row[]): string {
  const cells = [
    ['id', 'ours', 'theirs', 'unit', 'ratio', 'goal', 'holds'],
    ...rows.map((row) => [
      row.id,
      print(row.ours),
      print(row.theirs),
      row.unit,
      row.ratio === null ? '-' : row.ratio.toFixed(2),
      row.goal,
      HOLDS.get(row.holds) ?? '-',
    ]),
  ]
  const widths = (cells[0] ?? []).map((_, i) =>
    Math.max(...cells.map((row) => row[i]?.length ?? 0)),
  )
  const lines = cells.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  const [heading = '', ...numbers] = lines
  return [heading, ...numbers.flatMap((line, i) => [line, `  ${rows[i]?.what ?? ''}`]), ''].join(
    '\n',
  )
}

function print(value: number | null): string {
  if (value === null) return '-'
  return value >= 1000 ? Math.round(value).toLocaleString('en') : String(value)
}
