import t, { type Test } from 'tap'
import { createKeys } from '../../src/redis/keys.ts'
import { until } from '../helpers/program.ts'
import { openStage, type Stage } from '../helpers/stage.ts'
import { startCluster, startSentinel, type Topology } from '../helpers/topologies.ts'

const CONNECTIONS = Array.from({ length: 12 }, (_, i) => `c${i}`)
const path = (connection: string) => `/v1/tenants/acme/connections/${connection}`
const recordKey = (stage: Stage, connection: string) => createKeys(stage.prefix).record({ tenant: 'acme', connection })

/** How long requests may fail after the store's own failover, in ms: alone on the machine it is under 100. */
const RECOVERY_MS = 10_000
/** So long without a refusal, it is over. */
const QUIET_MS = 1500

interface Asked {
  readonly connection: string
  readonly status: number
  readonly retryAfter: unknown
  readonly ms: number
  readonly endedAt: number
}

/** Asks for every connection's token, at both processes in turn, until `done`. */
async function askOnAndOn(stage: Stage, asked: Asked[], done: () => boolean): Promise<void> {
  const askOne = async (connection: string, i: number) => {
    for (let turn = i; !done(); turn++) {
      const { status, headers, ms } = await stage.token(connection, { broker: turn % 2 })
      asked.push({ connection, status, retryAfter: headers['retry-after'], ms, endedAt: performance.now() })
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  await Promise.all(CONNECTIONS.map(askOne))
}

async function survives(t: Test, topology: Topology): Promise<void> {
  const stage = await openStage(t, {
    processes: 2,
    role: 'all',
    redis: topology,
    // A grant is only called stored when a replica has it.
    config: { redis: { wait_replicas: 1, command_timeout_ms: 200 }, refresh: { budget: 20 } }
  })
  for (const connection of CONNECTIONS) await stage.connect(connection)
  const { control } = stage.simulator
  await control.clearLedger()
  const generations = new Map<string, number>()
  for (const connection of CONNECTIONS) generations.set(connection, (await stage.token(connection)).body.generation)

  const key = recordKey(stage, 'c0')
  const victim = await topology.primaryOf(key)
  const asked: Asked[] = []
  let recovered = false
  const asking = askOnAndOn(stage, asked, () => recovered)
  // A refresh of each is under way while its primary dies.
  const rejected = CONNECTIONS.map((connection) =>
    stage.api('POST', `${path(connection)}/token/rejected`, { body: { generation: generations.get(connection) } })
  )
  const killedAt = performance.now()
  await victim.kill()
  await until('somebody else is primary', async () => (await topology.primaryOf(key)) !== victim, 20_000)
  const failoverAt = performance.now()
  const quietSince = () =>
    Math.max(failoverAt, ...asked.flatMap(({ status, endedAt }) => (status === 200 ? [] : [endedAt])))
  await until('nothing is refused any more', () => performance.now() > quietSince() + QUIET_MS, 2 * RECOVERY_MS)
  recovered = true
  await Promise.all([asking, ...rejected])

  const refused = asked.filter(({ status }) => status !== 200)
  const lastRefusal = Math.max(failoverAt, ...refused.map(({ endedAt }) => endedAt))
  const ms = (time: number) => Math.round(time - killedAt)
  t.comment(`failover took ${ms(failoverAt)} ms, the last refusal came after ${ms(lastRefusal)} ms`)
  t.ok(lastRefusal - failoverAt <= RECOVERY_MS, 'hand-out is back soon after the failover')
  t.ok(refused.length > 0, 'the outage was seen')
  const servedLast = new Set(
    asked.flatMap(({ connection, status, endedAt }) => (status === 200 && endedAt > lastRefusal ? [connection] : []))
  )
  t.equal(servedLast.size, CONNECTIONS.length, 'every connection is served after it')
  t.ok(
    refused.every(({ status, retryAfter }) => status === 503 && retryAfter !== undefined),
    'refusals are 503 with a time'
  )
  t.ok(Math.max(...refused.map((each) => each.ms)) < 2000, 'and come fast')

  const { entries } = await control.ledger({ path: '/oauth/v2/token' })
  t.ok(entries.length <= 2 * CONNECTIONS.length, `${entries.length} refreshes of ${CONNECTIONS.length} connections`)
  const perGrant = Map.groupBy(entries, ({ refresh_token }) => refresh_token)
  t.ok(
    [...perGrant.values()].every(({ length }) => length <= 2),
    'at most two of one connection'
  )

  for (const connection of CONNECTIONS) {
    const { status, text } = await stage.api('POST', `${path(connection)}/refresh`, { as: 'admin' })
    t.equal(status, 200, `${connection}: the stored refresh token opens and works ${status === 200 ? '' : text}`)
    const { body } = await stage.token(connection)
    t.ok(body.generation > (generations.get(connection) ?? 0), 'and its generation went on')
  }
  await background(t, stage)
}

/** The sweep's queues live on the new primary too: a connection that is due is refreshed without anybody asking. */
async function background(t: Test, stage: Stage): Promise<void> {
  const key = createKeys(stage.prefix).due({ tenant: 'acme', connection: 'c1' })
  const redis = stage.redis.client()
  await redis.zadd(key, 1, 'acme/c1')
  await until('the sweep settled what was due', async () => Number(await redis.zscore(key, 'acme/c1')) > 1)
  t.pass('background work goes on')
}

t.test('behind sentinels: the primary is killed while tokens are asked for', async (t) => {
  await survives(t, await startSentinel(t))
})

t.test('on a cluster: a primary is killed while tokens are asked for', async (t) => {
  await survives(t, await startCluster(t))
})
