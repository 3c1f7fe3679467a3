import { BrokerError } from '../domain/errors.ts'
import { type ConnectionRef, refKey } from '../domain/ids.ts'
import { saysElsewhere } from './fetch-many.ts'
import { asCluster } from './open-client.ts'
import { SCRIPTS, type ScriptedRedis, type ScriptReply } from './scripts.ts'
import { type StoreCall, storeUnavailable } from './store-call.ts'

export interface DurableScriptDeps {
  /** A connection of its own: WAIT blocks it. */
  readonly client: ScriptedRedis
  readonly call: StoreCall
  /** Replicas that must have a write, 0 for none, and how long to wait for them in ms. */
  readonly replicas?: { readonly count: number; readonly waitMs: number }
}

/** Runs a writing script and waits for the replicas. Throws `ERR_STORE_UNAVAILABLE`. */
export type DurableScript = (
  name: 'ztbCommit' | 'ztbChange',
  keysAndArguments: readonly (string | Buffer | number)[]
) => Promise<{
  readonly reply: ScriptReply
  /** It wrote, and enough replicas have that: all that were asked for, so always true where none were. */
  readonly proven: boolean
}>

type Name = Parameters<DurableScript>[0]
type Arguments = Parameters<DurableScript>[1]

/** How often a cluster may send a write elsewhere. */
const TRIES = 5

/** Makes the one way of durable writes. */
export function createDurableScript({ client, call, replicas }: DurableScriptDeps): DurableScript {
  const { count, waitMs } = replicas ?? { count: 0, waitMs: 0 }

  /**
   * Script and WAIT in one pipeline, so on one connection of the key's node. EVAL with the whole text: a script that is
   * sent again after NOSCRIPT would come behind its WAIT.
   */
  async function send(name: Name, args: Arguments): ReturnType<DurableScript> {
    const { lua, numberOfKeys } = SCRIPTS[name]
    for (let tries = 1; ; tries++) {
      const results = await client
        .pipeline()
        .callBuffer('EVAL', lua, numberOfKeys, ...args)
        .wait(count, waitMs)
        .exec()
      const [failed, reply] = results?.[0] ?? []
      if (reply) return judge(reply as ScriptReply, Number(results?.[1]?.[1] ?? 0))
      if (!failed || !saysElsewhere(failed) || !asCluster(client) || tries === TRIES) {
        throw storeUnavailable(failed)
      }
      // A pipeline is not sent elsewhere by itself; a plain command is, and takes the new map with it.
      await client.exists(String(args[0]))
    }
  }

  function judge(reply: ScriptReply, replicasReached: number) {
    // WAIT behind a write that an earlier try made proves nothing.
    const wrote = ['written', 'changed'].includes(reply[0].toString())
    return { reply, proven: wrote && replicasReached >= count }
  }

  return async (name, args) => {
    if (count > 0) return call(send(name, args), waitMs)
    const run = name === 'ztbCommit' ? client.ztbCommitBuffer(...args) : client.ztbChangeBuffer(...args)
    return { reply: await call(run), proven: true }
  }
}

/** The write stands, but it is not known to outlive its primary. */
export function notDurable(ref: ConnectionRef): BrokerError {
  return new BrokerError(
    'ERR_NOT_DURABLE',
    `The change of ${refKey(ref)} has not reached enough replicas. Try again.`,
    { retryAfterMs: 1000 }
  )
}
