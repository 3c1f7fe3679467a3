import { Secret } from '../domain/secret.ts'
import { buildApp, dataCenterTable } from './apps.ts'
import { buildRedis } from './build-redis.ts'
import type { Config, LogLevel } from './config.ts'
import { addressOf } from './network.ts'
import type { Settings } from './schema.ts'

/** The frozen configuration of the program from settings without a fault. */
export function buildConfig(settings: Settings, logLevel: LogLevel): Config {
  const { listen, redis, limits } = settings
  const dataCenters = dataCenterTable(settings)
  return deepFreeze({
    publicUrl: new URL(settings.public_url).origin,
    listen: { public: addressOf(listen.public), api: addressOf(listen.api), management: addressOf(listen.management) },
    trustProxy: settings.trust_proxy,
    redis: buildRedis(redis),
    sealing: { keys: settings.sealing.keys.map(({ id, key }) => ({ id, key: new Secret(key) })) },
    apps: new Map(Object.entries(settings.apps).map(([name, app]) => [name, buildApp(name, app, dataCenters)])),
    dataCenters,
    returnUrls: new Map(Object.entries(settings.return_urls)),
    consumers: Object.entries(settings.consumers).map(([name, { keys, allow }]) => ({
      name,
      allow,
      keyHashes: keys.map((key) => key.slice('sha256:'.length).toLowerCase())
    })),
    refresh: buildRefresh(settings.refresh),
    connect: {
      linkLifeMs: settings.connect.link_life_ms,
      stateLifeMs: settings.connect.state_life_ms,
      exchangeDeadlineMs: settings.connect.exchange_deadline_ms,
      confirmLifeMs: settings.connect.confirm_life_ms
    },
    revoke: { visibilityMs: settings.revoke.visibility_ms, giveUpMs: settings.revoke.give_up_ms },
    sweep: {
      everyMs: settings.sweep.every_ms,
      visibilityMs: settings.sweep.visibility_ms,
      batch: settings.sweep.batch,
      claim: settings.sweep.claim
    },
    limits: {
      token: { perSecond: limits.token.per_second, burst: limits.token.burst },
      adminPerMinute: limits.admin_per_minute,
      publicPerMinute: limits.public_per_minute
    },
    log: { level: logLevel },
    shutdown: { drainMs: settings.shutdown.drain_ms, deadlineMs: settings.shutdown.deadline_ms }
  })
}

function buildRefresh(refresh: Settings['refresh']): Config['refresh'] {
  return {
    budget: refresh.budget,
    budgetWindowMs: refresh.budget_window_ms,
    upstreamTimeoutMs: refresh.upstream_timeout_ms,
    connectTimeoutMs: refresh.connect_timeout_ms,
    leaseTtlMs: refresh.lease_ttl_ms,
    callerDeadlineMs: refresh.caller_deadline_ms,
    secondStrikeMs: refresh.second_strike_ms,
    backoffFirstMs: refresh.backoff_first_ms,
    backoffMaxMs: refresh.backoff_max_ms,
    storeRetryMs: refresh.store_retry_ms,
    inFlight: refresh.in_flight,
    inFlightReserved: refresh.in_flight_reserved
  }
}

/** Freezes a value with all that it holds. A frozen Map still takes `set`, so its own writers are replaced. */
function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  if (value instanceof Map) {
    for (const writer of ['set', 'delete', 'clear']) Object.defineProperty(value, writer, { value: refuseWrite })
    for (const entry of value.values()) deepFreeze(entry)
  }
  Object.freeze(value)
  for (const member of Object.values(value)) deepFreeze(member)
  return value
}

function refuseWrite(): never {
  throw new TypeError('the configuration is frozen')
}
