import type { Secret } from '../domain/secret.ts'

/** Where a server listens. */
export interface RedisNode {
  readonly host: string
  readonly port: number
}

/** How the Redis servers know us. */
export interface RedisLogin {
  readonly username?: string
  readonly password?: Secret
}

/** Which Redis to talk to: one server, the primary that sentinels name, or a cluster found from some of its nodes. */
export type RedisTarget =
  /** `redis://` or `rediss://`, with user, password and database. */
  | { readonly kind: 'single'; readonly url: Secret }
  | (RedisLogin & {
      readonly kind: 'sentinel'
      readonly sentinels: readonly RedisNode[]
      /** What the sentinels call the primary. */
      readonly name: string
      readonly sentinelUsername?: string
      readonly sentinelPassword?: Secret
      readonly database: number
    })
  | (RedisLogin & { readonly kind: 'cluster'; readonly nodes: readonly RedisNode[] })

/** TLS towards every server, sentinels too. What is absent is Node's default. PEM texts. */
export interface RedisTls {
  readonly ca?: string
  readonly cert?: string
  readonly key?: Secret
  readonly servername?: string
}
