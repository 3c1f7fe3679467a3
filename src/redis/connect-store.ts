import type { ConnectState } from '../domain/connect-link.ts'
import type { AuditSink, ConnectPointer, ConnectStore } from '../domain/connect-ports.ts'
import { type ConnectionRef, parseRefKey, refKey } from '../domain/ids.ts'
import { changeTexts, decodeConnectItems } from './connect-items.ts'
import { type DurableScript, notDurable } from './durable-script.ts'
import type { Indexes } from './indexes.ts'
import type { Keys } from './keys.ts'
import type { ScriptedRedis } from './scripts.ts'
import type { StoreCall } from './store-call.ts'

const STATE_MEMBERS = ['tenant', 'connection', 'flowId', 'linkId', 'app', 'cookieHash', 'verifier'] as const

export interface ConnectStoreDeps {
  readonly client: ScriptedRedis
  readonly durably: DurableScript
  readonly call: StoreCall
  readonly keys: Keys
  readonly indexes: Indexes
  readonly auditLog: Pick<AuditSink, 'relayOutbox'>
  /** A written change whose due time or outbox could not be finished: its early due entry repairs it. */
  readonly onUnfinished?: (ref: ConnectionRef, error: unknown) => void
}

/** Links, flows and states in Redis. */
export function createConnectStore(deps: ConnectStoreDeps): ConnectStore {
  const { client, durably, call, keys, indexes } = deps

  async function change(ref: ConnectionRef, input: Parameters<ConnectStore['change']>[1]): Promise<boolean> {
    const { changes, events = [], durable = false } = input
    const args = [
      keys.connect(ref),
      keys.grants(ref),
      keys.outbox(ref),
      indexes.keepEndedMs,
      changes.length,
      ...changes.flatMap(changeTexts),
      ...events.map((event) => JSON.stringify(event))
    ]
    await indexes.dueSoon(ref)
    const { reply, proven } = durable
      ? await durably('ztbChange', args)
      : { reply: await call(client.ztbChangeBuffer(...args)), proven: true }
    const [kind, , due, outbox] = reply
    if (kind.toString() === 'differs') return false
    await finish(ref, due ?? undefined, outbox ?? 0)
    if (!proven) throw notDurable(ref)
    return true
  }

  /** The early due entry stays: when the record itself is due is not known here, and the next look settles it. */
  async function finish(ref: ConnectionRef, due: number | undefined, outbox: number): Promise<void> {
    try {
      if (outbox > 0) await deps.auditLog.relayOutbox(ref)
      if (due !== undefined) await indexes.dueBy(ref, due)
    } catch (error) {
      deps.onUnfinished?.(ref, error)
    }
  }

  async function point(key: string, { ref, id }: ConnectPointer, lifeMs: number): Promise<void> {
    await call(client.set(key, `${refKey(ref)}/${id}`, 'PX', lifeMs))
  }

  async function follow(key: string): Promise<ConnectPointer | undefined> {
    const pointer = await call(client.get(key))
    return pointer === null ? undefined : parsePointer(pointer)
  }

  return {
    async items(ref) {
      return decodeConnectItems(ref, await call(client.hgetall(keys.connect(ref))))
    },
    change,
    pointToLink: (tokenHash, pointer, lifeMs) => point(keys.link(tokenHash), pointer, lifeMs),
    findLink: (tokenHash) => follow(keys.link(tokenHash)),
    pointToFlow: (flowId, pointer, lifeMs) => point(keys.flow(flowId), pointer, lifeMs),
    findFlow: (flowId) => follow(keys.flow(flowId)),
    async putState(stateHash, state, lifeMs) {
      await call(client.set(keys.state(stateHash), JSON.stringify(state), 'PX', lifeMs))
    },
    async takeState(stateHash) {
      const text = await call(client.getdel(keys.state(stateHash)))
      return text === null ? undefined : parseState(text)
    }
  }
}

function parsePointer(text: string): ConnectPointer | undefined {
  const slash = text.lastIndexOf('/')
  const ref = parseRefKey(text.slice(0, slash))
  const id = text.slice(slash + 1)
  return ref && id ? { ref, id } : undefined
}

/** A state that cannot be understood is as good as none: the person starts again. */
function parseState(text: string): ConnectState | undefined {
  try {
    const state = JSON.parse(text)
    return STATE_MEMBERS.every((name) => typeof state[name] === 'string') ? state : undefined
  } catch {
    return undefined
  }
}
