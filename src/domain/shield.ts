/** Work that must end even when nobody waits for it any more: a client that left, a shutdown that began. */
export interface Shield {
  /** Starts the work and keeps it from being forgotten. The promise is the work's own. */
  run<T>(work: () => Promise<T>): Promise<T>
  /** Resolves when nothing is under way any more. */
  idle(): Promise<void>
  readonly size: () => number
}

/** Makes a shield; the shutdown waits for `idle` under its own deadline. */
export function createShield(): Shield {
  const running = new Set<Promise<unknown>>()

  return {
    run(work) {
      const started = work()
      const settled = started.then(
        () => {},
        () => {}
      )
      running.add(settled)
      settled.then(() => running.delete(settled))
      return started
    },
    async idle() {
      while (running.size > 0) await Promise.all(running)
    },
    size: () => running.size
  }
}
