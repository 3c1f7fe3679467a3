import { createHash, randomBytes } from 'node:crypto'
import { freePort } from '../../src/commands/redis-probe.ts'
import type { Knobs } from '../../src/simulator/knobs.ts'
import { type Answer, call } from './calls.ts'
import { findLeaks, redisTexts } from './leaks.ts'
import { type BrokerProcess, startBroker } from './program.ts'
import { type TestRedis, testRedis } from './redis.ts'
import { createTestSimulator, type TestSimulator } from './simulator.ts'

interface Test {
  teardown(end: () => Promise<void>): unknown
}

export interface StageOptions {
  /** Broker processes; default 1. */
  readonly processes?: number
  /** Merged over the configuration, one level deep. */
  readonly config?: Record<string, object>
  readonly knobs?: Partial<Knobs>
  /** A Redis of the test's own, to be killed or frozen. */
  readonly redis?: StageRedis
  /** Default `api`: nothing happens that no test asked for. */
  readonly role?: 'api' | 'worker' | 'all'
}

/** One server by its URL, or any topology as the configuration file says it. */
export interface StageRedis extends Pick<TestRedis, 'client'> {
  readonly url?: string
  readonly settings?: object
}

/** The whole program on real parts: a Redis, the simulator, broker processes, and everything they said. */
export interface Stage {
  readonly brokers: readonly BrokerProcess[]
  readonly simulator: TestSimulator
  readonly redis: StageRedis
  readonly prefix: string
  readonly keys: { readonly service: string; readonly admin: string; readonly other: string }
  readonly sealingKey: Buffer
  readonly config: object
  /** A call to one broker's api listener, recorded for the leak scan; as the service unless told. */
  api(method: string, path: string, options?: ApiOptions): Promise<Answer>
  token(connection: string, options?: ApiOptions): Promise<Answer>
  /** A grant made at the simulator and imported by the admin. Throws unless it is stored. */
  connect(
    connection: string,
    options?: ApiOptions & { dataCenter?: string; user?: string }
  ): Promise<{ refreshToken: string; user: string }>
  /** One more broker process on the same Redis and simulator. */
  startBroker(role?: StageOptions['role']): Promise<BrokerProcess>
  /** The origin of the public listener of the first process. */
  readonly publicUrl: string
  /** What the leak scan looks at and for, beside what the stage collects itself. */
  readonly seen: { readonly bodies: [where: string, text: string][]; readonly secrets: string[] }
  metric(name: string, broker?: number): Promise<number>
  /** Throws when a secret stands in Redis, a log line or a body. Runs by itself at the end of the test. */
  scan(): Promise<void>
}

export interface ApiOptions {
  readonly broker?: number
  readonly as?: 'service' | 'admin' | 'other'
  readonly body?: unknown
  readonly query?: string
  readonly onSent?: () => void
}

/** Opens a stage that ends, and is scanned for leaks, with the test. Connections live in tenant `acme`. */
export async function openStage(t: Test, options: StageOptions = {}): Promise<Stage> {
  const shared = options.redis ? undefined : await testRedis(t)
  const redis: StageRedis = options.redis ?? (shared as TestRedis)
  const { settings = { url: redis.url } } = redis
  const prefix = `ztb-${randomBytes(6).toString('hex')}`
  const client = {
    id: `1000.${randomBytes(15).toString('hex').toUpperCase()}`,
    secret: randomBytes(21).toString('hex')
  }
  const simulator = await createTestSimulator(t, { clients: [client], ...(options.knobs && { knobs: options.knobs }) })
  const keys = { service: apiKey(), admin: apiKey(), other: apiKey() }
  const sealingKey = randomBytes(32)
  const publicUrl = `http://127.0.0.1:${await freePort()}`
  const config = merge(
    baseConfig({ redis: { ...settings, prefix }, simulator, client, keys, sealingKey, publicUrl }),
    options.config ?? {}
  )
  const bodies: [string, string][] = []
  const seen = { bodies, secrets: [] as string[] }
  const brokers: BrokerProcess[] = []
  const logs: BrokerProcess[] = []
  const scanner = redis.client()

  const start = async (role: StageOptions['role'] = options.role ?? 'api') => {
    // Only one process can have the public address; the others stand behind it in spirit.
    const listen = logs.length === 0 || role === 'worker' ? {} : { listen: { ...config.listen, public: '127.0.0.1:0' } }
    const broker = await startBroker(t, { ...config, ...listen }, ['--role', role])
    logs.push(broker)
    await broker.ready()
    return broker
  }
  const stage: Stage = {
    brokers,
    simulator,
    redis,
    prefix,
    keys,
    sealingKey,
    config,
    publicUrl,
    seen,
    startBroker: start,

    async api(method, path, { broker = 0, as = 'service', body, query = '', onSent } = {}) {
      const origin = (brokers[broker] as BrokerProcess).origins.api
      const answer = await call(method, `${origin}${path}${query}`, {
        key: keys[as],
        ...(body !== undefined && { body }),
        ...(onSent && { onSent })
      })
      bodies.push([`${method} ${path} ${answer.status}`, JSON.stringify(answer.headers) + withoutToken(answer)])
      return answer
    },

    token: (connection, options) => stage.api('POST', `/v1/tenants/acme/connections/${connection}/token`, options),

    async connect(connection, { dataCenter = 'us', user, ...options } = {}) {
      const grant = await simulator.control.createGrant({
        data_center: dataCenter,
        scopes: SCOPES,
        ...(user !== undefined && { user })
      })
      const answer = await stage.api('PUT', `/v1/tenants/acme/connections/${connection}`, {
        as: 'admin',
        body: { app: 'desk', data_center: dataCenter, refresh_token: grant.refresh_token },
        ...options
      })
      if (answer.status !== 200 && answer.status !== 201) throw new Error(`import: ${answer.status} ${answer.text}`)
      return { refreshToken: grant.refresh_token, user: grant.user }
    },

    async metric(name, broker = 0) {
      const { text } = await call('GET', `${(brokers[broker] as BrokerProcess).origins.management}/metrics`)
      const line = text.split('\n').find((each) => each.startsWith(`${name} `) || each.startsWith(`${name}{`))
      return Number(line?.split(' ').at(-1) ?? Number.NaN)
    },

    async scan() {
      const { secrets } = await simulator.control.secrets()
      const all = [...secrets, ...seen.secrets, ...Object.values(keys), sealingKey.toString('base64')]
      const said = logs.map((broker, index): [string, string] => [`log of broker ${index}`, broker.output()])
      const leaks = findLeaks(all, [...(await redisTexts(scanner, prefix)), ...said, ...bodies])
      if (leaks.length > 0) throw new Error(`secrets in clear: ${JSON.stringify(leaks)}`)
    }
  }
  t.teardown(() => stage.scan())
  for (let i = 0; i < (options.processes ?? 1); i++) brokers.push(await start())
  return stage
}

export const SCOPES = ['Desk.tickets.READ', 'Desk.basic.READ']

interface Parts {
  readonly redis: object
  readonly simulator: TestSimulator
  readonly client: { id: string; secret: string }
  readonly keys: Stage['keys']
  readonly sealingKey: Buffer
  readonly publicUrl: string
}

function baseConfig({ redis, simulator, client, keys, sealingKey, publicUrl }: Parts) {
  const rows = Object.entries(simulator.dataCenters).map(([key, origin]) => [
    key,
    { accounts: origin, api: origin, desk: origin }
  ])
  return {
    public_url: publicUrl,
    listen: { public: new URL(publicUrl).host, api: '127.0.0.1:0', management: '127.0.0.1:0' },
    // A busy test machine is no frozen Redis; tests of the deadline set their own.
    redis: { command_timeout_ms: 1000, ...redis },
    sealing: { keys: [{ id: 'k1', key: sealingKey.toString('base64') }] },
    data_centers: Object.fromEntries(rows),
    apps: {
      desk: {
        product: 'desk',
        client_id: client.id,
        client_secret: client.secret,
        scopes: SCOPES,
        data_centers: Object.keys(simulator.dataCenters),
        start_at: 'us'
      }
    },
    consumers: {
      service: { keys: [hashOf(keys.service)], allow: [{ actions: ['token'], tenants: ['acme'], connections: ['*'] }] },
      admin: {
        keys: [hashOf(keys.admin)],
        allow: [
          {
            actions: ['token', 'read', 'connect', 'refresh', 'disconnect', 'audit'],
            tenants: ['*'],
            connections: ['*']
          }
        ]
      },
      other: {
        keys: [hashOf(keys.other)],
        allow: [{ actions: ['token', 'read'], tenants: ['globex'], connections: ['*'] }]
      }
    },
    limits: { token: { per_second: 100_000, burst: 100_000 }, admin_per_minute: 100_000 },
    shutdown: { drain_ms: 0 }
  }
}

function merge(base: ReturnType<typeof baseConfig>, over: Record<string, object>): ReturnType<typeof baseConfig> {
  const under: Record<string, unknown> = base
  const merged = Object.entries(over).map(([key, value]) => {
    const below = under[key]
    return [key, typeof below === 'object' ? { ...below, ...value } : value]
  })
  return { ...base, ...Object.fromEntries(merged) }
}

/** A token reply is the one body that may hold a token, in the one member for it. */
function withoutToken({ text, body }: Answer): string {
  return typeof body?.access_token === 'string' ? text.replace(body.access_token, '') : text
}

function apiKey(): string {
  return `ztb_test${randomBytes(2).toString('hex')}_${randomBytes(32).toString('hex').slice(0, 43)}`
}

function hashOf(key: string): string {
  return `sha256:${createHash('sha256').update(key).digest('hex')}`
}
