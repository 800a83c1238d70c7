/**
 * Counters, gauges and histograms in the Prometheus text format. A few dozen lines instead of a
 * package, because bounding the number of series is the part that matters: a label value that comes
 * from a request must never grow the memory of the service.
 *
 * @packageDocumentation
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 */

/** Label values, in the order of the metric's label names. Never secrets, never personal data. */
type Labels = readonly string[]

interface Counter {
  /** Adds `by`, 1 by default. */
  inc(labels?: Labels, by?: number): void
}

interface Histogram {
  /** Records one value, in the unit the metric's name ends in. */
  observe(value: number, labels?: Labels): void
}

interface MetricOptions {
  readonly help: string
  readonly labels?: readonly string[]
}

/** The metrics of one process. */
export interface Metrics {
  counter(name: string, options: MetricOptions): Counter
  histogram(
    name: string,
    options: MetricOptions & { readonly buckets: readonly number[] },
  ): Histogram
  /** `read` is called whenever the metrics are rendered. */
  gauge(name: string, options: { readonly help: string; readonly read: () => number }): void
  /** Everything, as `text/plain; version=0.0.4`. */
  render(): string
}

/** Label combinations per metric. What comes later is counted under `other`. */
const MAX_SERIES = 500

/** An empty set of metrics. Asking for a name again gives the same metric. */
export function createMetrics(): Metrics {
  const families = new Map<string, Family>()
  const family = (made: Family): Family => {
    const known = families.get(made.name) ?? made
    if (known.type !== made.type) throw new TypeError(`${made.name} is a ${known.type}`)
    families.set(made.name, known)
    return known
  }
  return {
    counter: (name, { help, labels = [] }) => {
      const { series } = family({ name, type: 'counter', help, labels, series: new Map() })
      return {
        inc: (values = [], by = 1) => {
          const cell = cellOf(series, values, () => ({ value: 0, buckets: [], count: 0 }))
          cell.value += by
        },
      }
    },
    histogram: (name, { help, labels = [], buckets }) => {
      const made = family({ name, type: 'histogram', help, labels, buckets, series: new Map() })
      return {
        observe: (value, values = []) => {
          const empty = () => ({ value: 0, buckets: buckets.map(() => 0), count: 0 })
          observe(cellOf(made.series, values, empty), buckets, value)
        },
      }
    },
    gauge: (name, { help, read }) => {
      family({ name, type: 'gauge', help, labels: [], read, series: new Map() })
    },
    render: () => [...families.values()].map(renderFamily).join(''),
  }
}

interface Cell {
  readonly values: Labels
  /** The count of a counter, the sum of a histogram. */
  value: number
  readonly buckets: number[]
  count: number
}

interface Family {
  readonly name: string
  readonly type: 'counter' | 'histogram' | 'gauge'
  readonly help: string
  readonly labels: readonly string[]
  readonly buckets?: readonly number[]
  readonly read?: () => number
  readonly series: Map<string, Cell>
}

function cellOf(series: Map<string, Cell>, values: Labels, make: () => Omit<Cell, 'values'>): Cell {
  const key = JSON.stringify(values)
  const known = series.get(key)
  if (known !== undefined) return known
  const kept = series.size < MAX_SERIES ? values : values.map(() => 'other')
  const cell = series.get(JSON.stringify(kept)) ?? { values: kept, ...make() }
  series.set(JSON.stringify(kept), cell)
  return cell
}

function observe(cell: Cell, buckets: readonly number[], value: number): void {
  cell.value += value
  cell.count++
  for (const [i, limit] of buckets.entries()) {
    if (value <= limit) cell.buckets[i] = (cell.buckets[i] ?? 0) + 1
  }
}

function renderFamily({ name, type, help, labels, buckets, read, series }: Family): string {
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`]
  if (read !== undefined) lines.push(`${name} ${read()}`)
  for (const cell of series.values()) {
    const own = labels.map((label, i) => pair(label, cell.values[i] ?? ''))
    if (type === 'counter') lines.push(`${name}${braces(own)} ${cell.value}`)
    if (type !== 'histogram') continue
    for (const [i, limit] of (buckets ?? []).entries()) {
      lines.push(
        `${name}_bucket${braces([...own, pair('le', String(limit))])} ${cell.buckets[i] ?? 0}`,
      )
    }
    lines.push(`${name}_bucket${braces([...own, pair('le', '+Inf')])} ${cell.count}`)
    lines.push(`${name}_sum${braces(own)} ${cell.value}`)
    lines.push(`${name}_count${braces(own)} ${cell.count}`)
  }
  return `${lines.join('\n')}\n`
}

function pair(label: string, value: string): string {
  const escaped = value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
  return `${label}="${escaped}"`
}

function braces(pairs: readonly string[]): string {
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}
