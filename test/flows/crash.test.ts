import t from 'tap'
import { until } from '../helpers/program.ts'
import { untilHeld } from '../helpers/simulator-control.ts'
import { openStage, type Stage } from '../helpers/stage.ts'

// Each test mostly waits for a lease to end.
t.jobs = 3

const LEASE_MS = 3200
const UPSTREAM_MS = 1500
const config = {
  redis: { command_timeout_ms: 500 },
  refresh: {
    upstream_timeout_ms: UPSTREAM_MS,
    connect_timeout_ms: 1000,
    lease_ttl_ms: LEASE_MS,
    caller_deadline_ms: 2000,
    backoff_first_ms: 200,
    budget: 20
  }
}

/** Three processes and a connection whose first token is over. */
async function stageWithExpired(t: Tap): Promise<Stage> {
  const stage = await openStage(t, { processes: 3, config, knobs: { access_life_ms: 1000 } })
  await stage.connect('desk')
  const { body } = await stage.api('GET', '/v1/tenants/acme/connections/desk', { as: 'admin' })
  await until('the first token is over', () => Date.now() > Date.parse(body.access_expires_at) + 50)
  await stage.simulator.control.setKnobs({ access_life_ms: 3_600_000 })
  await stage.simulator.control.clearLedger()
  return stage
}

/** What a good caller does: repeats at `Retry-After` until it has a token. */
async function untilToken(stage: Stage, broker: number, deadlineMs: number) {
  const started = performance.now()
  for (;;) {
    const answer = await stage.token('desk', { broker })
    if (answer.status === 200) return { body: answer.body, ms: performance.now() - started }
    const waitMs = Number(answer.headers['retry-after']) * 1000
    if (!(waitMs > 0) || performance.now() - started > deadlineMs) throw new Error(`${answer.status} ${answer.text}`)
    await new Promise((resolve) => setTimeout(resolve, waitMs))
  }
}

for (const at of ['arrival', 'reply'] as const) {
  t.test(
    `kill -9 of the lease holder, ${at === 'arrival' ? 'before' : 'after'} Zoho's answer: the others go on`,
    async (t) => {
      const stage = await stageWithExpired(t)
      const { control } = stage.simulator
      await control.hold({ data_center: 'us', at, calls: 1 })
      const lost = stage.token('desk', { broker: 0 }).catch(() => undefined)
      await untilHeld(control, 'us', 1)
      stage.brokers[0]?.signal('SIGKILL')
      await stage.brokers[0]?.ended
      const bound = LEASE_MS + UPSTREAM_MS + 1000
      const { ms } = await untilToken(stage, 1, bound)
      t.ok(ms <= bound, `within lease + upstream + 1 s (${Math.round(ms)} ms)`)
      await lost
      const { count } = await control.countCalls({ path: '/oauth/v2/token' })
      t.ok(count <= 2, `at most one extra refresh (${count} calls)`)
    }
  )
}

for (const what of ['refreshed', 'imported'] as const) {
  t.test(`a holder stopped past its lease and woken after another one ${what} changes nothing`, async (t) => {
    const stage = await stageWithExpired(t)
    const { control } = stage.simulator
    await control.hold({ data_center: 'us', at: 'reply', calls: 1 })
    const sleeping = stage.token('desk', { broker: 0 })
    await untilHeld(control, 'us', 1)
    stage.brokers[0]?.signal('SIGSTOP')
    await control.release({ data_center: 'us' })
    const before = await untilToken(stage, 1, 10_000)
    if (what === 'imported') await stage.connect('desk', { broker: 1 })
    const { body: newest } = await stage.token('desk', { broker: 2 })
    stage.brokers[0]?.signal('SIGCONT')
    await until(
      'its write was refused and counted',
      async () => (await stage.metric('ztb_late_writes_refused_total', 0)) === 1
    )
    const woken = await sleeping
    // Its deadline passed while it was stopped, so it may say so; what it must not do is hand out its own token.
    t.ok(woken.status === 503 || woken.body.generation === newest.generation, `answered ${woken.status}`)
    t.equal((await stage.token('desk', { broker: 1 })).body.access_token, newest.access_token, 'nothing changed')
    t.ok(newest.generation >= before.body.generation)
  })
}

t.test('a holder stopped past its lease whose connection nobody touched writes its token rightly', async (t) => {
  const stage = await stageWithExpired(t)
  const { control } = stage.simulator
  await control.hold({ data_center: 'us', at: 'reply', calls: 1 })
  const sleeping = stage.token('desk', { broker: 0 })
  await untilHeld(control, 'us', 1)
  stage.brokers[0]?.signal('SIGSTOP')
  await control.release({ data_center: 'us' })
  const redis = stage.redis.client()
  await until('its lease is over', async () => (await redis.exists(`${stage.prefix}:l:{acme/desk}`)) === 0)
  stage.brokers[0]?.signal('SIGCONT')
  await sleeping
  t.equal((await stage.token('desk', { broker: 1 })).status, 200)
  t.equal((await control.countCalls({ path: '/oauth/v2/token' })).count, 1)
  t.equal(await stage.metric('ztb_late_writes_refused_total', 0).then((n) => n || 0), 0)
})

t.test('SIGTERM with a refresh in flight: the caller gets its token, the write lands, exit 0', async (t) => {
  const stage = await stageWithExpired(t)
  const { control } = stage.simulator
  await control.hold({ data_center: 'us', calls: 1 })
  const caller = stage.token('desk', { broker: 0 })
  await untilHeld(control, 'us', 1)
  stage.brokers[0]?.signal('SIGTERM')
  await until('it drains', () => /draining/.test(stage.brokers[0]?.output() ?? ''))
  await control.release({ data_center: 'us' })
  const answer = await caller
  t.equal(answer.status, 200)
  t.same(await stage.brokers[0]?.ended, { code: 0, signal: null })
  t.equal((await stage.token('desk', { broker: 1 })).body.access_token, answer.body.access_token)
})

type Tap = Parameters<typeof openStage>[0]
