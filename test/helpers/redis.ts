import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis, type RedisOptions } from 'ioredis'
import { findRedis } from '../../src/commands/redis.ts'
import { freePort } from '../../src/commands/redis-probe.ts'
import { type RedisServer, type RedisServerOptions, startRedisServer } from '../../src/commands/redis-process.ts'
import { findRedisProgram, installRedisProgram, type RedisProgram } from '../../src/commands/redis-program.ts'
import type { Teardown } from './tcp-proxy.ts'

export { startTcpProxy, type TcpProxy } from './tcp-proxy.ts'

/** ioredis' own, without the one member that changes the client's type. */
export type ClientOptions = Omit<RedisOptions, 'replyMapping'>

/** A Redis that other tests use too, and a key prefix that is ours alone. */
export interface TestRedis {
  readonly url: string
  readonly prefix: string
  /** A new client, disconnected with the test. */
  client(options?: ClientOptions): Redis
}

/** The run's Redis (`TEST_REDIS_URL`, set by `npm test`), or one of its own for a file that runs alone. Never flush it. */
export async function testRedis(t: Teardown): Promise<TestRedis> {
  const url = process.env.TEST_REDIS_URL ?? (await ownRedis(t))
  return {
    url,
    prefix: `ztb-${randomBytes(6).toString('hex')}`,
    client: (options = {}) => connect(t, url, options)
  }
}

async function ownRedis(t: Teardown): Promise<string> {
  const found = await findRedis({ env: process.env, log: (line) => console.error(line) })
  t.teardown(found.stop)
  return found.url
}

function connect(t: Teardown, url: string, options: ClientOptions): Redis {
  // ioredis waits this out at the end, even for a connection that never stood.
  const client = new Redis(url, { disconnectTimeout: 50, ...options })
  // Tests that break the connection look at what their calls say, not at this.
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  return client
}

/** A server of the test's own, to be killed, stopped and frozen. Its URL stays the same over a restart. */
export interface RedisProcess {
  readonly url: string
  readonly port: number
  readonly dir: string
  /** Changes with a restart. */
  pid(): number
  client(options?: ClientOptions): Redis
  /** Sends the signal (default SIGKILL) and waits for the end of the process. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** Freezes it: connections stand, nothing answers. */
  pause(): void
  resume(): void
  /** Kills it if it lives and starts it again on the same port and folder. Without `appendOnly` it comes back empty. */
  restart(): Promise<void>
}

/** Starts a server on 127.0.0.1 (`port` and `dir` are free and temporary unless given) that ends with the test. */
export async function startRedisProcess(
  t: Teardown,
  options: Pick<RedisServerOptions, 'port' | 'appendOnly' | 'dir' | 'first' | 'settings'> & { program?: string } = {}
): Promise<RedisProcess> {
  const program = options.program ?? (await redisProgram()).path
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'ztb-test-redis-')))
  const port = options.port ?? (await freePort())
  const start = () => startRedisServer({ ...options, program, port, dir })
  let server: RedisServer = await start()
  t.teardown(async () => {
    await server.stop()
    if (options.dir === undefined) await rm(dir, { recursive: true, force: true })
  })

  return {
    url: server.url,
    port,
    dir,
    pid: () => server.pid,
    client: (redisOptions = {}) => connect(t, server.url, redisOptions),
    kill: async (signal = 'SIGKILL') => {
      process.kill(server.pid, signal)
      await server.exited
    },
    pause: () => {
      process.kill(server.pid, 'SIGSTOP')
    },
    resume: () => {
      process.kill(server.pid, 'SIGCONT')
    },
    restart: async () => {
      await server.stop()
      server = await start()
    }
  }
}

async function redisProgram(): Promise<RedisProgram> {
  const log = (line: string) => console.error(line)
  const root = process.getuid?.() === 0
  const program = (await findRedisProgram(process.env, log)) ?? (await installRedisProgram(process.env, root, log))
  if (program === undefined) {
    throw new Error('this test kills a Redis server of its own: put a redis-server >= 7.0 on the PATH')
  }
  return program
}
