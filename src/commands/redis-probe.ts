import { createServer } from 'node:net'
import { Redis } from 'ioredis'

/** What a Redis says of itself; each is absent where its ACL hides INFO. */
export interface RedisIdentity {
  readonly version?: string
  readonly pid?: number
}

/** Asks the Redis at `url` for PING and INFO. Throws the connection's error when it does not answer in `timeoutMs`. */
export async function probeRedis(url: string, timeoutMs: number): Promise<RedisIdentity> {
  const client = new Redis(url, {
    lazyConnect: true,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    // The timer behind a disconnect outlives a connection that never stood, and keeps the program alive.
    disconnectTimeout: 50
  })
  // The calls below report it too; without a listener ioredis prints it.
  let reason: Error | undefined
  client.on('error', (error: Error) => {
    reason ??= error
  })
  try {
    await client.connect()
    await client.ping()
    return identity(await client.info('server').catch(() => ''))
  } catch (error) {
    throw reason ?? error
  } finally {
    client.disconnect()
  }
}

function identity(info: string): RedisIdentity {
  const version = /^(?:valkey|redis)_version:(\S+)/m.exec(info)?.[1]
  const pid = /^process_id:(\d+)/m.exec(info)?.[1]
  return { ...(version && { version }), ...(pid && { pid: Number(pid) }) }
}

/** Host and port of a Redis URL, without its password. Throws a sentence when it is no Redis URL. */
export function redisAddress(url: string): string {
  const { protocol, host } = URL.canParse(url) ? new URL(url) : { protocol: '', host: '' }
  if (!['redis:', 'rediss:'].includes(protocol) || host === '') {
    throw new Error('a Redis URL looks like redis://127.0.0.1:6379/0')
  }
  return host
}

/** A TCP port of 127.0.0.1 that nobody listens on now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}
