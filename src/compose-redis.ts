import type { Config } from './config/config.ts'
import { type ConnectionRef, refKey } from './domain/ids.ts'
import type { Observer } from './observe/logger.ts'
import type { Metrics } from './observe/metrics.ts'
import { createAuditLog } from './redis/audit-log.ts'
import { createBatchReader } from './redis/batch-reader.ts'
import { createClients } from './redis/clients.ts'
import { createRedisClock } from './redis/clock.ts'
import { createConnectStore } from './redis/connect-store.ts'
import { createConnectionStore } from './redis/connection-store.ts'
import { createDueIndex } from './redis/due-index.ts'
import { createDurableScript } from './redis/durable-script.ts'
import { watchEvictionPolicy } from './redis/eviction-policy.ts'
import { createExposure } from './redis/exposure.ts'
import { createIndexes } from './redis/indexes.ts'
import { createKeys } from './redis/keys.ts'
import { createStoreCall } from './redis/store-call.ts'
import { createTombstones } from './redis/tombstones.ts'
import { createWakeUp } from './redis/wake-up.ts'

/** Everything that lives in Redis, behind the domain's ports. */
export type RedisParts = ReturnType<typeof composeRedis>

/** Opens the connections and joins the adapters on them. */
export function composeRedis(config: Config, observer: Observer, metrics: Metrics) {
  const { target, tls, prefix, commandTimeoutMs, waitReplicas, waitMs } = config.redis
  const { log } = observer
  const down = new Set<string>()
  const clients = createClients({
    target,
    ...(tls && { tls }),
    commandTimeoutMs,
    waitMs: waitReplicas > 0 ? waitMs : 0,
    onStateChange: ({ client, state, reason }) => {
      if (state === 'up') down.delete(client)
      else down.add(client)
      log[state === 'up' ? 'info' : 'warn']({ client, reason }, `Redis connection is ${state}`)
    }
  })
  const client = clients.fast
  const call = createStoreCall({ deadlineMs: commandTimeoutMs })
  const keys = createKeys(prefix)
  const clock = createRedisClock({ client, call, onJump: (ms) => log.warn({ ms }, 'the clock of this machine jumped') })
  const indexes = createIndexes({ client, call, keys, clock })
  const auditLog = createAuditLog({ client, call, keys, onLost: metrics.countAuditLost })
  const onUnfinished = (ref: ConnectionRef) => {
    metrics.countIndexWriteFailed()
    log.warn({ connection: refKey(ref) }, 'an index entry behind a stored write failed; it is repaired later')
  }
  const durably = createDurableScript({
    client: clients.durable,
    call,
    replicas: { count: waitReplicas, waitMs }
  })
  const shared = { client, durably, call, keys, indexes, auditLog, onUnfinished }
  const eviction = watchEvictionPolicy({
    client,
    call,
    onEvictionPolicy: (policy) =>
      log.error({ policy }, 'Redis may evict our records: set maxmemory-policy to noeviction')
  })
  const wakeUp = createWakeUp({
    publisher: client,
    subscriber: clients.subscriber,
    channel: keys.wake,
    onSilence: () => log.warn('the wake-up channel was silent; its connection is made anew')
  })

  return {
    clients,
    clock,
    wakeUp,
    audit: auditLog,
    store: createConnectionStore({
      ...shared,
      fast: client,
      clock,
      reader: createBatchReader({ client, call, keys })
    }),
    connectStore: createConnectStore(shared),
    dueIndex: createDueIndex(shared),
    tombstones: createTombstones(shared),
    exposure: createExposure({ ...shared, onFailed: metrics.countExposureLost }),
    isUp: () => client.status === 'ready' && !down.has('fast'),
    async close(deadlineMs: number) {
      eviction.close()
      clock.close()
      wakeUp.close()
      await clients.close(deadlineMs)
    }
  }
}
