import { randomBytes } from 'node:crypto'
import type { Config } from './config/config.ts'
import { createBroker } from './domain/create-broker.ts'
import { createGuardedWrite } from './domain/guarded-write.ts'
import { refKey } from './domain/ids.ts'
import { createImportGrant } from './domain/import-grant.ts'
import { createIssue } from './domain/issue.ts'
import { createLeaseLoop } from './domain/lease-loop.ts'
import type { BrokerEvent, Ids, Share } from './domain/ports.ts'
import { createRefresh } from './domain/refresh.ts'
import { createShield } from './domain/shield.ts'
import { drain } from './http/drain.ts'
import { createHttp } from './http/servers.ts'
import { createObserver, type Observer } from './observe/logger.ts'
import { createMetrics, type Metrics } from './observe/metrics.ts'
import { createAuditLog } from './redis/audit-log.ts'
import { createBatchReader } from './redis/batch-reader.ts'
import { createClients } from './redis/clients.ts'
import { createRedisClock } from './redis/clock.ts'
import { createConnectionStore } from './redis/connection-store.ts'
import { createIndexes } from './redis/indexes.ts'
import { createKeys } from './redis/keys.ts'
import { createStoreCall } from './redis/store-call.ts'
import { createWakeUp } from './redis/wake-up.ts'
import { createFingerprint } from './sealing/fingerprint.ts'
import { createKeyring } from './sealing/keyring.ts'
import { createZohoAccounts } from './zoho/accounts.ts'

/** How often a waiter looks by itself when no wake-up comes. */
const WAIT_POLL_MS = 500
const STORE_RETRY_PAUSE_MS = 250
/** What the listeners' and clients' own ends may take of the shutdown's deadline. */
const CLOSE_MS = 1000

export interface Listening {
  readonly public: string
  readonly api: string
  readonly management: string
}

/** The whole broker, not yet listening. */
export interface Program {
  readonly observer: Observer
  /** Listens on the three addresses; does not wait for Redis, `/readyz` tells. */
  start(): Promise<Listening>
  /** Drains and ends everything in reverse order, within the configured deadline. Answers under way are finished. */
  close(): Promise<void>
}

export interface ProgramOptions {
  readonly config: Config
  readonly role: 'api' | 'all'
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
  const redis = composeRedis(config, observer, metrics)
  const keys = config.sealing.keys.map(({ id, key }) => ({ id, key: Buffer.from(key.reveal(), 'base64') }))
  const sealer = createKeyring({ keys, prefix: config.redis.prefix })
  const { store, wakeUp, clock } = redis
  const settings = refreshSettings(config)
  const leaseLoop = createLeaseLoop({ store, wakeUp, clock, ids, emit, settings })
  const write = createGuardedWrite({ store, wakeUp, clock, emit, shield, settings })
  const shared = { store, leaseLoop, write, upstream: zoho, sealer, clock, ids, shield, emit, settings }
  const refresh = createRefresh({ ...shared, apps: config.apps })
  const broker = createBroker({
    store,
    refresh,
    issue: createIssue({ store, refresh, sealer, clock, emit }),
    importGrant: createImportGrant(shared),
    apps: config.apps
  })

  let state: 'starting' | 'serving' | 'draining' = 'starting'
  const http = await createHttp({
    broker,
    clock,
    apps: config.apps,
    dataCenters: config.dataCenters,
    consumers: new Map(
      config.consumers.flatMap((each) => each.keyHashes.map((hash) => [`sha256:${hash}`, each] as const))
    ),
    fingerprint: createFingerprint({ keys, prefix: config.redis.prefix }),
    recordHandOut: (handOut) => {
      metrics.countHandOut(handOut)
      observer.recordHandOut(handOut)
    },
    tokenLimit: config.limits.token,
    adminLimit: {
      perMinute: config.limits.adminPerMinute,
      limiter: redis.clients.limiter,
      prefix: config.redis.prefix
    },
    trustProxy: config.trustProxy,
    metrics: metrics.text,
    ready: () => ({
      ready: state === 'serving' && clock.ready(),
      checks: {
        lifecycle: state,
        clock: clock.ready() ? 'known' : 'waiting for the first answer of Redis',
        redis: redis.isUp() ? 'up' : 'down'
      }
    }),
    onServerError: (error, requestId) => observer.log.error({ err: error, request_id: requestId }, 'internal error')
  })

  return {
    observer,
    async start() {
      const { listen } = config
      const [publicUrl, api, management] = await Promise.all([
        http.public.listen({ ...listen.public }),
        http.api.listen({ ...listen.api }),
        http.management.listen({ ...listen.management })
      ])
      state = 'serving'
      return { public: publicUrl, api, management }
    },
    async close() {
      const until = performance.now() + config.shutdown.deadlineMs - CLOSE_MS
      const left = () => Math.max(0, until - performance.now())
      const wasServing = state === 'serving'
      state = 'draining'
      // Until the load balancer has seen /readyz, new requests still come and are answered.
      if (wasServing) await pause(Math.min(config.shutdown.drainMs, left()))
      await within(left(), Promise.all([drain(http.public), drain(http.api)]))
      await within(left(), shield.idle())
      await within(left(), zoho.close())
      await within(CLOSE_MS / 2, drain(http.management))
      await redis.close()
      await observer.close()
    }
  }
}

function composeRedis(config: Config, observer: Observer, metrics: Metrics) {
  const { url, prefix, commandTimeoutMs, waitReplicas, waitMs } = config.redis
  const down = new Set<string>()
  const clients = createClients({
    url: url.reveal(),
    commandTimeoutMs,
    waitMs: waitReplicas > 0 ? waitMs : 0,
    onStateChange: ({ client, state, reason }) => {
      if (state === 'up') down.delete(client)
      else down.add(client)
      observer.log[state === 'up' ? 'info' : 'warn']({ client, reason }, `Redis connection is ${state}`)
    }
  })
  const call = createStoreCall({ deadlineMs: commandTimeoutMs })
  const keys = createKeys(prefix)
  const clock = createRedisClock({
    client: clients.fast,
    call,
    onJump: (ms) => observer.log.warn({ ms }, 'the clock of this machine jumped')
  })
  const store = createConnectionStore({
    fast: clients.fast,
    durable: clients.durable,
    call,
    keys,
    clock,
    reader: createBatchReader({ client: clients.fast, call, keys }),
    indexes: createIndexes({ client: clients.fast, call, keys, clock }),
    auditLog: createAuditLog({ client: clients.fast, call, keys }),
    replicas: { count: waitReplicas, waitMs },
    onUnfinished: (ref) => {
      metrics.countIndexWriteFailed()
      observer.log.warn(
        { connection: refKey(ref) },
        'an index entry behind a stored write failed; it is repaired later'
      )
    }
  })
  const wakeUp = createWakeUp({
    publisher: clients.fast,
    subscriber: clients.subscriber,
    channel: keys.wake,
    onSilence: () => observer.log.warn('the wake-up channel was silent; its connection is made anew')
  })

  return {
    clients,
    clock,
    store,
    wakeUp,
    isUp: () => clients.fast.status === 'ready' && !down.has('fast'),
    async close() {
      clock.close()
      wakeUp.close()
      await clients.close(CLOSE_MS / 2)
    }
  }
}

function refreshSettings({ refresh }: Config) {
  return {
    ...refresh,
    shares: sharesOf(refresh.budget),
    // A lease is prolonged as long as its holder may rightly be at work: the call, then the store's retries.
    leaseMaxMs: refresh.upstreamTimeoutMs + refresh.storeRetryMs,
    waitPollMs: WAIT_POLL_MS,
    storeRetryPauseMs: STORE_RETRY_PAUSE_MS
  }
}

/** 60 / 20 / 20 % of the budget, rounded, each at least 1 (`DESIGN.md` §3). */
function sharesOf(budget: number): { [S in Share]: number } {
  const part = (share: number) => Math.max(1, Math.round(budget * share))
  return { anyone: part(0.6), rejected: part(0.2), admin: part(0.2) }
}

const ids: Ids = {
  writeId: () => randomBytes(8).toString('hex'),
  owner: () => randomBytes(16).toString('hex'),
  random: Math.random
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
