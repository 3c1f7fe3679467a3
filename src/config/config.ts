import type { App } from '../domain/app.ts'
import type { DataCenter } from '../domain/data-center.ts'
import type { Consumer } from '../domain/policy.ts'
import type { Secret } from '../domain/secret.ts'
import type { Address } from './network.ts'
import type { LOG_LEVELS } from './schema-operation.ts'

/** A consumer with the SHA-256 hashes of its API keys, 64 lower-case hex digits each. */
export interface ConfiguredConsumer extends Consumer {
  readonly keyHashes: readonly string[]
}

/** Which Redis to talk to; the host of a node may be a name. */
export type RedisTarget =
  | { readonly kind: 'single'; readonly url: Secret }
  | (RedisLogin & {
      readonly kind: 'sentinel'
      readonly sentinels: readonly Address[]
      readonly name: string
      readonly sentinelUsername?: string
      readonly sentinelPassword?: Secret
      readonly database: number
    })
  | (RedisLogin & { readonly kind: 'cluster'; readonly nodes: readonly Address[] })

export interface RedisLogin {
  readonly username?: string
  readonly password?: Secret
}

/** TLS towards Redis: PEM texts. */
export interface RedisTls {
  readonly ca?: string
  readonly cert?: string
  readonly key?: Secret
  readonly servername?: string
}

/** What the program runs with: checked, complete, deeply frozen. Times in ms. `docs/configuration.md` explains each. */
export interface Config {
  /** An origin without a trailing slash. */
  readonly publicUrl: string
  readonly listen: { readonly public: Address; readonly api: Address; readonly management: Address }
  readonly trustProxy: readonly string[]
  readonly redis: {
    readonly target: RedisTarget
    readonly tls?: RedisTls
    readonly prefix: string
    readonly waitReplicas: number
    readonly waitMs: number
    readonly commandTimeoutMs: number
  }
  readonly sealing: {
    /** The first seals, all open. Each key is 32 bytes in base64. */
    readonly keys: readonly { readonly id: string; readonly key: Secret }[]
  }
  readonly apps: ReadonlyMap<string, App>
  /** Zoho's table with the configured rows in it. */
  readonly dataCenters: ReadonlyMap<string, DataCenter>
  readonly returnUrls: ReadonlyMap<string, string>
  readonly consumers: readonly ConfiguredConsumer[]
  readonly refresh: {
    readonly budget: number
    readonly budgetWindowMs: number
    readonly upstreamTimeoutMs: number
    readonly connectTimeoutMs: number
    readonly leaseTtlMs: number
    readonly callerDeadlineMs: number
    readonly secondStrikeMs: number
    readonly backoffFirstMs: number
    readonly backoffMaxMs: number
    readonly storeRetryMs: number
    readonly inFlight: number
    readonly inFlightReserved: number
  }
  readonly connect: {
    readonly linkLifeMs: number
    readonly stateLifeMs: number
    readonly exchangeDeadlineMs: number
    readonly confirmLifeMs: number
  }
  readonly revoke: { readonly visibilityMs: number; readonly giveUpMs: number }
  readonly sweep: {
    readonly everyMs: number
    readonly visibilityMs: number
    readonly batch: number
    readonly claim: number
  }
  readonly limits: {
    readonly token: { readonly perSecond: number; readonly burst: number }
    readonly adminPerMinute: number
    readonly publicPerMinute: number
  }
  readonly log: { readonly level: LogLevel }
  readonly shutdown: { readonly drainMs: number; readonly deadlineMs: number }
}

export type LogLevel = (typeof LOG_LEVELS)[number]
