/** Counts what happened lately. */
export type Lately = ReturnType<typeof createLately>

/** Times by key, for limits of the kind "n in a window". */
export function createLately(now: () => number) {
  const times = new Map<string, number[]>()

  return {
    add: (key: string): void => {
      const known = times.get(key)
      if (known) known.push(now())
      else times.set(key, [now()])
    },
    /** How many in the last `windowMs`; what is older is forgotten. */
    count: (key: string, windowMs: number): number => {
      const since = now() - windowMs
      const kept = (times.get(key) ?? []).filter((timeMs) => timeMs > since)
      times.set(key, kept)
      return kept.length
    }
  }
}
