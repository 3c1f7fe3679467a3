import type { Redis } from 'ioredis'
import type { Clock } from '../domain/ports.ts'
import type { StoreCall } from './store-call.ts'

/** A difference between wall clock and steady clock that was not there before: one of them jumped. */
const JUMP_MS = 1000

export interface RedisClockDeps {
  readonly client: Pick<Redis, 'time'>
  readonly call: StoreCall
  /** How often the offset is measured again. Default 10 000. */
  readonly everyMs?: number
  /** How soon after a failed measurement. Default 100. */
  readonly retryMs?: number
  /** Readings of one measurement; the one with the shortest round trip counts. Default 3. */
  readonly readings?: number
  /** This machine's clocks, in ms. */
  readonly wall?: () => number
  readonly steady?: () => number
  /** The wall clock jumped, or the machine slept, by so many ms. */
  readonly onJump?: (ms: number) => void
}

export interface RedisClock extends Clock {
  /** Whether Redis TIME is known; until then `now` is this machine's own. */
  ready(): boolean
  /** Redis TIME minus the wall clock, in ms. */
  offsetMs(): number
  /** Ends the measurements. */
  close(): void
}

/** The store's clock: a steady process clock plus its measured distance to Redis TIME. Starts measuring at once. */
export function createRedisClock(deps: RedisClockDeps): RedisClock {
  const { client, call, everyMs = 10_000, retryMs = 100, readings = 3 } = deps
  const { wall = Date.now, steady = () => performance.now() } = deps
  /** Add it to the steady clock to get Redis TIME. */
  let distance: number | undefined
  let wallMinusSteady = wall() - steady()
  let measuring = false
  let closed = false
  let timer: NodeJS.Timeout | undefined

  async function read(): Promise<{ roundTrip: number; distance: number }> {
    const sent = steady()
    const [seconds, microseconds] = await call(client.time())
    const received = steady()
    const theirs = Number(seconds) * 1000 + Number(microseconds) / 1000
    return { roundTrip: received - sent, distance: theirs - (sent + received) / 2 }
  }

  async function measure(): Promise<void> {
    if (measuring || closed) return
    measuring = true
    clearTimeout(timer)
    noticeJump()
    // Where the wall clock is only slewed the two drift apart slowly: that is no jump.
    wallMinusSteady = wall() - steady()
    let nextMs = everyMs
    try {
      let best = await read()
      for (let i = 1; i < readings; i++) {
        const reading = await read()
        if (reading.roundTrip < best.roundTrip) best = reading
      }
      distance = best.distance
    } catch {
      // The last offset holds; the store's own state is reported by its clients.
      nextMs = retryMs
    }
    measuring = false
    if (!closed) timer = setTimeout(measure, nextMs).unref()
  }

  function noticeJump(): void {
    const difference = wall() - steady()
    const jump = difference - wallMinusSteady
    if (Math.abs(jump) < JUMP_MS) return
    wallMinusSteady = difference
    deps.onJump?.(Math.round(jump))
    void measure()
  }

  void measure()

  return {
    now() {
      noticeJump()
      return Math.floor(distance === undefined ? wall() : steady() + distance)
    },
    ready: () => distance !== undefined,
    offsetMs: () => (distance === undefined ? 0 : Math.round(steady() + distance - wall())),
    close() {
      closed = true
      clearTimeout(timer)
    }
  }
}
