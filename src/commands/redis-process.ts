import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort, probeRedis } from './redis-probe.ts'

const READY_WITHIN_MS = 15_000
const PORT_TRIES = 3

/** A Redis server that is our own child process, on 127.0.0.1. */
export interface RedisServer {
  readonly url: string
  readonly port: number
  readonly pid: number
  /** Resolves when the process has ended, for whatever reason. */
  readonly exited: Promise<void>
  /** Kills it, waits for its end and removes its folder if we made that. */
  stop(): Promise<void>
}

/** What to start: `port` and `dir` are free and temporary unless given. */
export interface RedisServerOptions {
  readonly program: string
  readonly port?: number
  readonly dir?: string
  readonly appendOnly?: boolean
  /** Arguments in front of our own: a configuration file. */
  readonly first?: readonly string[]
  /** Settings beside, or in place of, our own. */
  readonly settings?: { readonly [name: string]: string }
}

/**
 * Starts a server and waits until it answers. It dies with this process, also by SIGKILL, and never keeps it alive.
 * Throws with the tail of its log when it does not come up.
 */
export async function startRedisServer(options: RedisServerOptions): Promise<RedisServer> {
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'ztb-redis-')))
  const tidy = async () => {
    if (options.dir === undefined) await rm(dir, { recursive: true, force: true })
  }
  for (let tries = 1; ; tries++) {
    try {
      const server = await startIn(dir, options)
      return { ...server, stop: () => server.stop().then(tidy) }
    } catch (error) {
      // Between our look and its start somebody else may have taken the port.
      if (options.port === undefined && tries < PORT_TRIES) continue
      await tidy()
      throw error
    }
  }
}

async function startIn(dir: string, options: RedisServerOptions): Promise<RedisServer> {
  const port = options.port ?? (await freePort())
  const child = spawn(options.program, [...(options.first ?? []), ...flags(port, dir, options)], {
    stdio: 'ignore',
    // Ctrl-C in a terminal must not take the store away before the program has drained.
    detached: true
  })
  const exited = ending(child)
  const stop = () => kill(child, exited)
  leash(child, options.dir === undefined ? dir : '')
  try {
    const pid = await ready(child, port, dir)
    return { url: `redis://127.0.0.1:${port}`, port, pid, exited, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function flags(port: number, dir: string, { appendOnly = false, settings = {} }: RedisServerOptions): string[] {
  const all = {
    port: String(port),
    bind: '127.0.0.1',
    dir,
    logfile: join(dir, 'redis.log'),
    save: '',
    appendonly: appendOnly ? 'yes' : 'no',
    'maxmemory-policy': 'noeviction',
    ...settings
  }
  return Object.entries(all).flatMap(([name, value]) => [`--${name}`, value])
}

function ending(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.on('exit', () => resolve())
    // It could not be started at all: `ready` says so.
    child.on('error', () => resolve())
  })
}

async function kill(child: ChildProcess, exited: Promise<void>): Promise<void> {
  child.ref()
  // Its data is thrown away, and a stopped process hears nothing else.
  child.kill('SIGKILL')
  await exited
}

/** A shell that waits on our pipe: its end without a word means that we died, so it kills the server for us. */
function leash(child: ChildProcess, dir: string): void {
  child.unref()
  if (child.pid === undefined) return
  const script = 'read -r word || { kill -9 "$1"; [ -z "$2" ] || rm -rf -- "$2"; }'
  const watch = spawn('sh', ['-c', script, 'redis-leash', String(child.pid), dir], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true
  })
  watch.on('error', () => {})
  watch.stdin.on('error', () => {})
  watch.unref()
  // The types hide that a pipe is a socket.
  ;(watch.stdin as Socket).unref()
  child.on('exit', () => watch.stdin.end('over\n'))
}

async function ready(child: ChildProcess, port: number, dir: string): Promise<number> {
  const { pid } = child
  if (pid === undefined) {
    const [error] = await once(child, 'error')
    throw new Error(`cannot start ${child.spawnfile}: ${error.message}`)
  }
  const deadline = Date.now() + READY_WITHIN_MS
  while (child.exitCode === null && child.signalCode === null && Date.now() < deadline) {
    const identity = await probeRedis(`redis://127.0.0.1:${port}`, 1000).catch(() => undefined)
    // Another server on the port would answer as well.
    if (identity?.pid === pid) return pid
    await delay(10)
  }
  const log = await readFile(join(dir, 'redis.log'), 'utf8').catch(() => '')
  throw new Error(`${child.spawnfile} did not come up on port ${port}:\n${log.split('\n').slice(-6).join('\n').trim()}`)
}
