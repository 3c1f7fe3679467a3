import type { Connection } from '../domain/connection.ts'
import type { ConnectionRef } from '../domain/ids.ts'
import { decodeRecord } from './record.ts'

/** Decodes `bytes`, or gives the connection decoded before from equal bytes under that key. */
export type RecordMemo = (key: string, ref: ConnectionRef, bytes: Buffer) => Connection

/** Keeps the last bytes of up to `size` records with what they decode to, dropping the longest unused. */
export function createRecordMemo(size: number): RecordMemo {
  const kept = new Map<string, { readonly bytes: Buffer; readonly connection: Connection }>()

  return (key, ref, bytes) => {
    const last = kept.get(key)
    if (last) kept.delete(key)
    if (last?.bytes.equals(bytes)) {
      kept.set(key, last)
      return last.connection
    }
    // What came from the socket is a view on a whole reply, a small Buffer one on a shared slab: a copy of its own pins neither.
    const own = Buffer.allocUnsafeSlow(bytes.length)
    bytes.copy(own)
    const connection = decodeRecord(ref, own)
    kept.set(key, { bytes: own, connection })
    if (kept.size > size) kept.delete(kept.keys().next().value as string)
    return connection
  }
}
