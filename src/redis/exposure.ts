import { type ConnectionRef, refKey } from '../domain/ids.ts'
import type { Keys } from './keys.ts'
import type { ScriptedRedis } from './scripts.ts'
import type { StoreCall } from './store-call.ts'

export interface ExposureDeps {
  readonly client: ScriptedRedis
  readonly call: StoreCall
  readonly keys: Pick<Keys, 'exposure'>
  /** How long a connection's hash stays after its last entry, in ms. Default 90 days. */
  readonly idleMs?: number
  /** Pairs of consumer and connection that are remembered as written. Default 50 000. */
  readonly memory?: number
  /** Writes under way at most; what comes beyond is written at a later hand-out. Default 1000. */
  readonly maxPending?: number
  /** A write failed or did not fit; the next hand-out tries again. */
  readonly onFailed?: () => void
}

export interface Exposure {
  /** Notes who was handed a token of which generation and when (ms). Returns at once and never throws. */
  record(input: {
    readonly ref: ConnectionRef
    readonly consumer: string
    readonly generation: number
    readonly at: number
  }): void
}

/** Who was handed tokens of a connection (hash `ztb:x`), written once per generation and process. */
export function createExposure(deps: ExposureDeps): Exposure {
  const { client, call, keys, idleMs = 90 * 86_400_000, memory = 50_000, maxPending = 1000 } = deps
  /** The highest generation written, by consumer and connection; the longest unused first. */
  const written = new Map<string, number>()
  let pending = 0

  function remember(pair: string, generation: number): void {
    written.delete(pair)
    written.set(pair, generation)
    if (written.size > memory) written.delete(written.keys().next().value as string)
  }

  async function write(pair: string, { ref, consumer, generation, at }: Parameters<Exposure['record']>[0]) {
    pending++
    try {
      await call(client.ztbExpose(keys.exposure(ref), consumer, generation, at, idleMs))
    } catch {
      if (written.get(pair) === generation) written.delete(pair)
      deps.onFailed?.()
    }
    pending--
  }

  return {
    record(input) {
      const pair = `${refKey(input.ref)} ${input.consumer}`
      const last = written.get(pair)
      if (last !== undefined && input.generation <= last) {
        remember(pair, last)
        return
      }
      if (pending >= maxPending) {
        deps.onFailed?.()
        return
      }
      remember(pair, input.generation)
      void write(pair, input)
    }
  }
}
