import { composeDomain, type DomainParts } from '../../src/compose-domain.ts'
import type { RedisParts } from '../../src/compose-redis.ts'
import type { Config } from '../../src/config/config.ts'
import type { ConnectUpstream } from '../../src/domain/connect-ports.ts'
import type { ConnectionRef } from '../../src/domain/ids.ts'
import type { BrokerEvent, Clock, Fingerprint, Sealer, Upstream } from '../../src/domain/ports.ts'
import { createShield, type Shield } from '../../src/domain/shield.ts'
import type { Clients } from '../../src/redis/clients.ts'
import type { ScriptedRedis } from '../../src/redis/scripts.ts'
import { createStoreCall } from '../../src/redis/store-call.ts'
import { createWakeUp } from '../../src/redis/wake-up.ts'
import { joinStore, type OpenStore } from './redis-store.ts'

/** A fault of the store is one that the test makes, not a busy machine. */
const CALL_DEADLINE_MS = 5000

/** What the parts of a process see of the world outside. */
export interface ProcessPorts {
  readonly store: OpenStore['store']
  readonly connectStore: OpenStore['connectStore']
  readonly dueIndex: OpenStore['dueIndex']
  readonly zoho: Upstream & ConnectUpstream
}

export interface ModelProcessOptions {
  readonly clients: Clients
  readonly prefix: string
  readonly config: Pick<Config, 'apps' | 'dataCenters' | 'returnUrls' | 'refresh' | 'connect' | 'revoke'>
  readonly clock: Clock
  readonly zoho: Upstream & ConnectUpstream
  readonly sealer: Sealer
  readonly fingerprint: Fingerprint
  /** Stands between every part and its Redis client. */
  readonly wrap: (client: ScriptedRedis) => ScriptedRedis
  /** Changes what the domain is given: to watch it, or to plant a bug. */
  readonly change: (ports: ProcessPorts) => ProcessPorts
  readonly emit: (event: BrokerEvent) => void
  readonly kickRevoke: (ref: ConnectionRef) => void
}

/** One broker process without its listeners and workers: the composed domain over Redis. */
export interface ModelProcess {
  readonly parts: DomainParts
  readonly shield: Shield
  readonly claim: OpenStore['dueIndex']['claim']
  close(): void
}

/** Composes a process as the program does, over clients that outlive it. */
export function openModelProcess(options: ModelProcessOptions): ModelProcess {
  const { clients, prefix, clock, wrap, sealer, fingerprint, emit, kickRevoke } = options
  const call = createStoreCall({ deadlineMs: CALL_DEADLINE_MS })
  const { store, connectStore, dueIndex, tombstones, auditLog, keys } = joinStore(clients, {
    prefix,
    clock,
    wrap,
    wrapDurable: wrap,
    call
  })
  const wakeUp = createWakeUp({ publisher: clients.fast, subscriber: clients.subscriber, channel: keys.wake })
  const { zoho, ...ports } = options.change({ store, connectStore, dueIndex, zoho: options.zoho })
  const shield = createShield()
  const parts = composeDomain({
    config: options.config as Config,
    redis: { ...ports, tombstones, audit: auditLog, wakeUp, clock } as unknown as RedisParts,
    zoho,
    sealer,
    fingerprint,
    shield,
    emit,
    kickRevoke
  })
  return { parts, shield, claim: ports.dueIndex.claim, close: () => wakeUp.close() }
}
