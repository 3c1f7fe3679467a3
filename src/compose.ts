import { composeDomain } from './compose-domain.ts'
import { composeRedis, type RedisParts } from './compose-redis.ts'
import type { Config } from './config/config.ts'
import type { BrokerEvent, HandOut } from './domain/ports.ts'
import { createShield } from './domain/shield.ts'
import { drain } from './http/drain.ts'
import { createHttp, type HttpServers } from './http/servers.ts'
import { createJobs, type Jobs } from './jobs/jobs.ts'
import { createObserver, type Observer } from './observe/logger.ts'
import { createMetrics, type Metrics } from './observe/metrics.ts'
import { createFingerprint } from './sealing/fingerprint.ts'
import { createKeyring } from './sealing/keyring.ts'
import { createZohoAccounts } from './zoho/accounts.ts'

/** What the listeners' and clients' own ends may take of the shutdown's deadline. */
const CLOSE_MS = 1000

/** What a process does: answer, work in the background, or both. */
export type Role = 'api' | 'worker' | 'all'

/** Origins of the listeners that this role has. */
export interface Listening {
  readonly public?: string
  readonly api?: string
  readonly management: string
}

/** The whole broker, not yet listening. */
export interface Program {
  readonly observer: Observer
  /** Listens and begins to work; does not wait for Redis, `/readyz` tells. */
  start(): Promise<Listening>
  /** Drains and ends everything in reverse order, within the configured deadline. Answers under way are finished. */
  close(): Promise<void>
}

export interface ProgramOptions {
  readonly config: Config
  readonly role: Role
  readonly version: string
  /** The value of `DEBUG`. */
  readonly debug: string | undefined
}

/** Makes every part and joins them. The only place that knows them all. */
export async function createProgram({ config, role, version, debug }: ProgramOptions): Promise<Program> {
  const observer = createObserver({ level: config.log.level })
  const metrics = createMetrics({ version, role })
  const shield = createShield()
  const emit = (event: BrokerEvent) => {
    metrics.count(event)
    observer.logEvent(event)
  }
  const zoho = await createZohoAccounts({
    apps: [...config.apps.values()],
    dataCenters: [...config.dataCenters.values()],
    timeoutMs: config.refresh.upstreamTimeoutMs,
    connectTimeoutMs: config.refresh.connectTimeoutMs,
    inFlight: config.refresh.inFlight,
    inFlightReserved: config.refresh.inFlightReserved,
    callbackUri: `${config.publicUrl}/oauth/callback`,
    onApiDomainDiffers: ({ dataCenter }) => metrics.countApiDomainDiffers(dataCenter),
    debug
  })
  const keys = config.sealing.keys.map(({ id, key }) => ({ id, key: Buffer.from(key.reveal(), 'base64') }))
  const sealer = createKeyring({ keys, prefix: config.redis.prefix })
  const fingerprint = createFingerprint({ keys, prefix: config.redis.prefix })
  const redis = composeRedis(config, observer, metrics)
  const domain = composeDomain({
    config,
    redis,
    zoho,
    sealer,
    fingerprint,
    shield,
    emit,
    kickRevoke: (ref) => void jobs.kickRevoke([ref])
  })
  const jobs = composeJobs({ config, role, redis, observer, metrics }, domain)
  let state: 'starting' | 'serving' | 'draining' = 'starting'
  const http = await createHttp({
    ...domain,
    fingerprint,
    clock: redis.clock,
    apps: config.apps,
    dataCenters: config.dataCenters,
    consumers: consumersByHash(config),
    publicUrl: config.publicUrl,
    recordHandOut: (handOut) => recordHandOut(handOut, { metrics, observer, redis }),
    recordRefusal: ({ consumer, operation, code, ref }) =>
      redis.audit.append(
        { type: 'request.refused', at: redis.clock.now(), actor: consumer, data: { operation, code } },
        ref
      ),
    tokenLimit: config.limits.token,
    adminLimit: limit(config.limits.adminPerMinute),
    publicLimit: limit(config.limits.publicPerMinute),
    trustProxy: config.trustProxy,
    metrics: metrics.text,
    ready: () => ({
      ready: state === 'serving' && redis.clock.ready(),
      checks: {
        lifecycle: state,
        clock: redis.clock.ready() ? 'known' : 'waiting for the first answer of Redis',
        redis: redis.isUp() ? 'up' : 'down'
      }
    }),
    onServerError: (error, requestId) => observer.log.error({ err: error, request_id: requestId }, 'internal error')
  })

  function limit(perMinute: number) {
    return { perMinute, limiter: redis.clients.limiter, prefix: config.redis.prefix }
  }

  return {
    observer,
    async start() {
      const listening = await listen(http, config, role)
      jobs.start()
      state = 'serving'
      return listening
    },
    async close() {
      const until = performance.now() + config.shutdown.deadlineMs - CLOSE_MS
      const left = () => Math.max(0, until - performance.now())
      const wasServing = state === 'serving'
      state = 'draining'
      // Until the load balancer has seen /readyz, new requests still come and are answered.
      if (wasServing && role !== 'worker') await pause(Math.min(config.shutdown.drainMs, left()))
      await within(left(), Promise.all([drain(http.public), drain(http.api), jobs.close(left())]))
      await within(left(), shield.idle())
      await within(left(), zoho.close())
      await within(CLOSE_MS / 2, drain(http.management))
      await redis.close(CLOSE_MS / 2)
      await observer.close()
    }
  }
}

interface JobParts {
  readonly config: Config
  readonly role: Role
  readonly redis: RedisParts
  readonly observer: Observer
  readonly metrics: Metrics
}

function composeJobs(
  { config, role, redis, observer, metrics }: JobParts,
  { attend, revokeDue }: Pick<ReturnType<typeof composeDomain>, 'attend' | 'revokeDue'>
): Jobs {
  const { everyMs, visibilityMs, batch, claim } = config.sweep
  return createJobs({
    connect: redis.clients.patient,
    prefix: config.redis.prefix,
    role,
    claim: redis.dueIndex.claim,
    renew: redis.dueIndex.renew,
    attend,
    revokeDue,
    clock: redis.clock,
    settings: { sweepEveryMs: everyMs, visibilityMs, batchSize: batch, claimLimit: claim },
    onEvent: (event) => {
      if (event.type === 'sweep.ran') return metrics.countSweep(event)
      metrics.countJobTrouble(event)
      observer.log.warn({ event: event.type, queue: event.queue, reason: event.reason }, 'background work failed')
    }
  })
}

async function listen(http: HttpServers, { listen: at }: Config, role: Role): Promise<Listening> {
  const management = await http.management.listen({ ...at.management })
  if (role === 'worker') return { management }
  const [pages, api] = await Promise.all([http.public.listen({ ...at.public }), http.api.listen({ ...at.api })])
  return { public: pages, api, management }
}

function consumersByHash({ consumers }: Config) {
  return new Map(consumers.flatMap((each) => each.keyHashes.map((hash) => [`sha256:${hash}`, each] as const)))
}

function recordHandOut(
  handOut: HandOut,
  { metrics, observer, redis }: Pick<JobParts, 'metrics' | 'observer' | 'redis'>
): void {
  metrics.countHandOut(handOut)
  observer.recordHandOut(handOut)
  const { ref, consumer, generation } = handOut
  if (generation !== undefined) redis.exposure.record({ ref, consumer, generation, at: redis.clock.now() })
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([work.then(() => {}), late]).finally(() => clearTimeout(timer))
}
