import t from 'tap'
import { connection, connectLink, eventually, freshRef, successor } from '../helpers/connections.ts'
import { createPerson, makeLink } from '../helpers/person.ts'
import { startBroker, until } from '../helpers/program.ts'
import { type RedisProcess, startRedisProcess } from '../helpers/redis.ts'
import { openStore } from '../helpers/redis-store.ts'
import { untilHeld } from '../helpers/simulator-control.ts'
import { openStage, type Stage } from '../helpers/stage.ts'
import { replicate, startCluster, startTls } from '../helpers/topologies.ts'

const DESK = '/v1/tenants/acme/connections/desk'
const STORE_RETRY_MS = 3000

/** A program whose grant-changing writes wait for the one replica. */
async function openReplicated(t: Parameters<typeof openStage>[0] & { teardown(run: () => unknown): void }) {
  const settings = { 'repl-diskless-sync-delay': '0' }
  const [primary, replica] = await Promise.all([1, 2].map(() => startRedisProcess(t, { settings })))
  await replicate(replica as RedisProcess, primary as RedisProcess)
  const stage = await openStage(t, {
    redis: primary as RedisProcess,
    config: { redis: { wait_replicas: 1, wait_ms: 150 }, refresh: { store_retry_ms: STORE_RETRY_MS } }
  })
  return { stage, replica: replica as RedisProcess }
}

t.test('while the replica is paused nothing is called durable; the same request afterwards is', async (t) => {
  const { stage, replica } = await openReplicated(t)
  const { control } = stage.simulator
  const { refresh_token } = await control.createGrant({
    data_center: 'us',
    scopes: ['Desk.tickets.READ', 'Desk.basic.READ']
  })
  const requests = {
    import: () => stage.api('PUT', DESK, { as: 'admin', body: { app: 'desk', data_center: 'us', refresh_token } }),
    disconnect: () => stage.api('DELETE', DESK, { as: 'admin' })
  }
  for (const [name, request] of Object.entries(requests)) {
    replica.pause()
    for (const time of ['first', 'repeated']) {
      const { status, body, headers } = await request()
      t.match([status, body.code, headers['retry-after']], [503, 'ERR_NOT_DURABLE', '1'], `${name}, ${time}`)
    }
    replica.resume()
    await until(`${name} is durable`, async () => (await request()).status < 300)
  }
  const refreshes = await control.countCalls({ path: '/oauth/v2/token', grant_type: 'refresh_token' })
  t.equal(refreshes.count, 1, 'a repeated import asks Zoho nothing')
})

t.test('a new grant that no replica has is never called connected, and is kept', async (t) => {
  const { stage, replica } = await openReplicated(t)

  /** A person comes back from Zoho, and the replica stops between the exchange and the write of its grant. */
  async function comesBack(name: string) {
    const { control } = stage.simulator
    const link = await makeLink(stage, name)
    const person = createPerson(stage)
    const callbackUrl = await person.decide(await person.press(link.url))
    await control.hold({ data_center: 'us', calls: 1 })
    const answer = person.comeBack(callbackUrl)
    await untilHeld(control, 'us', 1)
    replica.pause()
    await control.release({ data_center: 'us' })
    return {
      answer,
      page: async () => (await person.open(`${stage.publicUrl}/connect/result/${await flowOf(stage, name)}`)).text
    }
  }

  const late = await comesBack('late')
  await until('the page says that it is being secured', async () => /not_durable/.test(await late.page()))
  t.match((await stage.token('late')).status, 200, 'the grant serves already')
  replica.resume()
  t.match((await late.answer).headers.location, /connect\/result/)
  t.notMatch(await late.page(), /not_durable/)
  t.match(await late.page(), /<[^>]*>connected</, 'once the replica has it, the page says so')

  const never = await comesBack('never')
  t.equal((await never.answer).status, 303)
  t.match(await never.page(), /not_durable/, 'after its time it stays at that')
  t.equal((await stage.token('never')).status, 200, 'and is not revoked')
  t.equal((await stage.simulator.control.listGrants({ state: 'live' })).grants.length, 2)
  replica.resume()
})

async function flowOf(stage: Stage, name: string): Promise<string> {
  const fields = await stage.redis.client().hkeys(`${stage.prefix}:k:{acme/${name}}`)
  return fields.find((field) => field.startsWith('flow:'))?.slice('flow:'.length) ?? ''
}

t.test('on a cluster a durable write finds the new primary of its key by itself', async (t) => {
  const topology = await startCluster(t)
  const own = await openStore(t, { target: topology.target, prefix: 'ztb-moved', replicas: { count: 1, waitMs: 2000 } })
  const first = connection(freshRef())
  const link = connectLink()
  const write = (seen: typeof first | undefined, next: typeof first) =>
    own.store.commit({ seen, next, dueAt: undefined, durable: true })
  t.strictSame(await write(undefined, first), { kind: 'written' })
  const key = own.keys.record(first.ref)
  const before = await topology.primaryOf(key)
  const replicaPort = await replicaOf(before)
  const promoted = topology.servers.find(({ port }) => port === replicaPort) as RedisProcess
  await promoted.client().cluster('FAILOVER')
  await eventually(async () => (await topology.primaryOf(key)) === promoted)
  await eventually(async () => /connected_slaves:1/.test(await promoted.client().info('replication')))
  t.strictSame(await write(first, successor(first)), { kind: 'written' }, 'a record')
  const changes = [{ kind: 'link', id: link.id, seen: undefined, next: link }] as const
  t.equal(await own.connectStore.change(first.ref, { changes, durable: true }), true, 'a link')
  t.ok((await own.store.read(first.ref))?.revision === 2, 'and reads find it too')
})

async function replicaOf(server: RedisProcess): Promise<number> {
  const info = await server.client().info('replication')
  return Number(/^slave0:ip=[^,]+,port=(\d+)/m.exec(info)?.[1])
}

t.test('the program takes its certificates from files, and without the CA it is never ready', async (t) => {
  const { server, url, files } = await startTls(t)
  const tls = Object.fromEntries(Object.entries(files).map(([name, file]) => [name, { file }]))
  const stage = await openStage(t, { redis: { client: server.client, settings: { url, tls } } })
  await stage.connect('desk')
  t.equal((await stage.token('desk')).status, 200)

  const { ca: _ca, ...rest } = tls
  const config = { ...stage.config, public_url: 'http://127.0.0.1:1', redis: { url, tls: rest } }
  const listen = { public: '127.0.0.1:0', api: '127.0.0.1:0', management: '127.0.0.1:0' }
  const broker = await startBroker(t, { ...config, listen })
  await until(
    'it says why',
    () => /Redis connection is down/.test(broker.output()) && /certificate/.test(broker.output())
  )
  t.equal((await fetch(`${broker.origins.management}/readyz`)).status, 503)
})
