import type { DueIndex } from '../domain/connect-ports.ts'
import { type ConnectionRef, parseRefKey, refKey } from '../domain/ids.ts'
import type { Indexes } from './indexes.ts'
import type { Keys } from './keys.ts'
import type { ScriptedRedis } from './scripts.ts'
import type { StoreCall } from './store-call.ts'

export interface DueIndexDeps {
  readonly client: ScriptedRedis
  readonly call: StoreCall
  readonly keys: Pick<Keys, 'due' | 'dueShards'>
  readonly indexes: Indexes
  /** A number in [0, 1): where a claim begins. Default `Math.random`. */
  readonly random?: () => number
  /** Members that named no connection were removed. */
  readonly onDropped?: (count: number) => void
}

export interface ClaimedDueIndex extends DueIndex {
  /** Hides connections whose work has not started yet until `until` (ms). */
  renew(refs: readonly ConnectionRef[], until: number): Promise<void>
}

/** The due index in its sixteen shards. */
export function createDueIndex(deps: DueIndexDeps): ClaimedDueIndex {
  const { client, call, keys, indexes, random = Math.random } = deps

  /** Every shard gives its part; what some do not use up the others may. A shard that fails costs only its own part. */
  async function claim({ now, limit, visibilityMs }: Parameters<DueIndex['claim']>[0]): Promise<ConnectionRef[]> {
    const claimed: ConnectionRef[] = []
    let taken = 0
    let failure: unknown
    let open = rotated(keys.dueShards, random())
    while (open.length > 0 && taken < limit) {
      const asked = open.slice(0, limit - taken)
      const part = Math.floor((limit - taken) / asked.length)
      const answers = await Promise.allSettled(asked.map((shard) => claimShard(shard, now, part, now + visibilityMs)))
      const full: string[] = []
      for (const [i, answer] of answers.entries()) {
        if (answer.status === 'rejected') {
          failure ??= answer.reason
          continue
        }
        taken += answer.value.taken
        claimed.push(...answer.value.refs)
        if (answer.value.taken === part) full.push(asked[i] as string)
      }
      open = [...open.slice(asked.length), ...full]
    }
    if (claimed.length === 0 && failure !== undefined) throw failure
    return claimed
  }

  async function claimShard(shard: string, now: number, most: number, until: number) {
    const members = await call(client.ztbClaim(shard, now, most, until))
    const refs: ConnectionRef[] = []
    const strays: string[] = []
    for (const member of members) {
      const ref = parseRefKey(member)
      if (ref) refs.push(ref)
      else strays.push(member)
    }
    if (strays.length > 0) deps.onDropped?.(await call(client.zrem(shard, ...strays)))
    return { refs, taken: members.length }
  }

  return {
    claim,

    async renew(refs, until) {
      const byShard = Map.groupBy(refs, keys.due)
      await Promise.all(
        [...byShard].map(([shard, theirs]) =>
          // GT: a time that was set meanwhile and lies further away is the true one.
          call(client.zadd(shard, 'XX', 'GT', ...theirs.flatMap((ref) => [until, refKey(ref)])))
        )
      )
    },

    async settle(ref, seen, dueAt) {
      const found = await indexes.look(ref)
      if (seen ? !found.is(seen) : found.exists) await indexes.dueSoon(ref)
      else if (seen) await indexes.dueAt(ref, seen, dueAt, found.waiting)
      else await indexes.drop(ref)
    }
  }
}

function rotated(shards: readonly string[], by: number): string[] {
  const start = Math.floor(by * shards.length)
  return [...shards.slice(start), ...shards.slice(0, start)]
}
