import type { Connection, Status } from '../domain/connection.ts'
import { BrokerError } from '../domain/errors.ts'
import { type ConnectionRef, refKey } from '../domain/ids.ts'
import type { Begun, Clock, CommitInput, Committed, ConnectionStore } from '../domain/ports.ts'
import type { AuditLog } from './audit-log.ts'
import type { BatchReader } from './batch-reader.ts'
import { type CommitArguments, commitArguments, seenBytes } from './commit-arguments.ts'
import { type DurableScript, notDurable } from './durable-script.ts'
import type { Indexes } from './indexes.ts'
import type { Keys } from './keys.ts'
import { statusOf } from './record.ts'
import type { ScriptedRedis, ScriptReply } from './scripts.ts'
import type { StoreCall } from './store-call.ts'
import { decodeWaitingGrants } from './waiting-grants.ts'

export interface ConnectionStoreDeps {
  readonly fast: ScriptedRedis
  readonly durably: DurableScript
  readonly call: StoreCall
  readonly keys: Keys
  readonly clock: Clock
  readonly reader: BatchReader
  readonly indexes: Indexes
  readonly auditLog: AuditLog
  /** A written commit whose indexes or outbox could not be finished: its early due entry repairs it. */
  readonly onUnfinished?: (ref: ConnectionRef, error: unknown) => void
}

/** The status that a write replaced; undefined when an earlier try of the same write replaced it. */
type StatusBefore = Status | 'absent' | undefined

/** How a commit ended, before it becomes the port's answer. `durable` tells whether enough replicas have it. */
type Written =
  | {
      readonly kind: 'written'
      readonly before: StatusBefore
      readonly durable: boolean
      /** The earliest time at which a grant, link or flow wants work. */
      readonly waiting: number | undefined
      /** Events that wait for their relay. */
      readonly outbox: number
    }
  | Extract<Committed, { kind: 'lost' }>

/** The connection records in Redis. */
export function createConnectionStore(deps: ConnectionStoreDeps): ConnectionStore {
  const { fast, durably, call, keys, clock, reader, indexes, auditLog } = deps

  async function list(
    tenant: string,
    { after, limit }: { after?: string; limit: number }
  ): Promise<{ items: Connection[]; next?: string }> {
    const ids = await indexes.range(tenant, after, limit + 1)
    const shown = ids.slice(0, limit)
    const found = await Promise.all(shown.map((connection) => reader.read({ tenant, connection })))
    // An index entry without a record is a first write that never came.
    const items = found.filter((connection) => connection !== undefined)
    const last = shown.at(-1)
    return ids.length > limit && last !== undefined ? { items, next: last } : { items }
  }

  async function begin(input: Parameters<ConnectionStore['begin']>[0]): Promise<Begun> {
    const { ref } = input
    const [kind, value] = await call(
      fast.ztbBeginBuffer(
        keys.record(ref),
        keys.lease(ref),
        keys.budget(ref),
        seenBytes(input.seen),
        input.owner,
        input.ttlMs,
        input.share,
        input.limit,
        input.windowMs,
        input.now
      )
    )
    switch (kind.toString()) {
      case 'go':
        return { kind: 'go', charge: String(value) }
      case 'changed':
        return { kind: 'changed', current: current(ref, value) }
      case 'held':
        return { kind: 'held', forMs: Number(value) }
      case 'over':
        return { kind: 'over', until: Number(value) }
      default:
        throw tooNew(ref)
    }
  }

  async function commit(input: CommitInput): Promise<Committed> {
    const { next, seen } = input
    const { ref } = next
    if (next.readOnly) throw tooNew(ref)
    const args = commitArguments(keys, input, { now: clock.now(), keepEndedMs: indexes.keepEndedMs })
    await Promise.all([seen === undefined && indexes.list(ref), bringsWork(input) && indexes.dueSoon(ref)])
    const written = input.durable ? await writeDurably(ref, args) : await write(ref, args)
    if (written.kind === 'lost') return written
    await finish(input, written)
    if (!written.durable) throw notDurable(ref)
    return { kind: 'written' }
  }

  async function write(ref: ConnectionRef, args: CommitArguments): Promise<Written> {
    return outcome(ref, await call(fast.ztbCommitBuffer(...args)), true)
  }

  async function writeDurably(ref: ConnectionRef, args: CommitArguments): Promise<Written> {
    const { reply, proven } = await durably('ztbCommit', args)
    return outcome(ref, reply, proven)
  }

  function outcome(ref: ConnectionRef, [kind, value, due, outbox]: ScriptReply, durable: boolean): Written {
    const after = { durable, waiting: due ?? undefined, outbox: outbox ?? 0 }
    switch (kind.toString()) {
      case 'written':
        return { kind: 'written', before: value === 0 ? 'absent' : statusOf(Number(value)), ...after }
      case 'already':
        return { kind: 'written', before: undefined, ...after }
      case 'lost':
        return { kind: 'lost', current: current(ref, value) }
      case 'connect_changed':
        return { kind: 'lost', current: current(ref, value), connectChanged: true }
      default:
        throw tooNew(ref)
    }
  }

  /** What follows a write. It stands whatever happens here, and until the true due time is set its early entry stands too. */
  async function finish(
    { next, seen, dueAt }: CommitInput,
    { before, waiting, outbox }: Extract<Written, { kind: 'written' }>
  ): Promise<void> {
    const { ref } = next
    try {
      // Also what a crash of an earlier writer left: its early due entry ends with ours.
      if (outbox > 0) await auditLog.relayOutbox(ref)
      await Promise.all([indexes.status(next, before), seen === undefined && indexes.list(ref)])
      await indexes.dueAt(ref, next, dueAt, waiting)
    } catch (error) {
      deps.onUnfinished?.(ref, error)
    }
  }

  function current(ref: ConnectionRef, bytes: ScriptReply[1]): Connection | undefined {
    return Buffer.isBuffer(bytes) ? reader.decode(ref, bytes) : undefined
  }

  return {
    read: reader.read,
    list,
    begin,
    async renew(ref, owner, ttlMs) {
      return (await call(fast.ztbRenew(keys.lease(ref), owner, ttlMs))) === 1
    },
    async release(ref, owner, giveBack) {
      await call(fast.ztbRelease(keys.lease(ref), keys.budget(ref), owner, giveBack ?? ''))
    },
    async waitingGrants(ref) {
      return decodeWaitingGrants(ref, await call(fast.hgetall(keys.grants(ref))))
    },
    commit
  }
}

/** Whether the connection may want work after the write that it did not want before. */
function bringsWork({ dueAt, events, grants, connect }: CommitInput): boolean {
  return (
    dueAt !== undefined ||
    Boolean(events?.length) ||
    Boolean(grants?.some(({ entry }) => entry)) ||
    Boolean(connect?.some(({ next }) => next))
  )
}

function tooNew(ref: ConnectionRef): BrokerError {
  return new BrokerError(
    'ERR_RECORD_TOO_NEW',
    `The record of ${refKey(ref)} was written by a newer version of the broker; this one may read it, not change it. Finish the upgrade.`
  )
}
