/** How a long-running command learns that it should end. @packageDocumentation */

/** Resolves at the first SIGTERM or SIGINT. A second one finds no listener and ends the process. */
export async function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    const stop = (): void => {
      process.off('SIGTERM', stop)
      process.off('SIGINT', stop)
      resolve()
    }
    process.on('SIGTERM', stop)
    process.on('SIGINT', stop)
  })
}
