const LATE_MS = 100
const GRACE_MS = 250

/**
 * Calls `onPassed` once after `ms`; returns a function that cancels it.
 * A timer that fires late (the process was stopped, or its event loop blocked) runs before the sockets are read:
 * then one short grace follows, so that an answer which has already arrived is still used.
 */
export function startDeadline(ms: number, onPassed: () => void): () => void {
  const due = performance.now() + ms
  let timer = setTimeout(() => {
    if (performance.now() - due > LATE_MS) timer = setTimeout(onPassed, GRACE_MS)
    else onPassed()
  }, ms)
  return () => clearTimeout(timer)
}
