import { startDeadline } from './deadline.ts'

/** How many calls may run at once; background work leaves the last `reserved` of them to callers who wait. */
export interface InFlightOptions {
  readonly limit: number
  readonly reserved: number
}

/** A queue in front of the agent's sockets. */
export interface InFlight {
  /** Resolves to a function that gives the place back, or to undefined when none came free within `waitMs`. */
  take(options: { readonly background: boolean; readonly waitMs: number }): Promise<(() => void) | undefined>
}

interface Waiter {
  readonly background: boolean
  start(): void
}

/** First come, first served; a caller who waits goes before background work. */
export function createInFlight({ limit, reserved }: InFlightOptions): InFlight {
  const waiting = new Set<Waiter>()
  let running = 0

  const isFree = (background: boolean) => running < (background ? limit - reserved : limit)

  function occupy(): () => void {
    running += 1
    let held = true
    return () => {
      if (!held) return
      held = false
      running -= 1
      startNext()
    }
  }

  function startNext(): void {
    for (const background of [false, true]) {
      for (const waiter of waiting) {
        if (!isFree(background)) break
        if (waiter.background === background) waiter.start()
      }
    }
  }

  function wait(background: boolean, waitMs: number): Promise<(() => void) | undefined> {
    return new Promise((resolve) => {
      const cancel = startDeadline(waitMs, () => {
        waiting.delete(waiter)
        resolve(undefined)
      })
      const waiter: Waiter = {
        background,
        start() {
          cancel()
          waiting.delete(waiter)
          resolve(occupy())
        }
      }
      waiting.add(waiter)
    })
  }

  return {
    async take({ background, waitMs }) {
      return isFree(background) ? occupy() : wait(background, waitMs)
    }
  }
}
