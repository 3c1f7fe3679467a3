import { type Static, Type } from '@sinclair/typebox'
import { Endpoint } from './endpoint.ts'

/** Holds calls until they are released, so that a test can wait for facts. */
export const Hold = Type.Object(
  {
    data_center: Type.String(),
    /** Default `token`. */
    endpoint: Type.Optional(Endpoint),
    /** `arrival`: nothing has been done yet (default). `reply`: the token is minted, the answer waits. */
    at: Type.Optional(Type.Union([Type.Literal('arrival'), Type.Literal('reply')])),
    /** Hold only the next n calls; absent: all until released. */
    calls: Type.Optional(Type.Integer({ minimum: 1 }))
  },
  { additionalProperties: false }
)
/** Which calls to hold. */
export type Hold = Static<typeof Hold>

type Place = { readonly data_center: string; readonly endpoint: Endpoint; readonly at: 'arrival' | 'reply' }

/** A call that waits at the gate. */
export type Waiter = Place & { readonly seq: number }

/** The gate of a simulator. */
export type Gate = ReturnType<typeof createGate>

/** A gate that holds nothing until told. */
export function createGate() {
  let holds: (Place & { callsLeft: number })[] = []
  const waiting = new Map<Waiter, () => void>()

  function hold({ data_center, endpoint = 'token', at = 'arrival', calls = Number.POSITIVE_INFINITY }: Hold): void {
    holds.push({ data_center, endpoint, at, callsLeft: calls })
  }

  /** Resolves when the call may go on: at once if nothing holds it, or when the caller has gone. */
  async function pass(waiter: Waiter, gone: AbortSignal): Promise<void> {
    const holding = holds.find((one) => one.callsLeft > 0 && isSamePlace(one, waiter))
    if (!holding || gone.aborted) return
    holding.callsLeft -= 1
    const { promise, resolve } = Promise.withResolvers<void>()
    waiting.set(waiter, resolve)
    gone.addEventListener('abort', () => resolve(), { once: true })
    await promise
    waiting.delete(waiter)
  }

  /** Without `count` opens the gate for good; with it lets the first n waiters go and keeps holding. Returns how many went. */
  function release(dataCenter: string | undefined, count?: number): number {
    const covers = (place: Place) => dataCenter === undefined || place.data_center === dataCenter
    if (count === undefined) holds = holds.filter((one) => !covers(one))
    const going = [...waiting].filter(([waiter]) => covers(waiter)).slice(0, count)
    for (const [waiter, resolve] of going) {
      waiting.delete(waiter)
      resolve()
    }
    return going.length
  }

  return { hold, pass, release, waiters: (): Waiter[] => [...waiting.keys()] }
}

function isSamePlace(one: Place, other: Place): boolean {
  return one.data_center === other.data_center && one.endpoint === other.endpoint && one.at === other.at
}
