import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { BrokerEvent, HandOut } from '../domain/ports.ts'

/** Every metric of the broker, fed by what the domain says. No tenant, connection or consumer is ever a label. */
export interface Metrics {
  count(event: BrokerEvent): void
  countHandOut(handOut: HandOut): void
  countApiDomainDiffers(dataCenter: string): void
  countIndexWriteFailed(): void
  countAuditLost(): void
  countExposureLost(): void
  countSweep(sweep: { readonly claimed: number; readonly ms: number }): void
  /** A job or a worker failed; `reason` is a code. */
  countJobTrouble(trouble: { readonly queue: string; readonly reason: string }): void
  /** The Prometheus text format. */
  text(): Promise<string>
  readonly contentType: string
}

/** Makes a registry of its own, so that two brokers in one process do not share counters. */
export function createMetrics(build: { version: string; role: string }): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix: 'ztb_' })
  const registers = [registry]
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Counter<L>({ name: `ztb_${name}`, help, labelNames: [...labelNames], registers })

  new Gauge({
    name: 'ztb_build_info',
    help: 'Always 1; the labels tell what runs.',
    labelNames: ['version', 'role'],
    registers
  })
    .labels(build)
    .set(1)
  const handOuts = counter('hand_outs_total', 'Token requests by outcome: issued, or the code of the refusal.', [
    'outcome'
  ])
  const refreshes = counter('refreshes_total', 'Upstream refreshes by outcome.', ['app', 'data_center', 'outcome'])
  const refreshSeconds = new Histogram({
    name: 'ztb_refresh_seconds',
    help: 'How long an upstream refresh took.',
    labelNames: ['data_center'],
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8],
    registers
  })
  const leaseWaitSeconds = new Histogram({
    name: 'ztb_lease_wait_seconds',
    help: 'How long a refresh waited for the lease of another one.',
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8],
    registers
  })
  const leaseLosses = counter('lease_losses_total', 'Leases that ended while their holder was at work.')
  const refusedWrites = counter(
    'late_writes_refused_total',
    'Answers that were dropped because somebody else wrote meanwhile.',
    ['what']
  )
  const budgetRefusals = counter('budget_refusals_total', 'Refreshes refused because the budget was spent.', ['share'])
  const storeRetries = counter('store_retries_total', 'Writes repeated after a failure of the store.')
  const storeGaveUp = counter('store_gave_up_total', 'Answers of Zoho that could not be stored in time.')
  const unreadable = counter('sealed_unreadable_total', 'Sealed tokens that could not be opened.', ['purpose'])
  const apiDomainDiffers = counter(
    'api_domain_differs_total',
    'Answers that named another API origin than the table.',
    ['data_center']
  )
  const indexFailures = counter(
    'index_write_failures_total',
    'Index or due entries that failed behind a stored write; repaired later.'
  )

  const revokes = counter('revokes_total', 'Revokes at Zoho by outcome.', ['outcome'])
  const orphans = counter('orphaned_grants_total', 'Grants that Zoho gave and that were not stored, by outcome.', [
    'outcome'
  ])
  const auditLost = counter('audit_lost_total', 'Refusals that could not be written to the audit stream.')
  const exposureLost = counter('exposure_lost_total', 'Hand-outs that could not be entered in the exposure hash.')
  const sweeps = counter('sweeps_total', 'Looks at the due index.')
  const claimed = counter('sweep_claimed_total', 'Connections claimed from the due index.')
  const jobTroubles = counter('job_troubles_total', 'Jobs and workers that failed.', ['queue', 'reason'])

  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    countHandOut: ({ outcome }) => handOuts.labels(outcome).inc(),
    countApiDomainDiffers: (dataCenter) => apiDomainDiffers.labels(dataCenter).inc(),
    countIndexWriteFailed: () => indexFailures.inc(),
    countAuditLost: () => auditLost.inc(),
    countExposureLost: () => exposureLost.inc(),
    countSweep({ claimed: number }) {
      sweeps.inc()
      claimed.inc(number)
    },
    countJobTrouble: ({ queue, reason }) => jobTroubles.labels(queue, reason).inc(),
    count(event) {
      switch (event.type) {
        case 'refresh.ended':
          refreshes.labels(event.app, event.dataCenter, event.outcome).inc()
          refreshSeconds.labels(event.dataCenter).observe(event.ms / 1000)
          break
        case 'write.refused':
          refusedWrites.labels(event.what).inc()
          break
        case 'lease.lost':
          leaseLosses.inc()
          break
        case 'lease.waited':
          leaseWaitSeconds.observe(event.ms / 1000)
          break
        case 'budget.refused':
          budgetRefusals.labels(event.share).inc()
          break
        case 'store.retried':
          storeRetries.inc()
          break
        case 'store.gave_up':
          storeGaveUp.inc()
          break
        case 'sealed.unreadable':
          unreadable.labels(event.purpose).inc()
          break
        case 'revoke.ended':
          revokes.labels(event.outcome).inc()
          break
        case 'grant.orphaned':
          orphans.labels(event.outcome.split(':')[0] as string).inc()
      }
    }
  }
}
