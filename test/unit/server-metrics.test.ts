import { describe, expect, it } from 'vitest'
import { createGate } from '../../src/server/limits.ts'
import { createMetrics } from '../../src/server/metrics.ts'

describe('metrics', () => {
  it('renders counters, gauges and histograms as Prometheus reads them', () => {
    const metrics = createMetrics()
    metrics.counter('c_total', { help: 'C.', labels: ['a'] }).inc(['x"\\\n'], 2)
    metrics.gauge('g', { help: 'G.', read: () => 7 })
    const histogram = metrics.histogram('h_seconds', { help: 'H.', buckets: [1, 2] })
    for (const value of [0.5, 1, 1.5, 3]) histogram.observe(value)
    expect(metrics.render()).toBe(
      [
        '# HELP c_total C.',
        '# TYPE c_total counter',
        'c_total{a="x\\"\\\\\\n"} 2',
        '# HELP g G.',
        '# TYPE g gauge',
        'g 7',
        '# HELP h_seconds H.',
        '# TYPE h_seconds histogram',
        'h_seconds_bucket{le="1"} 2',
        'h_seconds_bucket{le="2"} 3',
        'h_seconds_bucket{le="+Inf"} 4',
        'h_seconds_sum 6',
        'h_seconds_count 4',
        '',
      ].join('\n'),
    )
  })

  it('gives the same metric for the same name, and no other type', () => {
    const metrics = createMetrics()
    metrics.counter('n', { help: 'N.' }).inc()
    metrics.counter('n', { help: 'N.' }).inc()
    expect(metrics.render()).toContain('\nn 2\n')
    expect(() => metrics.histogram('n', { help: 'N.', buckets: [] })).toThrow(TypeError)
  })

  it('never has more series than its bound, whatever the labels', () => {
    const metrics = createMetrics()
    const counter = metrics.counter('n', { help: 'N.', labels: ['id'] })
    for (let i = 0; i < 5_000; i++) counter.inc([String(i)])
    const lines = metrics
      .render()
      .split('\n')
      .filter((line) => line.startsWith('n{'))
    expect(lines).toHaveLength(501)
    expect(lines).toContain('n{id="other"} 4500')
  })
})

describe('createGate', () => {
  const deferred = () => {
    let resolve = (): void => undefined
    const promise = new Promise<void>((done) => (resolve = done))
    return { promise, resolve }
  }

  it('runs so many at once, queues so many, and refuses the rest at once', async () => {
    const gate = createGate(2, 1)
    const [work, started] = [deferred(), [] as number[]]
    const run = async (id: number) =>
      gate(async () => {
        started.push(id)
        await work.promise
        return id
      })
    const running = [run(1), run(2), run(3)]
    await expect(run(4)).rejects.toMatchObject({ code: 'ERR_OVERLOADED' })
    expect(started).toEqual([1, 2])
    work.resolve()
    expect(await Promise.all(running)).toEqual([1, 2, 3])
    expect(await run(5)).toBe(5)
  })

  it('gives its place on when work fails', async () => {
    const gate = createGate(1, 1)
    const failing = gate(async () => {
      throw new Error('no')
    })
    const next = gate(async () => 'ran')
    await expect(failing).rejects.toThrow('no')
    expect(await next).toBe('ran')
  })
})
