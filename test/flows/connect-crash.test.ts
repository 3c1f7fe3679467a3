import t from 'tap'
import { createKeyring } from '../../src/sealing/keyring.ts'
import { type Books, createBooks } from '../helpers/books.ts'
import { type Command, type KillGate, startKillGate } from '../helpers/kill-gate.ts'
import { createPerson, makeLink, type Person } from '../helpers/person.ts'
import { type BrokerProcess, startBroker, until } from '../helpers/program.ts'
import { startRedisProcess } from '../helpers/redis.ts'
import { untilHeld } from '../helpers/simulator-control.ts'
import { openStage, type Stage, type StageOptions } from '../helpers/stage.ts'

// They mostly wait for deadlines; those that wait longest come first.
t.jobs = 5

const DESK = '/v1/tenants/acme/connections/desk'
const knobs = { codes_per_window: 1000 }
const connect = { exchange_deadline_ms: 3000, state_life_ms: 10_000, confirm_life_ms: 10_000 }
/** For a flow whose process is to end it, however slow the machine. */
const patient = { ...connect, exchange_deadline_ms: 15_000 }
const config = {
  connect,
  refresh: { budget: 20 },
  revoke: { visibility_ms: 1500 },
  sweep: { every_ms: 200, visibility_ms: 1500 },
  limits: { public_per_minute: 100_000 }
}

type Tap = Parameters<typeof openStage>[0]
type Role = NonNullable<StageOptions['role']>

/** A stage on which time is short. */
function openShort(t: Tap, options: StageOptions = {}): Promise<Stage> {
  return openStage(t, { role: 'all', knobs, ...options, config: { ...config, ...options.config } })
}

async function kill(stage: Stage, broker = 0): Promise<void> {
  stage.brokers[broker]?.signal('SIGKILL')
  await stage.brokers[broker]?.ended
}

/** A process in the place of one that was killed, or in a new one. */
async function enter(stage: Stage, broker: number, role: Role): Promise<void> {
  const entered = await stage.startBroker(role)
  Object.assign(stage.brokers, { [broker]: entered })
}

const view = async (stage: Stage, broker = 0) => (await stage.api('GET', DESK, { as: 'admin', broker })).body
const disconnect = async (stage: Stage, broker = 0) => (await stage.api('DELETE', DESK, { as: 'admin', broker })).status
const live = async (stage: Stage) => (await stage.simulator.control.listGrants({ state: 'live' })).grants
const facts = async (books: Books, type: string) =>
  (await books.audit('desk')).filter(({ event }) => event.type === type).map(({ event }) => event.data)

/** Up to the callback that Zoho's redirect would call: `come` calls it. The user has the connection's name. */
async function atZoho(stage: Stage, connection: string, link: Parameters<typeof makeLink>[2] = {}) {
  const { url } = await makeLink(stage, connection, link)
  const person = createPerson(stage, { user: connection })
  const callback = await person.decide(await person.press(url))
  return { person, callback, come: () => person.comeBack(callback) }
}

/** An exchange whose answer waits at Zoho, all its work done. */
async function heldExchange(
  stage: Stage
): Promise<{ answer: ReturnType<Person['comeBack']>; letGo(): Promise<unknown> }> {
  const { control } = stage.simulator
  const { come } = await atZoho(stage, 'desk')
  await control.hold({ data_center: 'us', at: 'reply', calls: 1 })
  const answer = come()
  answer.catch(() => {})
  await untilHeld(control, 'us', 1)
  return { answer, letGo: () => control.release({ data_center: 'us' }) }
}

/** What one process, the victim, does while another one survives. The victim is process 1. */
interface Journey {
  readonly survivor: Role
  readonly victim: Role
  /** Brings a connection to where the victim's part begins, and gives that part. */
  prepare(stage: Stage, connection: string): Promise<(victim: BrokerProcess) => Promise<unknown>>
  /** Where the victim's part is not over with the answer: how many wake-ups it has published at its end. */
  readonly wakeUps?: number
  /** Commands that a crash must have come before, so that a change of the code does not hollow the test out. */
  readonly mustStrikeAt: readonly string[]
}

const STORED = ['zadd', 'eval', 'xadd', 'publish']
const pathOf = (connection: string) => `/v1/tenants/acme/connections/${connection}`

const JOURNEYS: Record<string, Journey> = {
  'a reconnect': {
    survivor: 'all',
    victim: 'api',
    async prepare(stage, connection) {
      await stage.connect(connection, { user: connection })
      const { person, callback } = await atZoho(stage, connection, { revoke_superseded: 'now' })
      return ({ origins }) => person.comeBack(callback.replace(stage.publicUrl, origins.public))
    },
    mustStrikeAt: STORED
  },
  'a reconnect that waits for its confirmation': {
    survivor: 'all',
    victim: 'api',
    async prepare(stage, connection) {
      await stage.connect(connection, { user: connection })
      const { person, callback } = await atZoho(stage, connection, { confirm: true, user_ref: 'user-1' })
      return ({ origins }) => person.comeBack(callback.replace(stage.publicUrl, origins.public))
    },
    mustStrikeAt: STORED
  },
  'a confirmation': {
    survivor: 'all',
    victim: 'api',
    async prepare(stage, connection) {
      await stage.connect(connection, { user: connection })
      const link = { confirm: true, user_ref: 'user-1', revoke_superseded: 'now' }
      const { headers } = await (await atZoho(stage, connection, link)).come()
      const flow = String(headers.location).split('/').at(-1)
      const path = `${pathOf(connection)}/connect-flows/${flow}/confirm`
      return () => stage.api('POST', path, { as: 'admin', broker: 1, body: { user_ref: 'user-1' } })
    },
    mustStrikeAt: STORED
  },
  'a disconnect': {
    survivor: 'all',
    victim: 'api',
    async prepare(stage, connection) {
      await stage.connect(connection, { user: connection })
      return () => stage.api('DELETE', pathOf(connection), { as: 'admin', broker: 1 })
    },
    mustStrikeAt: STORED
  },
  'the revoke after a disconnect': {
    survivor: 'api',
    victim: 'worker',
    async prepare(stage, connection) {
      await stage.connect(connection, { user: connection })
      return () => stage.api('DELETE', pathOf(connection), { as: 'admin' })
    },
    // One with the mark, one with the end.
    wakeUps: 2,
    mustStrikeAt: [...STORED, 'zrem']
  }
}

/** More writes than any journey has. */
const MOST_CRASHES = 40

for (const [name, journey] of Object.entries(JOURNEYS)) {
  t.test(`kill -9 before each single write of ${name}: afterwards the ledger and the store agree`, async (t) => {
    const stage = await openShort(t, { role: journey.survivor })
    const books = createBooks(stage)
    const struck: string[] = []
    const connections: string[] = []
    for (let nth = 1; nth <= MOST_CRASHES; nth++) {
      const connection = `c${nth}`
      connections.push(connection)
      const command = await strikeAt(t, stage, journey, { connection, nth })
      const forgotten = await Promise.all(connections.map(books.forgotten))
      t.same(forgotten.filter(Boolean), [], `nothing is forgotten after crash ${nth}`)
      if (!command) break
      struck.push(nameOf(command))
    }
    t.comment(`${struck.length} crashes: ${struck.join(' ')}`)
    t.ok(struck.length < MOST_CRASHES, 'the last journey went to its end')
    t.same(
      journey.mustStrikeAt.filter((each) => !struck.includes(each)),
      []
    )
    await kill(stage, 1)
    if (journey.survivor === 'api') await enter(stage, 1, 'worker')
    // What a crash left unwritten in the index is looked at after 30 s.
    for (const each of connections) await until(`${each} is settled`, () => books.isSettled(each), 50_000)
    for (const each of connections) t.same(await books.faults(each, each), [], each)
  })
}

/** Kills a victim of its own before its nth write. Gives the command; undefined when the journey had fewer. */
async function strikeAt(
  t: Tap,
  stage: Stage,
  { victim: role, prepare, wakeUps }: Journey,
  { connection, nth }: { connection: string; nth: number }
): Promise<Command | undefined> {
  const gate = await startKillGate(t, stage.redis.url as string)
  const victim = await enterBehind(t, stage, gate, role)
  const go = await prepare(stage, connection)
  const ref = new RegExp(`acme/${connection}(?!\\d)`)
  gate.arm(
    nth,
    (command) =>
      ['eval', 'zadd', 'zrem', 'xadd', 'publish'].includes(nameOf(command)) &&
      command.words.some((word) => ref.test(word)),
    () => victim.signal('SIGKILL')
  )
  const answered = go(victim).then(
    () => true,
    () => false
  )
  const isOver = async () =>
    wakeUps === undefined
      ? await answered
      : gate.passed().filter((command) => nameOf(command) === 'publish').length === wakeUps
  // The revoke job is only a hint, which may be lost or come too early, and here no sweep follows: ask for it again.
  const again = setInterval(() => wakeUps !== undefined && go(victim).catch(() => {}), 1000)
  await until(
    `${connection} is over or its victim dead`,
    async () => gate.struck() !== undefined || isOver(),
    30_000
  ).finally(() => clearInterval(again))
  if (gate.struck()) await victim.ended
  return gate.struck()
}

/** A process that reaches Redis through the gate. */
async function enterBehind(t: Tap, stage: Stage, gate: KillGate, role: Role): Promise<BrokerProcess> {
  const { listen, redis } = stage.config as { listen: object; redis: object }
  let victim: BrokerProcess | undefined
  // Registered first, so that it runs when the process has ended; the scan comes after it.
  t.teardown(async () => void stage.seen.bodies.push(['log of a victim', victim?.output() ?? '']))
  const own = {
    listen: { ...listen, public: '127.0.0.1:0' },
    redis: { ...redis, url: gate.url },
    // A sweep would do the same work at the same time, and no crash would come where the last one did not.
    sweep: { ...config.sweep, every_ms: 600_000 }
  }
  victim = await startBroker(t, { ...stage.config, ...own }, ['--role', role])
  await victim.ready()
  Object.assign(stage.brokers, { 1: victim })
  return victim
}

/** A client may send a script by its text or by its hash. */
function nameOf({ name }: Command): string {
  return name.replace('evalsha', 'eval')
}

for (const what of ['first connect', 'reconnect'] as const) {
  t.test(`kill -9 between Zoho's answer and the store, ${what}: the flow tells that a grant may be lost`, async (t) => {
    const stage = await openShort(t)
    const books = createBooks(stage)
    if (what === 'reconnect') await stage.connect('desk', { user: 'desk' })
    const before = await books.page('desk')
    const { answer, letGo } = await heldExchange(stage)
    t.equal((await books.page('desk')).flows[0]?.status, 'exchanging', 'stored before the code was spent')
    await kill(stage)
    await letGo()
    await t.rejects(answer, 'the person is told nothing')

    await enter(stage, 0, 'all')
    await until('the flow is over', () => books.isSettled('desk'))
    const { connection, current, flows } = await books.page('desk')
    t.match(flows, [{ status: 'failed', result: 'exchange_outcome_unknown' }])
    t.same(await facts(books, 'connect_flow.failed'), [
      { flow: flows[0]?.id, result: 'exchange_outcome_unknown', possible_orphan: true }
    ])
    const page = await createPerson(stage).open(`${stage.brokers[0]?.origins.public}/connect/result/${flows[0]?.id}`)
    t.match(page.text, /exchange_outcome_unknown/, 'its page says so')
    t.equal(connection?.status, what === 'reconnect' ? 'active' : 'pending')
    t.equal(current, before.current, 'the old grant is still the current one')
    t.equal((await stage.token('desk')).status, what === 'reconnect' ? 200 : 409)
    const unknown = (await live(stage)).filter(({ grant }) => grant !== current)
    t.equal(unknown.length, 1, 'one grant lives at Zoho that nobody knows')
    t.same(await books.faults('desk', 'desk'), [])
    await stage.connect('desk', { user: 'desk' })
    t.equal((await stage.token('desk')).status, 200, 'and it can be connected again')
  })
}

t.test('kill -9 between the disconnect and its revoke: a process that starts later makes it', async (t) => {
  const stage = await openShort(t, { role: 'api' })
  const books = createBooks(stage)
  await stage.connect('desk', { user: 'desk' })
  t.equal(await disconnect(stage), 202)
  await kill(stage)
  t.equal((await live(stage)).length, 1, 'nobody has told Zoho')
  t.equal(await books.forgotten('desk'), undefined)
  await enter(stage, 0, 'all')
  t.equal((await stage.token('desk')).status, 410)
  await until('it is ended', () => books.isSettled('desk'))
  t.equal((await view(stage)).status, 'disconnected')
  t.same(await live(stage), [])
  t.same(await books.faults('desk', 'desk'), [])
})

for (const at of ['arrival', 'reply'] as const) {
  const done = at === 'reply'
  t.test(`kill -9 in the middle of a revoke, ${done ? 'after' : 'before'} Zoho did it: it is made again`, async (t) => {
    const stage = await openShort(t)
    const { control } = stage.simulator
    const books = createBooks(stage)
    await stage.connect('desk', { user: 'desk' })
    await control.hold({ data_center: 'us', endpoint: 'revoke', at, calls: 1 })
    t.equal(await disconnect(stage), 202)
    await untilHeld(control, 'us', 1)
    t.match((await books.page('desk')).waiting, [{ revoking: true }], 'marked before Zoho is asked')
    await kill(stage)
    t.equal((await live(stage)).length, done ? 0 : 1)
    await control.release({ data_center: 'us' })
    await enter(stage, 0, 'all')
    t.equal((await stage.token('desk')).status, 410)
    await until('it is ended', () => books.isSettled('desk'))
    t.same(await live(stage), [])
    const outcome = done ? 'gone' : 'revoked'
    t.same(await facts(books, 'grant.revoked'), [{ grant: 1, reason: 'disconnected', outcome }])
    t.same(await books.faults('desk', 'desk'), [])
  })
}

t.test(
  'Zoho revokes nothing until the time is over: the tokens go all the same, the audit names the grant',
  async (t) => {
    const refresh = { backoff_first_ms: 100, backoff_max_ms: 400 }
    const stage = await openShort(t, { config: { refresh, revoke: { visibility_ms: 1500, give_up_ms: 1500 } } })
    const books = createBooks(stage)
    await stage.connect('desk', { user: 'desk' })
    await stage.simulator.control.setFault({ kind: 'status', status: 503, endpoint: 'revoke' })
    t.equal(await disconnect(stage), 202)
    await until('it was tried', async () => ((await books.page('desk')).waiting[0]?.tries ?? 0) > 0)
    t.equal((await view(stage)).status, 'disconnecting')
    await until('it is given up', () => books.isSettled('desk'))
    t.equal((await view(stage)).status, 'disconnected')
    const [given] = await facts(books, 'grant.revoke_given_up')
    t.match(given, { grant: 1, reason: 'disconnected' })
    t.ok(Number(given?.tries) > 2, `${given?.tries} tries`)
    const { connection, waiting } = await books.page('desk')
    t.same([connection?.sealedRefresh, connection?.access, waiting], [undefined, undefined, []])
    t.equal((await live(stage)).length, 1, 'it lives on at Zoho')
  }
)

t.test("Redis frozen right behind Zoho's answer: the write is repeated and lands when it is back", async (t) => {
  const redis = await startRedisProcess(t)
  const stage = await openShort(t, { redis, config: { connect: patient } })
  const books = createBooks(stage)
  const { answer, letGo } = await heldExchange(stage)
  redis.pause()
  await letGo()
  const log = () => stage.brokers[0]?.output() ?? ''
  await until('it is repeated', () => /"event":"store.retried".*"attempt":3/.test(log()))
  redis.resume()
  t.equal((await answer).status, 303)
  await until('all is written', () => books.isSettled('desk'))
  const { connection, flows } = await books.page('desk')
  t.equal(connection?.status, 'active')
  t.match(flows, [{ status: 'done', result: 'connected' }])
  t.equal((await live(stage)).length, 1)
  t.same(await books.faults('desk', 'desk'), [])
})

t.test('Redis away for longer than a write is repeated: nothing is stored, what Zoho gave is revoked', async (t) => {
  const redis = await startRedisProcess(t)
  const stage = await openShort(t, { redis, config: { refresh: { store_retry_ms: 1000 } } })
  const { answer, letGo } = await heldExchange(stage)
  redis.pause()
  await letGo()
  t.equal((await answer).status, 303, 'the person has an answer')
  t.match(stage.brokers[0]?.output(), /"event":"store.gave_up"/)
  t.same(await live(stage), [], 'revoked without the store')
  redis.resume()
  const books = createBooks(stage)
  await until('the flow is over', () => books.isSettled('desk'))
  const { connection, flows } = await books.page('desk')
  t.equal(connection?.status, 'pending')
  t.match(flows, [{ status: 'failed' }])
  t.equal((await stage.token('desk')).status, 409)
})

t.test('a process stopped in an exchange while an admin disconnects: awake, it revokes what it got', async (t) => {
  const stage = await openShort(t, { role: 'api', processes: 2, config: { connect: patient } })
  await enter(stage, 2, 'worker')
  const books = createBooks(stage)
  await stage.connect('desk', { user: 'desk', broker: 1 })
  const { answer, letGo } = await heldExchange(stage)
  stage.brokers[0]?.signal('SIGSTOP')
  await letGo()
  t.equal(await disconnect(stage, 1), 202)
  await until('the old grant is revoked', async () => (await view(stage, 1)).status === 'disconnected')
  t.equal((await live(stage)).length, 1, 'the new one is with a process that sleeps')
  stage.brokers[0]?.signal('SIGCONT')
  t.equal((await answer).status, 303)
  t.same(await live(stage), [])
  t.equal((await stage.token('desk', { broker: 1 })).status, 410)
  await until('the audit tells of it', async () => (await facts(books, 'grant.orphaned')).length === 1)
  t.match(await facts(books, 'grant.orphaned'), [{ why: 'flow_ended', outcome: 'revoked' }])
  t.match((await books.page('desk')).flows, [{ status: 'failed', result: 'flow_ended' }])
  t.same(await books.faults('desk', 'desk', 1), [])
})

t.test('the scan for secrets finds each kind of them, planted in Redis, in a log or in a page', async (t) => {
  const stage = await openShort(t)
  const redis = stage.redis.client()
  const { url } = await makeLink(stage, 'desk')
  const person = createPerson(stage, { user: 'desk' })
  const authorizeUrl = await person.press(url)
  const verifier = await storedVerifier(stage)
  const callback = await person.decide(authorizeUrl)
  await person.comeBack(callback)
  const { body } = await stage.token('desk')
  const { refresh_token } = await stage.simulator.control.createGrant({ data_center: 'us' })
  const secrets = {
    code: new URL(callback).searchParams.get('code'),
    verifier,
    state: new URL(authorizeUrl).searchParams.get('state'),
    cookie: person.cookie?.split('=')[1],
    'link token': url.split('/').at(-1),
    'access token': body.access_token,
    'refresh token': refresh_token
  }
  await stage.scan()
  for (const [kind, secret] of Object.entries(secrets)) {
    t.ok(String(secret).length >= 43, kind)
    await redis.hset(`${stage.prefix}:planted`, 'field', `a${secret}b`)
    stage.seen.bodies.push(
      ['planted as it is', `{"message":"${secret}"}`],
      ['planted in base64', Buffer.from(String(secret)).toString('base64')]
    )
    const found = String(await stage.scan().catch((error) => error))
    for (const where of [`Redis ${stage.prefix}:planted`, 'planted as it is', 'planted in base64'])
      t.ok(found.includes(`"${where}"`), `${kind}: ${where}`)
    await redis.del(`${stage.prefix}:planted`)
    stage.seen.bodies.splice(-2)
  }
  await stage.scan()
})

/** The verifier of the one state that is stored. */
async function storedVerifier(stage: Stage): Promise<string> {
  const redis = stage.redis.client()
  const [key] = await redis.keys(`${stage.prefix}:state:*`)
  const { verifier } = JSON.parse((await redis.get(key as string)) ?? '')
  const sealer = createKeyring({ keys: [{ id: 'k1', key: stage.sealingKey }], prefix: stage.prefix })
  const ref = { tenant: 'acme', connection: 'desk' }
  return sealer.open(Buffer.from(verifier, 'base64'), { purpose: 'state', ref }).reveal()
}
