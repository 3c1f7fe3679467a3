import type { Redis } from 'ioredis'
import { asCluster, openClient, type Temper } from './open-client.ts'
import { SCRIPTS, type ScriptedRedis } from './scripts.ts'
import { withoutArguments } from './store-call.ts'
import type { RedisTarget, RedisTls } from './topology.ts'

/** The jobs that a connection is made for; none of them shares one. */
export type ClientName = 'fast' | 'durable' | 'limiter' | 'subscriber' | 'patient'

/** A connection came up or went down. `reason` is the client's own text, free of command arguments. */
export interface ClientStateChange {
  readonly client: ClientName
  readonly state: 'up' | 'down'
  readonly reason?: string
}

export interface ClientsOptions {
  readonly target: RedisTarget
  readonly tls?: RedisTls
  /** How long `limiter` waits for an answer; the others are bounded by their `StoreCall`. Default 200. */
  readonly commandTimeoutMs?: number
  /** A connection on which a command waits this long without one byte from the server is made anew. Default 2000. */
  readonly silenceMs?: number
  /** How long `durable` may wait for replicas. Default 0. */
  readonly waitMs?: number
  readonly onStateChange?: (change: ClientStateChange) => void
}

/** BullMQ blocks for up to 10 s by itself, so only a longer silence means a dead connection. */
const PATIENT = { patient: true, socketTimeout: 30_000 } as const

/** The connections of one process, by temper (`DESIGN.md` §4). */
export interface Clients {
  /** Requests: fails at once while disconnected, sends nothing twice. */
  readonly fast: ScriptedRedis
  /** Grant-changing writes: apart, because WAIT blocks its connection. */
  readonly durable: ScriptedRedis
  /** For @fastify/rate-limit. */
  readonly limiter: Redis
  /** The one classic subscriber. */
  readonly subscriber: Redis
  /** A new connection for BullMQ: its commands wait as long as it takes, also for a reconnect. */
  patient(): Redis
  /** Resolves once every connection made so far has been up; never rejects, and waits as long as it takes. */
  ready(): Promise<void>
  /** Ends every connection, after its pending replies if they come within `deadlineMs`. */
  close(deadlineMs: number): Promise<void>
}

/** Opens the connections. They connect by themselves, now and after every loss. */
export function createClients(options: ClientsOptions): Clients {
  const { target, tls, commandTimeoutMs = 200, silenceMs = 2000, waitMs = 0 } = options
  // A wrong URL would be taken for a socket path, and the URL parser's error would quote its password.
  if (target.kind === 'single' && !/^rediss?:\/\/./.test(target.url.reveal()))
    throw new TypeError('The Redis URL must begin with redis:// or rediss://')
  let closing = false
  const report = (change: ClientStateChange) => {
    if (!closing) options.onStateChange?.(change)
  }
  const open = (name: ClientName, own: Partial<Temper> = {}) => {
    // A silence catches half-open connections and frozen servers, also during the handshake.
    const client = openClient(target, tls, { connectionName: `ztb-${name}`, socketTimeout: silenceMs, ...own })
    watch(name, client, report)
    return client
  }

  const clients = {
    fast: open('fast', { scripts: SCRIPTS }) as ScriptedRedis,
    durable: open('durable', { scripts: SCRIPTS, socketTimeout: silenceMs + waitMs }) as ScriptedRedis,
    limiter: open('limiter', { commandTimeout: commandTimeoutMs }),
    // `wake-up` subscribes at every 'ready' itself.
    subscriber: open('subscriber', { autoResubscribe: false })
  }
  const all: Redis[] = Object.values(clients)

  return {
    ...clients,
    patient() {
      const client = open('patient', PATIENT)
      all.push(client)
      return client
    },
    async ready() {
      await Promise.all(all.map(becomesReady))
    },
    async close(deadlineMs) {
      closing = true
      await Promise.all(all.map((client) => endClient(client, deadlineMs)))
    }
  }
}

/** Turns the client's events into one report per change of state. */
function watch(name: ClientName, client: Redis, report: (change: ClientStateChange) => void): void {
  let state: 'up' | 'down' | undefined
  let reason: string | undefined

  client.on('error', (error) => {
    reason = withoutArguments(error).message
  })
  client.on('ready', () => {
    if (state !== 'up') report({ client: name, state: 'up' })
    state = 'up'
    reason = undefined
  })
  client.on('close', () => {
    if (state !== 'down') report({ client: name, state: 'down', ...(reason !== undefined && { reason }) })
    state = 'down'
  })
}

async function becomesReady(client: Redis): Promise<void> {
  if (client.status !== 'ready') await new Promise((resolve) => client.once('ready', resolve))
  await Promise.all(asCluster(client)?.nodes('master').map(isUpOrGone) ?? [])
}

function isUpOrGone(node: Redis): Promise<unknown> | undefined {
  if (node.status === 'ready' || node.status === 'end') return undefined
  return new Promise((resolve) => {
    node.once('ready', resolve)
    node.once('end', resolve)
  })
}

async function endClient(client: Redis, deadlineMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise((resolve) => {
    timer = setTimeout(resolve, deadlineMs)
  })
  if (client.status === 'ready') await Promise.race([client.quit().catch(() => {}), deadline])
  clearTimeout(timer)
  const betweenTries = client.status === 'reconnecting'
  client.disconnect()
  // Between two tries `disconnect` only stops the next one: commands in the offline queue would wait for ever.
  if (betweenTries) {
    client.connect().catch(() => {})
    client.disconnect()
  }
}
