/** Runs the same work at the same time once: callers with one key share the run that is under way. */
export function createSingleFlight<T>(): {
  (key: string, run: () => Promise<T>): Promise<T>
  readonly size: () => number
} {
  const running = new Map<string, Promise<T>>()

  const singleFlight = (key: string, run: () => Promise<T>): Promise<T> => {
    const shared = running.get(key)
    if (shared) return shared
    const started = run().finally(() => running.delete(key))
    running.set(key, started)
    return started
  }
  return Object.assign(singleFlight, { size: () => running.size })
}
