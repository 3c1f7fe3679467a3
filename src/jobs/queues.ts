import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import { type ConnectionRef, parseRefKey, refKey } from '../domain/ids.ts'
import type { QueueName, TroubleReport } from './events.ts'

/** What a job carries: which connections, as `tenant/connection`. It lies in Redis in clear. */
export interface BatchData {
  readonly ids: readonly string[]
}

/** The one scheduler of the sweep. */
const SCHEDULER = 'sweep'

/** Nobody reads BullMQ's event streams. */
const EVENTS_KEPT = 100

/** The producers' side of the queues. Calls wait for Redis as long as it takes. */
export interface Queues {
  /** Adds jobs for these connections, `batchSize` in each. */
  add(queue: 'refresh' | 'revoke', refs: readonly ConnectionRef[]): Promise<void>
  /** How many refresh jobs no worker has begun. */
  waiting(): Promise<number>
  /** Makes sure that a sweep is scheduled every `everyMs`. */
  scheduleSweep(everyMs: number): Promise<void>
  close(): Promise<void>
}

export interface QueuesDeps {
  readonly client: Redis
  readonly prefix: string
  readonly batchSize: number
  readonly trouble: TroubleReport
}

/**
 * BullMQ's own prefix for a queue. It names keys `<prefix>:<queue>:<kind>`; with a hash tag of its own each queue
 * lies in one slot, as its scripts need, and the queues lie in different ones.
 */
export function bullPrefix(prefix: string, queue: QueueName): string {
  return `{${prefix}:q:${queue}}`
}

/** The connections of a job; what is no pair of ids is left out. */
export function refsOf(data: unknown): ConnectionRef[] {
  const ids: unknown = (data as BatchData | undefined)?.ids
  if (!Array.isArray(ids)) return []
  return ids.flatMap((id) => (typeof id === 'string' ? (parseRefKey(id) ?? []) : []))
}

/** Opens the queues on a connection that they share and do not close. */
export function createQueues({ client, prefix, batchSize, trouble }: QueuesDeps): Queues {
  const open = (name: QueueName) => {
    const queue = new Queue(name, {
      connection: client,
      prefix: bullPrefix(prefix, name),
      streams: { events: { maxLen: EVENTS_KEPT } },
      // The retry policy is in the record. A job that failed must leave nothing behind, above all no stack in clear.
      defaultJobOptions: { attempts: 1, removeOnComplete: true, removeOnFail: true, stackTraceLimit: 0 }
    })
    queue.on('error', (error) => trouble.failed(name, error))
    return queue
  }
  const queues = { sweep: open('sweep'), refresh: open('refresh'), revoke: open('revoke') }

  return {
    async add(name, refs) {
      const jobs = inBatches(refs, batchSize).map((batch) => ({ name, data: { ids: batch.map(refKey) } }))
      if (jobs.length > 0) await queues[name].addBulk(jobs)
    },

    waiting: () => queues.refresh.getWaitingCount(),

    async scheduleSweep(everyMs) {
      const next = (await queues.sweep.getJobScheduler(SCHEDULER))?.next
      // Left by a clock that was ahead: nothing would run until then, and an upsert alone keeps that time.
      if (next !== undefined && next > Date.now() + 2 * everyMs) await queues.sweep.removeJobScheduler(SCHEDULER)
      await queues.sweep.upsertJobScheduler(SCHEDULER, { every: everyMs }, { name: 'sweep', data: {} })
    },

    async close() {
      await Promise.allSettled(Object.values(queues).map((queue) => queue.close()))
    }
  }
}

function inBatches<T>(items: readonly T[], size: number): T[][] {
  const batches: T[][] = []
  for (let from = 0; from < items.length; from += size) batches.push(items.slice(from, from + size))
  return batches
}
