import type { CommitInput, Seen } from '../domain/ports.ts'
import { changeTexts } from './connect-items.ts'
import type { Keys } from './keys.ts'
import { encodeHeader, encodeRecord, encodeWriteId } from './record.ts'
import { encodeWaitingGrant } from './waiting-grants.ts'

/** Keys and arguments of the commit script. */
export type CommitArguments = readonly (string | Buffer | number)[]

/** What the commit script is called with. */
export function commitArguments(
  keys: Keys,
  input: CommitInput,
  { now, keepEndedMs }: { readonly now: number; readonly keepEndedMs: number }
): CommitArguments {
  const { next, grants = [], connect = [], events = [] } = input
  const { ref } = next
  return [
    keys.record(ref),
    keys.lease(ref),
    keys.budget(ref),
    keys.grants(ref),
    keys.outbox(ref),
    keys.connect(ref),
    seenBytes(input.seen),
    encodeRecord(next),
    encodeWriteId(next.writeId),
    input.owner ?? '',
    input.giveBack ?? '',
    input.closeBudgetUntil ?? '',
    now,
    grants.length,
    connect.length,
    keepEndedMs,
    ...grants.flatMap(({ number, entry }) => [number, entry ? encodeWaitingGrant(entry) : '']),
    ...connect.flatMap(changeTexts),
    ...events.map((event) => JSON.stringify(event))
  ]
}

/** The header seen as the scripts compare it; '' when there must be no record. */
export function seenBytes(seen: Seen): Buffer | '' {
  return seen ? encodeHeader(seen) : ''
}
