/** Runs work on one thing in turn, and work on different things side by side. @packageDocumentation */

/** Per name; the store checks again, this only keeps a loser from writing a leaf first. */
export function createMutex(): <T>(name: string, work: () => Promise<T>) => Promise<T> {
  const tails = new Map<string, Promise<unknown>>()
  return async (name, work) => {
    const before = tails.get(name) ?? Promise.resolve()
    // A failure before is not ours; it was reported to whoever asked for it.
    const turn = before.catch(() => undefined).then(work)
    tails.set(name, turn)
    try {
      return await turn
    } finally {
      if (tails.get(name) === turn) tails.delete(name)
    }
  }
}
