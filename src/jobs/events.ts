import { isBrokerError } from '../domain/errors.ts'

/** The queues of the broker (`DESIGN.md` §4). */
export type QueueName = 'sweep' | 'refresh' | 'revoke'

/** What the jobs tell logs and metrics. `reason` is a code: never a message, an argument or an id. */
export type JobEvent =
  | { readonly type: 'sweep.ran'; readonly claimed: number; readonly ms: number }
  | { readonly type: 'job.failed'; readonly queue: QueueName; readonly reason: string }
  /** A worker or its connection is in trouble; told once until it has worked again. */
  | { readonly type: 'worker.error'; readonly queue: QueueName; readonly reason: string }

export type OnJobEvent = (event: JobEvent) => void

const BULLMQ_REASONS: readonly (readonly [start: RegExp, reason: string])[] = [
  [/^(Missing lock|could not renew lock|Lock mismatch)/, 'lock_lost'],
  [/^job stalled more than/, 'stalled'],
  [/^Connection is closed/, 'connection_closed'],
  [/^Failed to add repeatable job/, 'not_scheduled'],
  [/^Socket timeout/, 'socket_timeout']
]

/** A code for a failure. Messages may quote commands with their arguments, and what a job throws is stored in clear. */
export function reasonOf(error: unknown): string {
  if (isBrokerError(error)) return error.code
  if (!(error instanceof Error)) return 'unknown'
  const { code } = error as NodeJS.ErrnoException
  if (typeof code === 'string' && /^[A-Z][A-Z0-9_]{2,39}$/.test(code)) return code
  for (const [start, reason] of BULLMQ_REASONS) if (start.test(error.message)) return reason
  // What Redis refuses, and what the jobs threw themselves, begins with its code.
  return /^[A-Z][A-Z_]{2,39}(?= |$)/.exec(error.message)?.[0] ?? 'unknown'
}

/** Tells each trouble of a queue once, until `recovered`. */
export interface TroubleReport {
  failed(queue: QueueName, error: unknown): void
  /** The queue works again; without a name, all of them do. */
  recovered(queue?: QueueName): void
}

/** Reports troubles as `worker.error` until `muted` says so. */
export function createTroubleReport({
  onEvent,
  muted
}: {
  readonly onEvent: OnJobEvent
  readonly muted: () => boolean
}): TroubleReport {
  const told = new Map<QueueName, Set<string>>()

  return {
    failed(queue, error) {
      const reason = reasonOf(error)
      const reasons = told.get(queue) ?? new Set()
      if (muted() || reasons.has(reason)) return
      told.set(queue, reasons.add(reason))
      onEvent({ type: 'worker.error', queue, reason })
    },
    recovered(queue) {
      if (queue === undefined) told.clear()
      else told.delete(queue)
    }
  }
}
