import type { ConnectionRef } from '../domain/ids.ts'
import type { Clock } from '../domain/ports.ts'
import { runBatch } from './batch.ts'
import { type Queues, refsOf } from './queues.ts'
import type { JobSettings } from './settings.ts'
import { type RunningWorker, startWorker, type WorkerContext } from './worker.ts'

/** Prolongs the claim of connections until the given time (ms since the epoch). */
export type RenewClaim = (refs: readonly ConnectionRef[], until: number) => Promise<void>

export interface RefreshWorkerDeps {
  readonly attend: (ref: ConnectionRef) => Promise<void>
  readonly renew: RenewClaim | undefined
  readonly clock: Clock
  readonly queues: Pick<Queues, 'add'>
  readonly settings: JobSettings
  readonly stopping: () => boolean
}

/** Works on the refresh jobs: attends to each connection of a batch, some at a time. */
export function startRefreshWorker(deps: RefreshWorkerDeps, context: WorkerContext): RunningWorker {
  const { attend, renew, clock, queues, settings, stopping } = deps

  const run = (data: unknown) =>
    runBatch({
      refs: refsOf(data),
      work: attend,
      concurrency: settings.batchConcurrency,
      stopping,
      putBack: (refs) => queues.add('refresh', refs),
      ...(renew && {
        renew: { everyMs: settings.renewEveryMs, run: (refs) => renew(refs, clock.now() + settings.visibilityMs) }
      })
    })

  return startWorker('refresh', settings.refreshConcurrency, run, context)
}
