import type { Redis } from 'ioredis'
import type { DueIndex } from '../domain/connect-ports.ts'
import type { Clock } from '../domain/ports.ts'
import type { OnJobEvent, TroubleReport } from './events.ts'
import type { Queues } from './queues.ts'
import type { JobSettings } from './settings.ts'
import { type RunningWorker, startWorker, type WorkerContext } from './worker.ts'

export interface SweepDeps {
  readonly claim: DueIndex['claim']
  readonly clock: Clock
  readonly queues: Pick<Queues, 'add' | 'waiting'>
  readonly settings: JobSettings
  readonly stopping: () => boolean
  readonly onEvent: OnJobEvent
}

/** Works on the sweeps: claims what is due and adds it as refresh jobs, until nothing is due or enough waits. */
export function startSweepWorker(deps: SweepDeps, context: WorkerContext): RunningWorker {
  const { claim, clock, queues, settings, stopping, onEvent } = deps
  const { batchSize, backlogLimit, claimLimit, visibilityMs } = settings

  async function sweep(): Promise<void> {
    const started = performance.now()
    // What waits longer than it is hidden is claimed again and again: an outage must not fill the queue.
    let room = backlogLimit - (await queues.waiting()) * batchSize
    let claimed = 0
    while (room > 0 && !stopping()) {
      const refs = await claim({ now: clock.now(), limit: Math.min(claimLimit, room), visibilityMs })
      if (refs.length === 0) break
      await queues.add('refresh', refs)
      claimed += refs.length
      room -= refs.length
    }
    onEvent({ type: 'sweep.ran', claimed, ms: Math.round(performance.now() - started) })
  }

  return startWorker('sweep', 1, sweep, context)
}

/** Keeps the sweep scheduled: a scheduler that is lost stops silently. */
export function startScheduling({
  queues,
  client,
  settings,
  trouble
}: {
  readonly queues: Pick<Queues, 'scheduleSweep'>
  readonly client: Redis
  readonly settings: Pick<JobSettings, 'sweepEveryMs' | 'schedulerUpsertEveryMs'>
  readonly trouble: TroubleReport
}): { stop(): void } {
  let underWay = false

  function schedule(): void {
    // While Redis is away one call waits for it; more would only pile up.
    if (underWay) return
    underWay = true
    queues
      .scheduleSweep(settings.sweepEveryMs)
      .catch((error) => trouble.failed('sweep', error))
      .finally(() => {
        underWay = false
      })
  }

  schedule()
  const timer = setInterval(schedule, settings.schedulerUpsertEveryMs)
  // Redis may have come back empty.
  client.on('ready', schedule)

  return {
    stop() {
      clearInterval(timer)
      client.off('ready', schedule)
    }
  }
}
