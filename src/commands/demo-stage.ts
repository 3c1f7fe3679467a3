import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { freePort, startCommand } from './demo-processes.ts'
import { type FoundRedis, findRedis } from './redis.ts'
import type { Env } from './redis-program.ts'

/** Everything the demo plays on: a Redis, a simulator of Zoho and a broker, each a real process on loopback. */
export interface Stage {
  readonly redis: string
  readonly simulator: { readonly us: string; readonly eu: string; readonly control: string }
  readonly broker: { readonly public: string; readonly api: string; readonly management: string }
  /** API keys made for this run. */
  readonly keys: { readonly service: string; readonly admin: string }
  /** Ends what was started, in reverse order. */
  close(): Promise<void>
}

export interface StageOptions {
  readonly env: Env
  readonly say: (line: string) => void
}

/** Starts the three; what was started is ended again if one of them fails. */
export async function openStage({ env, say }: StageOptions): Promise<Stage> {
  const ends: (() => Promise<unknown>)[] = []
  const close = async () => {
    for (const end of ends.reverse().splice(0)) await end()
  }
  try {
    const redis: FoundRedis = await findRedis({ env, log: say })
    ends.push(redis.stop)
    say(`Redis: ${redis.source}`)
    const directory = await mkdtemp(join(tmpdir(), 'ztb-demo-'))
    ends.push(() => rm(directory, { recursive: true, force: true }))

    const client = {
      id: `1000.${randomBytes(15).toString('hex').toUpperCase()}`,
      secret: randomBytes(21).toString('hex')
    }
    const simulator = await startSimulator(client, ends)
    say(`Simulator of Zoho: us ${simulator.us}, eu ${simulator.eu}, control ${simulator.control}`)

    const keys = { service: apiKey(), admin: apiKey() }
    const config = join(directory, 'broker.yaml')
    await writeFile(join(directory, 'sealing-key'), randomBytes(32).toString('base64'), { mode: 0o600 })
    await writeFile(join(directory, 'client-secret'), client.secret, { mode: 0o600 })
    const broker = await brokerAddresses()
    const prefix = `ztb-demo-${randomBytes(4).toString('hex')}`
    await writeFile(
      config,
      brokerConfig({ redisUrl: redis.url, prefix, simulator, broker, clientId: client.id, keys }),
      { mode: 0o600 }
    )
    await startBroker(config, ends)
    say(`Broker: public ${broker.public}, api ${broker.api}, management ${broker.management}`)
    return { redis: redis.source, simulator, broker, keys, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function startSimulator(client: { id: string; secret: string }, ends: (() => Promise<unknown>)[]) {
  const [us, eu, control] = [await freePort(4001), await freePort(4002), await freePort(4000)]
  const child = startCommand(
    [
      'simulator',
      '--port-us',
      `${us}`,
      '--port-eu',
      `${eu}`,
      '--control-port',
      `${control}`,
      '--client',
      `${client.id}:${client.secret}`
    ],
    () => {}
  )
  ends.push(child.stop)
  return child.line((line) => {
    if (!line.startsWith('{"simulator"')) return undefined
    const { simulator } = JSON.parse(line)
    return {
      us: String(simulator.data_centers.us),
      eu: String(simulator.data_centers.eu),
      control: String(simulator.control)
    }
  })
}

async function brokerAddresses() {
  const [browsers, api, management] = [await freePort(8080), await freePort(8081), await freePort(8082)]
  return {
    public: `http://127.0.0.1:${browsers}`,
    api: `http://127.0.0.1:${api}`,
    management: `http://127.0.0.1:${management}`
  }
}

async function startBroker(config: string, ends: (() => Promise<unknown>)[]): Promise<void> {
  const child = startCommand(['serve', '--config', config], () => {})
  ends.push(child.stop)
  const management = await child.line((line) => {
    if (!line.includes('"listening"')) return undefined
    return String(JSON.parse(line).listening.management)
  })
  for (;;) {
    const answer = await fetch(`${management}/readyz`)
    if (answer.ok) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

interface ConfigParts {
  readonly redisUrl: string
  readonly prefix: string
  readonly simulator: Stage['simulator']
  readonly broker: Stage['broker']
  readonly clientId: string
  readonly keys: Stage['keys']
}

function brokerConfig({ redisUrl, prefix, simulator, broker, clientId, keys }: ConfigParts): string {
  const host = (origin: string) => new URL(origin).host
  const row = (origin: string) => ({ accounts: origin, api: origin, desk: origin })
  return stringify({
    public_url: broker.public,
    listen: { public: host(broker.public), api: host(broker.api), management: host(broker.management) },
    redis: { url: redisUrl, prefix },
    sealing: { keys: [{ id: 'demo', key: { file: 'sealing-key' } }] },
    data_centers: { us: row(simulator.us), eu: row(simulator.eu) },
    apps: {
      desk: {
        product: 'desk',
        client_id: clientId,
        client_secret: { file: 'client-secret' },
        scopes: ['Desk.tickets.READ', 'Desk.basic.READ'],
        data_centers: ['us', 'eu'],
        start_at: 'us'
      }
    },
    consumers: {
      'ticket-sync': {
        keys: [hashOf(keys.service)],
        allow: [{ actions: ['token'], tenants: ['*'], connections: ['desk'] }]
      },
      ops: {
        keys: [hashOf(keys.admin)],
        allow: [{ actions: ['read', 'connect', 'refresh', 'disconnect'], tenants: ['*'], connections: ['*'] }]
      }
    },
    // Compressed, so that nobody waits a minute for Zoho's second no.
    refresh: { budget: 20, second_strike_ms: 1000, backoff_first_ms: 500 },
    sweep: { every_ms: 500, visibility_ms: 2000 },
    shutdown: { drain_ms: 0 }
  })
}

function apiKey(): string {
  return `ztb_demo${randomBytes(2).toString('hex')}_${randomBytes(24).toString('hex').slice(0, 43)}`
}

function hashOf(key: string): string {
  return `sha256:${createHash('sha256').update(key).digest('hex')}`
}
