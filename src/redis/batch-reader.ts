import type { Redis } from 'ioredis'
import type { Connection } from '../domain/connection.ts'
import type { ConnectionRef } from '../domain/ids.ts'
import { fetchMany } from './fetch-many.ts'
import type { Keys } from './keys.ts'
import { createRecordMemo } from './record-memo.ts'
import type { StoreCall } from './store-call.ts'

export interface BatchReaderDeps {
  readonly client: Pick<Redis, 'mgetBuffer'>
  readonly call: StoreCall
  readonly keys: Pick<Keys, 'record'>
  /** Records in one command at most. Default 500. */
  readonly maxBatch?: number
  /** Decoded records kept at most. Default 20 000. */
  readonly memoSize?: number
}

export interface BatchReader {
  /** The stored connection. Always asks the store; unchanged bytes give the same object again. */
  read(ref: ConnectionRef): Promise<Connection | undefined>
  /** The connection in bytes that just came from the store by another way. */
  decode(ref: ConnectionRef, bytes: Buffer): Connection
}

interface Asked {
  readonly ref: ConnectionRef
  readonly promise: Promise<Connection | undefined>
  readonly resolve: (connection: Connection | undefined) => void
  readonly reject: (error: unknown) => void
}

/** Reads of one event-loop turn go out together: what costs is the command, not the bytes (`speed.md` §3). */
export function createBatchReader({
  client,
  call,
  keys,
  maxBatch = 500,
  memoSize = 20_000
}: BatchReaderDeps): BatchReader {
  const memo = createRecordMemo(memoSize)
  let batch = new Map<string, Asked>()

  function read(ref: ConnectionRef): Promise<Connection | undefined> {
    const key = keys.record(ref)
    const known = batch.get(key)
    if (known) return known.promise
    const asked = { ref, ...Promise.withResolvers<Connection | undefined>() }
    batch.set(key, asked)
    if (batch.size === 1) setImmediate(flush, batch)
    if (batch.size >= maxBatch) flush(batch)
    return asked.promise
  }

  function flush(full: Map<string, Asked>): void {
    // A batch that was full has gone before its turn ended.
    if (full !== batch) return
    batch = new Map()
    send(full)
  }

  function send(sent: Map<string, Asked>): void {
    for (const { keys, values } of fetchMany(client, call, [...sent.keys()])) {
      const asked = keys.map((key) => sent.get(key) as Asked)
      values.then(
        (found) => {
          for (const [i, one] of asked.entries()) settle(keys[i] as string, one, found[i])
        },
        (error) => {
          for (const { reject } of asked) reject(error)
        }
      )
    }
  }

  function settle(key: string, { ref, resolve, reject }: Asked, bytes: Buffer | null | undefined): void {
    try {
      resolve(bytes ? memo(key, ref, bytes) : undefined)
    } catch (error) {
      // One damaged record is the trouble of those who asked for it.
      reject(error)
    }
  }

  return { read, decode: (ref, bytes) => memo(keys.record(ref), ref, bytes) }
}
