/** The fuzzer finds what it is for, gives it again from its seed, and every target holds for a while. */
import { describe, expect, it } from 'vitest'
import { VouchsafeError } from '../../src/core/errors.ts'
import { openSession, runOnce } from '../fuzz/session.ts'
import type { Target } from '../fuzz/target.ts'
import { TARGETS } from '../fuzz/targets.ts'

const EXECUTIONS = 300
const typed = (detail: string): never => {
  throw new VouchsafeError({ code: 'ERR_EVIDENCE_MALFORMED', at: 'planted' }, detail)
}

/** Three checks stand before the bug; each has an error of its own, which is the only guide to it. */
const planted: Target = {
  id: 'planted',
  seeds: () => [new TextEncoder().encode('head....')],
  words: ['body', 'tail'],
  run: (input) => {
    const text = new TextDecoder().decode(input)
    if (!text.startsWith('head')) typed('no head')
    if (!text.includes('body')) typed('no body')
    if (!text.endsWith('tail')) typed('no tail')
    throw new TypeError('the bug')
  },
}

describe('the harness', () => {
  it('finds a bug behind three checks, the same one from the same seed', async () => {
    const find = async () => (await openSession(planted, { seed: 7 })).run(50_000)
    const finding = await find()
    expect(finding).toMatchObject({ kind: 'untyped', target: 'planted' })
    expect(await find()).toEqual({ ...finding, detail: expect.any(String) as string })
    expect(await runOnce(planted, finding?.input ?? new Uint8Array(0))).toMatchObject({
      kind: 'untyped',
    })
  })

  it('finds what is slow, every time and not by accident', async () => {
    let first = true
    const wait = (ms: number): void => {
      // Of work, not of waiting: a busy machine may take the thread off its core.
      const worked = (): number => process.threadCpuUsage().user / 1000
      const end = worked() + ms
      while (worked() < end);
    }
    const once: Target = {
      id: 'once',
      seeds: () => [new Uint8Array(1)],
      run: () => {
        if (first) wait(80)
        first = false
      },
    }
    expect(await runOnce(once, new Uint8Array(1))).toBe('nothing')
    const always: Target = {
      ...once,
      run: () => {
        wait(80)
      },
    }
    expect(await runOnce(always, new Uint8Array(1))).toMatchObject({ kind: 'hang' })
  })

  it('refuses to start from a seed that is a finding', async () => {
    const broken: Target = { ...planted, seeds: () => [new TextEncoder().encode('headbodytail')] }
    await expect(openSession(broken, { seed: 1 })).rejects.toThrow('a seed')
  })
})

describe('targets', () => {
  it('have names of their own', () => {
    expect(new Set(TARGETS.map(({ id }) => id)).size).toBe(TARGETS.length)
    expect(TARGETS.length).toBeGreaterThan(20)
  })

  it.each(TARGETS)('$id: no untyped error and no hang', async (target) => {
    const session = await openSession(target, { seed: 20261125 })
    const finding = await session.run(target.slow === true ? EXECUTIONS / 10 : EXECUTIONS)
    expect(finding).toBeUndefined()
    // A target that answers everything alike tests nothing but its own first line.
    expect(session.ways).toBeGreaterThan(1)
  })
})
