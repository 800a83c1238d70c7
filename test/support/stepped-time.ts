const START_MS = 1_790_000_000_000

/** Time moves only when the enclave sleeps, and each sleep waits for the test. */
export function steppedTime() {
  const now = { value: START_MS }
  const waiting: { ms: number; wake: () => void }[] = []
  const arrivals: (() => void)[] = []
  const sleep = async (ms: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      signal?.addEventListener('abort', () => {
        reject(new Error('stopped'))
      })
      waiting.push({ ms, wake: resolve })
      arrivals.shift()?.()
    })
  const step = async (): Promise<number> => {
    if (waiting.length === 0) await new Promise<void>((resolve) => arrivals.push(resolve))
    const next = waiting.shift()
    if (next === undefined) throw new Error('nobody sleeps')
    now.value += next.ms
    next.wake()
    return next.ms
  }
  /** Resolves when the enclave has done what it woke up for. */
  const settled = async (): Promise<void> => {
    if (waiting.length === 0) await new Promise<void>((resolve) => arrivals.push(resolve))
  }
  return { now, sleep, step, settled }
}
