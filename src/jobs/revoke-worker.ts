import type { ConnectionRef } from '../domain/ids.ts'
import { runBatch } from './batch.ts'
import { type Queues, refsOf } from './queues.ts'
import type { JobSettings } from './settings.ts'
import { type RunningWorker, startWorker, type WorkerContext } from './worker.ts'

export interface RevokeWorkerDeps {
  readonly revokeDue: (ref: ConnectionRef) => Promise<void>
  readonly queues: Pick<Queues, 'add'>
  readonly settings: JobSettings
  readonly stopping: () => boolean
}

/** Works on the revoke jobs, the connections of a job one after the other. */
export function startRevokeWorker(deps: RevokeWorkerDeps, context: WorkerContext): RunningWorker {
  const { revokeDue, queues, settings, stopping } = deps

  const run = (data: unknown) =>
    runBatch({
      refs: refsOf(data),
      work: revokeDue,
      concurrency: 1,
      stopping,
      putBack: (refs) => queues.add('revoke', refs)
    })

  return startWorker('revoke', settings.revokeConcurrency, run, context)
}
