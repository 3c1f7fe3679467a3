import { Worker } from 'bullmq'
import type { Redis } from 'ioredis'
import { byDeadline } from '../domain/deadline.ts'
import { type OnJobEvent, type QueueName, reasonOf, type TroubleReport } from './events.ts'
import { bullPrefix } from './queues.ts'

/** What all workers of a process share. */
export interface WorkerContext {
  /** For all but the blocking reads; each worker makes a connection of its own from it for those. */
  readonly client: Redis
  readonly prefix: string
  readonly lockDurationMs: number
  readonly stalledIntervalMs: number
  readonly maxStalledCount: number
  readonly trouble: TroubleReport
  readonly onEvent: OnJobEvent
}

/** A worker at work. */
export interface RunningWorker {
  /** Takes no more jobs and waits for those that run, at most `deadlineMs`; then leaves them to others. Never hangs or throws. */
  stop(deadlineMs: number): Promise<void>
}

/** What `close` of BullMQ may take by itself; it needs no answer of Redis. */
const FORCED_CLOSE_MS = 1000

/** Starts to work on a queue. What `run` throws is reduced to a code before BullMQ stores it. */
export function startWorker(
  queue: QueueName,
  concurrency: number,
  run: (data: unknown) => Promise<void>,
  context: WorkerContext
): RunningWorker {
  const { client, prefix, trouble, onEvent } = context
  const running = new Set<Promise<void>>()

  async function processJob({ data }: { readonly data: unknown }): Promise<void> {
    const work = run(data).catch((error) => {
      throw new Error(reasonOf(error))
    })
    running.add(work)
    await work.finally(() => running.delete(work))
  }

  const worker = new Worker(queue, processJob, {
    connection: client,
    prefix: bullPrefix(prefix, queue),
    concurrency,
    lockDuration: context.lockDurationMs,
    stalledInterval: context.stalledIntervalMs,
    maxStalledCount: context.maxStalledCount
  })
  worker.on('error', (error) => trouble.failed(queue, error))
  worker.on('completed', () => trouble.recovered(queue))
  worker.on('failed', (_job, error) => onEvent({ type: 'job.failed', queue, reason: reasonOf(error) }))

  return {
    async stop(deadlineMs) {
      // `close` without force never ends while Redis is away, and cannot be forced any more once it has begun.
      const ended = client.status === 'ready' ? worker.pause() : Promise.allSettled(running)
      await byDeadline<unknown>(ended, deadlineMs).catch(() => {})
      await byDeadline(worker.close(true), FORCED_CLOSE_MS).catch(() => {})
    }
  }
}
