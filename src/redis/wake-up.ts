import type { Redis } from 'ioredis'
import { refKey } from '../domain/ids.ts'
import type { WakeUp } from '../domain/ports.ts'

/** No connection is called so: ids begin with a letter or digit. */
const BEAT = '*'

export interface WakeUpDeps {
  readonly publisher: Pick<Redis, 'publish'>
  readonly subscriber: Redis
  readonly channel: string
  /** How often each process is heard on the channel. Default 5000. */
  readonly beatMs?: number
  /** A subscriber that heard nothing for so long is connected anew: a frozen node gives silence, not an error. Default 15 000. */
  readonly silenceMs?: number
  /** The subscriber was silent and its connection is being made anew. */
  readonly onSilence?: () => void
}

/** Wake-ups across processes over one pub/sub channel. Starts to beat at once; `close` ends that and every wait. */
export function createWakeUp(deps: WakeUpDeps): WakeUp & { close(): void } {
  const { publisher, subscriber, channel, beatMs = 5000, silenceMs = 15_000 } = deps
  const waiting = new Map<string, Set<() => void>>()
  let heardAt = performance.now()

  function wake(key: string): void {
    for (const resume of waiting.get(key) ?? []) resume()
  }

  function wakeAll(): void {
    for (const key of [...waiting.keys()]) wake(key)
  }

  function send(message: string): void {
    // Waiters look again by themselves, so a lost message costs time only.
    publisher.publish(channel, message).catch(() => {})
  }

  function subscribe(): void {
    heardAt = performance.now()
    // What was published while the link was down is lost: everyone looks.
    subscriber.subscribe(channel).then(wakeAll, () => {})
  }

  function hear(from: string, message: string): void {
    if (from !== channel) return
    heardAt = performance.now()
    if (message !== BEAT) wake(message)
  }

  function beat(): void {
    if (performance.now() - heardAt > silenceMs) {
      heardAt = performance.now()
      deps.onSilence?.()
      subscriber.disconnect(true)
    }
    send(BEAT)
  }

  subscriber.on('ready', subscribe)
  subscriber.on('message', hear)
  if (subscriber.status === 'ready') subscribe()
  const beating = setInterval(beat, beatMs).unref()

  return {
    publish(ref) {
      const key = refKey(ref)
      wake(key)
      send(key)
    },

    wait(ref, ms) {
      const key = refKey(ref)
      return new Promise((resolve) => {
        const resume = () => {
          clearTimeout(timer)
          const others = waiting.get(key)
          others?.delete(resume)
          if (others?.size === 0) waiting.delete(key)
          resolve()
        }
        const timer = setTimeout(resume, ms)
        const others = waiting.get(key)
        if (others) others.add(resume)
        else waiting.set(key, new Set([resume]))
      })
    },

    close() {
      clearInterval(beating)
      subscriber.off('ready', subscribe)
      subscriber.off('message', hear)
      wakeAll()
    }
  }
}
