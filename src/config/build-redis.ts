import { Secret } from '../domain/secret.ts'
import type { Config, RedisLogin, RedisTarget, RedisTls } from './config.ts'
import { addressOf } from './network.ts'
import type { Settings } from './schema.ts'

/** The part of the configuration about Redis, from settings without a fault. */
export function buildRedis(redis: Settings['redis']): Config['redis'] {
  return {
    target: targetOf(redis),
    ...(redis.tls && { tls: tlsOf(redis.tls) }),
    prefix: redis.prefix,
    waitReplicas: redis.wait_replicas,
    waitMs: redis.wait_ms,
    commandTimeoutMs: redis.command_timeout_ms
  }
}

function targetOf(redis: Settings['redis']): RedisTarget {
  const { url, sentinels, name, cluster } = redis
  if (url !== undefined) return { kind: 'single', url: new Secret(url) }
  if (cluster) return { kind: 'cluster', nodes: cluster.map(addressOf), ...loginOf(redis) }
  if (!sentinels || name === undefined) throw new TypeError('settings that were not checked')
  const { sentinel_username: sentinelUsername, sentinel_password: sentinelPassword } = redis
  return {
    kind: 'sentinel',
    sentinels: sentinels.map(addressOf),
    name,
    database: redis.database ?? 0,
    ...(sentinelUsername !== undefined && { sentinelUsername }),
    ...(sentinelPassword !== undefined && { sentinelPassword: new Secret(sentinelPassword) }),
    ...loginOf(redis)
  }
}

function loginOf({ username, password }: Settings['redis']): RedisLogin {
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password: new Secret(password) })
  }
}

function tlsOf({ key, ...rest }: NonNullable<Settings['redis']['tls']>): RedisTls {
  return { ...rest, ...(key !== undefined && { key: new Secret(key) }) }
}
