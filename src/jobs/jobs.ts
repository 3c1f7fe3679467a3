import type { Redis } from 'ioredis'
import type { DueIndex } from '../domain/connect-ports.ts'
import { byDeadline } from '../domain/deadline.ts'
import type { ConnectionRef } from '../domain/ids.ts'
import type { Clock } from '../domain/ports.ts'
import { openConnections } from './connections.ts'
import { createTroubleReport, type OnJobEvent } from './events.ts'
import { createQueues } from './queues.ts'
import { type RenewClaim, startRefreshWorker } from './refresh-worker.ts'
import { startRevokeWorker } from './revoke-worker.ts'
import { DEFAULT_JOB_SETTINGS, type JobSettings } from './settings.ts'
import { startScheduling, startSweepWorker } from './sweep.ts'

export interface JobsDeps {
  /** A patient connection: `maxRetriesPerRequest: null`, with an offline queue. Closed by `close`. */
  readonly connect: () => Redis
  /** The broker's key prefix, such as `ztb`. */
  readonly prefix: string
  /** `api` adds jobs and works on none. */
  readonly role: 'api' | 'worker' | 'all'
  readonly claim: DueIndex['claim']
  /** Does what is due for one connection. */
  readonly attend: (ref: ConnectionRef) => Promise<void>
  /** Revokes at Zoho what is due of one connection. */
  readonly revokeDue: (ref: ConnectionRef) => Promise<void>
  readonly renew?: RenewClaim
  readonly clock: Clock
  readonly onEvent: OnJobEvent
  readonly settings?: Partial<JobSettings>
}

/** The queues of this process, and its workers unless its role is `api`. */
export interface Jobs {
  /** Begins to work. Does not wait for Redis. */
  start(): void
  /** Asks for a revoke at once. A hint: it never throws, and without Redis the due index leads there later. */
  kickRevoke(refs: readonly ConnectionRef[]): Promise<void>
  /** Takes no more jobs, lets those that run finish within `deadlineMs` and ends all connections, also without Redis. */
  close(deadlineMs: number): Promise<void>
}

/** Makes the queues; `start` begins the work. */
export function createJobs(deps: JobsDeps): Jobs {
  const settings = { ...DEFAULT_JOB_SETTINGS, ...deps.settings }
  const { prefix, clock, onEvent } = deps
  let closed: Promise<void> | undefined
  const stopping = () => closed !== undefined
  const trouble = createTroubleReport({ onEvent, muted: stopping })
  const connections = openConnections(deps.connect)
  const { client } = connections
  client.on('ready', () => trouble.recovered())
  const queues = createQueues({ client, prefix, batchSize: settings.batchSize, trouble })
  let stopWork = async (_deadlineMs: number) => {}

  function startWork(): (deadlineMs: number) => Promise<void> {
    const context = { ...settings, client, prefix, trouble, onEvent }
    const shared = { queues, settings, stopping }
    const workers = [
      startSweepWorker({ ...shared, claim: deps.claim, clock, onEvent }, context),
      startRefreshWorker({ ...shared, attend: deps.attend, renew: deps.renew, clock }, context),
      startRevokeWorker({ ...shared, revokeDue: deps.revokeDue }, context)
    ]
    const scheduling = startScheduling({ queues, client, settings, trouble })
    return async (deadlineMs) => {
      scheduling.stop()
      await Promise.all(workers.map((worker) => worker.stop(deadlineMs)))
    }
  }

  async function end(deadlineMs: number): Promise<void> {
    await stopWork(deadlineMs)
    await queues.close()
    connections.end()
  }

  return {
    start() {
      if (deps.role !== 'api' && !stopping()) stopWork = startWork()
    },

    async kickRevoke(refs) {
      // A connection that is away would keep it, and all that come after it, until it is back.
      if (stopping() || client.status !== 'ready') return
      await byDeadline(queues.add('revoke', refs), settings.kickTimeoutMs).catch(() => {})
    },

    close(deadlineMs) {
      closed ??= end(deadlineMs)
      return closed
    }
  }
}
