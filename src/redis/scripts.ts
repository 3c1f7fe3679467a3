import type { Redis } from 'ioredis'
import { EXPOSE, RELAYED } from './audit-scripts.ts'
import { CHANGE } from './connect-scripts.ts'
import { CLAIM, LOOK } from './due-scripts.ts'
import { BEGIN, COMMIT, RELEASE, REMOVE, RENEW } from './record-scripts.ts'

/** How ioredis makes commands of the scripts; it sends the text again by itself when the server has forgotten it. */
export const SCRIPTS = {
  ztbBegin: { lua: BEGIN, numberOfKeys: 3 },
  ztbCommit: { lua: COMMIT, numberOfKeys: 6 },
  ztbRenew: { lua: RENEW, numberOfKeys: 1 },
  ztbRelease: { lua: RELEASE, numberOfKeys: 2 },
  ztbRemove: { lua: REMOVE, numberOfKeys: 7 },
  ztbChange: { lua: CHANGE, numberOfKeys: 3 },
  ztbLook: { lua: LOOK, numberOfKeys: 4 },
  ztbClaim: { lua: CLAIM, numberOfKeys: 1 },
  ztbRelayed: { lua: RELAYED, numberOfKeys: 1 },
  ztbExpose: { lua: EXPOSE, numberOfKeys: 1 }
} as const

type Argument = string | Buffer | number

/** A client on which the scripts above are defined. */
export interface ScriptedRedis extends Redis {
  ztbBeginBuffer(...keysAndArguments: Argument[]): Promise<ScriptReply>
  ztbCommitBuffer(...keysAndArguments: Argument[]): Promise<ScriptReply>
  ztbRenew(...keysAndArguments: Argument[]): Promise<number>
  ztbRelease(...keysAndArguments: Argument[]): Promise<number>
  ztbRemove(...keysAndArguments: Argument[]): Promise<'removed' | 'changed' | 'too_new' | 'outbox'>
  ztbChangeBuffer(...keysAndArguments: Argument[]): Promise<ScriptReply>
  ztbLookBuffer(
    ...keysAndArguments: Argument[]
  ): Promise<readonly [exists: number, header: Buffer, due: number | null, outbox: number]>
  ztbClaim(...keysAndArguments: Argument[]): Promise<string[]>
  ztbRelayed(...keysAndArguments: Argument[]): Promise<number>
  ztbExpose(...keysAndArguments: Argument[]): Promise<number>
}

/** What `BEGIN`, `COMMIT` and `CHANGE` answer: the kind, then bytes, a number or nothing; after a write also what waits. */
export type ScriptReply = readonly [
  kind: Buffer,
  value?: Buffer | number | null,
  due?: number | null,
  outbox?: number | null
]
