import t from 'tap'
import { until } from '../helpers/program.ts'
import { startRedisProcess } from '../helpers/redis.ts'
import { untilHeld } from '../helpers/simulator-control.ts'
import { openStage, type Stage } from '../helpers/stage.ts'

const CALLER_MS = 10_000

async function untilServed(stage: Stage): Promise<number> {
  const started = performance.now()
  await until('tokens are issued again', async () => (await stage.token('desk')).status === 200)
  return performance.now() - started
}

t.test('Redis frozen or away: 503 in under 500 ms, no upstream call, recovery without a restart', async (t) => {
  const redis = await startRedisProcess(t, { appendOnly: true })
  const stage = await openStage(t, { redis, config: { redis: { command_timeout_ms: 200 } } })
  await stage.connect('desk')
  await stage.connect('crm')
  await stage.simulator.control.clearLedger()

  const outages = {
    frozen: { begin: async () => redis.pause(), end: async () => redis.resume() },
    killed: { begin: () => redis.kill(), end: () => redis.restart() }
  }
  for (const [name, { begin, end }] of Object.entries(outages)) {
    await begin()
    for (let i = 0; i < 5; i++) {
      const { status, body, headers, ms } = await stage.token('desk')
      t.match([status, body.code, headers['retry-after']], [503, 'ERR_STORE_UNAVAILABLE', '1'], name)
      t.ok(ms < 500, `${name}: answered in ${Math.round(ms)} ms`)
    }
    const admin = await stage.api('GET', '/v1/tenants/acme/connections/desk', { as: 'admin' })
    t.match([admin.status, admin.ms < 500], [503, true], `${name}: admin routes too`)
    const put = await stage.api('PUT', '/v1/tenants/acme/connections/new', {
      as: 'admin',
      body: { app: 'desk', data_center: 'us', refresh_token: '1000.a.b' }
    })
    t.equal(put.status, 503)
    const ready = await fetch(`${stage.brokers[0]?.origins.management}/readyz`)
    t.equal(ready.status, 200, `${name}: stays ready, restarting it would help nobody`)
    await end()
    const ms = await untilServed(stage)
    t.ok(ms < 2500, `${name}: served again after ${Math.round(ms)} ms`)
  }
  t.equal((await stage.simulator.control.countCalls({})).count, 0, 'no upstream call without a store')
})

t.test(
  "a store that fails behind Zoho's answer: those who wait are served, the write is repeated until it lands",
  async (t) => {
    const redis = await startRedisProcess(t, { appendOnly: true })
    const stage = await openStage(t, {
      redis,
      knobs: { access_life_ms: 1000 }
    })
    const { control } = stage.simulator
    await stage.connect('desk')
    const { body } = await stage.api('GET', '/v1/tenants/acme/connections/desk', { as: 'admin' })
    await until('the first token is over', () => Date.now() > Date.parse(body.access_expires_at) + 50)
    await control.setKnobs({ access_life_ms: 3_600_000 })
    await control.clearLedger()
    await control.hold({ data_center: 'us', calls: 1 })
    const waiting = stage.token('desk')
    await untilHeld(control, 'us', 1)
    redis.pause()
    await control.release({ data_center: 'us' })
    const one = await waiting
    t.equal(one.status, 200, 'served from memory')
    redis.resume()
    await untilServed(stage)
    t.equal((await stage.token('desk')).body.access_token, one.body.access_token, 'and stored afterwards')
    t.equal((await control.countCalls({ path: '/oauth/v2/token' })).count, 1)
  }
)

t.test('whatever Zoho answers, the caller gets a typed problem in time and the grant is kept', async (t) => {
  const stage = await openStage(t, {
    config: { refresh: { budget: 100, backoff_first_ms: 10, backoff_max_ms: 20, second_strike_ms: 60_000 } }
  })
  const { control } = stage.simulator
  const faults = {
    html: { kind: 'html_502' },
    'a status': { kind: 'status', status: 503 },
    reset: { kind: 'reset' },
    'half of the JSON': { kind: 'truncated_json' },
    'an empty 200': { kind: 'empty' },
    '25 MB': { kind: 'big_body', bytes: 25 * 1024 * 1024 },
    'a redirect': { kind: 'redirect', status: 303, location: 'http://127.0.0.1:9/' },
    'an array': { kind: 'raw', body: '[]' },
    'a token and an error': { kind: 'raw', body: '{"access_token":"x","error":"invalid_code_but_new"}' },
    hang: { kind: 'hang' },
    'a body that never ends': { kind: 'hang_body' }
  } as const
  await Promise.all(
    Object.entries(faults).map(async ([name], index) => {
      await control.setKnobs({ access_life_ms: 1000 })
      await stage.connect(`c${index}`)
      void name
    })
  )
  await until('the first tokens are over', async () => {
    const views = await Promise.all(
      Object.keys(faults).map((_, i) => stage.api('GET', `/v1/tenants/acme/connections/c${i}`, { as: 'admin' }))
    )
    return views.every(({ body }) => Date.now() > Date.parse(body.access_expires_at))
  })
  await control.setKnobs({ access_life_ms: 3_600_000 })
  const hangs: Promise<void>[] = []
  for (const [index, [name, fault]] of Object.entries(faults).entries()) {
    const held = (async () => {
      await control.setFault({ ...fault, data_center: 'us', calls: 1 })
      const before = (await control.countCalls({ path: '/oauth/v2/token' })).count
      const call = stage.token(`c${index}`)
      await until('Zoho was asked', async () => (await control.countCalls({ path: '/oauth/v2/token' })).count > before)
      return call
    })()
    const check = held.then(async (answer) => {
      t.match([answer.status, answer.body.code], [503, 'ERR_UPSTREAM_UNAVAILABLE'], name)
      t.ok(Number(answer.headers['retry-after']) >= 1, `${name}: says when to repeat`)
      t.ok(answer.ms < CALLER_MS, `${name}: answered in ${Math.round(answer.ms)} ms`)
    })
    if (fault.kind === 'hang' || fault.kind === 'hang_body') hangs.push(check)
    else await check
  }
  await Promise.all(hangs)
  for (const [index, name] of Object.keys(faults).entries()) {
    await until(`${name}: healed by the next answer`, async () => (await stage.token(`c${index}`)).status === 200)
  }
})

t.test('a live token is served on while Zoho is down, marked as degraded', async (t) => {
  const stage = await openStage(t, { config: { refresh: { budget: 10 } }, knobs: { access_life_ms: 4000 } })
  await stage.connect('desk')
  const { body: first } = await stage.token('desk')
  await stage.simulator.control.setFault({ kind: 'html_502', data_center: 'us' })
  const forced = await stage.api('POST', '/v1/tenants/acme/connections/desk/refresh', { as: 'admin' })
  t.match([forced.status, forced.body.code], [503, 'ERR_UPSTREAM_UNAVAILABLE'])
  await until('the token wants a refresh', () => Date.now() > Date.parse(first.refresh_at))
  const { status, body } = await stage.token('desk')
  t.match([status, body.health, body.generation], [200, 'degraded', first.generation])
  await until('it is over', () => Date.now() > Date.parse(first.expires_at))
  const over = await stage.token('desk')
  t.match([over.status, over.body.code], [503, 'ERR_UPSTREAM_UNAVAILABLE'])
  t.ok(Number(over.headers['retry-after']) >= 1)
})
