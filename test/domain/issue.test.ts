import t from 'tap'
import type { BrokerError } from '../../src/domain/errors.ts'
import type { Consumer } from '../../src/domain/policy.ts'
import { connection, freshRef } from '../helpers/connections.ts'
import {
  ADMIN,
  type ConnectOptions,
  consumer,
  createWorld,
  granted,
  HOUR,
  MINUTE,
  REFUSED,
  SECOND,
  SERVICE,
  TIMEOUT
} from './harness.ts'

const EXPIRED = { age: 2 * HOUR }
const AGING = { age: HOUR - 200 * SECOND }
const READER = consumer(['read'])
const STRANGER = consumer(['token', 'read', 'refresh', 'connect'], { tenants: ['elsewhere'] })

async function setUp(options: ConnectOptions = {}) {
  const world = createWorld()
  const a = world.createProcess()
  const stored = await world.connect(freshRef(), options)
  return { ...world, a, broker: a.broker, ref: stored.ref, stored, generation: stored.generation }
}

const codeOf = (run: Promise<unknown>): Promise<string> =>
  run.then(
    () => 'ok',
    (error: BrokerError) => error.code
  )

t.test('issue', async (t) => {
  t.test('hands out the stored token as it is, with one read and no write', async (t) => {
    const { broker, store, upstream, ref, stored, generation } = await setUp()
    const commits = store.calls('commit')
    const token = await broker.issue({ consumer: SERVICE, ref })
    const expiresAt = stored.access?.expiresAt ?? 0
    t.match(token, { generation, health: 'ok', expiresAt, refreshAt: expiresAt - 300 * SECOND })
    t.equal(token.accessToken.reveal(), 'access-0')
    t.equal(token.connection.writeId, stored.writeId)
    t.strictSame([store.calls('read'), store.calls('begin'), upstream.calls.length], [1, 0, 0])
    t.equal(store.calls('commit'), commits)
  })

  t.test('brings a fresh one when the wish asks for more than is left, and only then', async (t) => {
    const { broker, ref, upstream } = await setUp({ age: 45 * MINUTE })
    t.equal((await broker.issue({ consumer: SERVICE, ref, minTtlMs: 10 * MINUTE })).accessToken.reveal(), 'access-0')
    t.equal((await broker.issue({ consumer: SERVICE, ref, minTtlMs: 0 })).accessToken.reveal(), 'access-0')
    t.equal((await broker.issue({ consumer: SERVICE, ref, minTtlMs: 16 * MINUTE })).accessToken.reveal(), 'access-1')
    t.equal(upstream.calls.length, 1)
  })

  t.test('never refreshes for a wish that no token could meet', async (t) => {
    const { broker, ref, upstream } = await setUp({ age: 0, lifeMs: 20 * SECOND })
    t.equal((await broker.issue({ consumer: SERVICE, ref, minTtlMs: 30 * MINUTE })).health, 'ok')
    t.equal(upstream.calls.length, 0)
  })

  t.test('has one order of answers: 404, 403, 410, 409, 423, 409, 503', async (t) => {
    const { broker, connect, upstream } = await setUp()
    upstream.replies(TIMEOUT)
    const cases: [string, Consumer, ConnectOptions][] = [
      ['ERR_CONNECTION_NOT_FOUND', STRANGER, {}],
      ['ERR_CONNECTION_NOT_FOUND', STRANGER, { status: 'disconnected' }],
      ['ERR_FORBIDDEN', READER, { status: 'disconnected', quarantined: true }],
      ['ERR_FORBIDDEN', READER, {}],
      ['ERR_DISCONNECTED', SERVICE, { status: 'disconnected', quarantined: true }],
      ['ERR_DISCONNECTED', SERVICE, { status: 'disconnecting' }],
      ['ERR_NOT_CONNECTED', SERVICE, { status: 'pending', age: 'none', quarantined: true }],
      ['ERR_QUARANTINED', SERVICE, { status: 'reconnect_required', quarantined: true }],
      ['ERR_QUARANTINED', SERVICE, { quarantined: true }],
      ['ERR_RECONNECT_REQUIRED', SERVICE, { status: 'reconnect_required' }],
      ['ERR_RECONNECT_REQUIRED', SERVICE, { status: 'reconnect_required', ...EXPIRED }],
      ['ERR_UPSTREAM_UNAVAILABLE', SERVICE, EXPIRED]
    ]
    for (const [code, who, options] of cases) {
      const { ref, generation } = await connect(freshRef(), options)
      const answers = await Promise.all([
        codeOf(broker.issue({ consumer: who, ref })),
        codeOf(broker.rejected({ consumer: who, ref, generation }))
      ])
      const expected = [code, code]
      t.strictSame(answers, expected, `${who.name}: ${JSON.stringify(options)}`)
    }
    t.equal(upstream.calls.length, 1, 'none but the last asked Zoho')
    t.equal(await codeOf(broker.issue({ consumer: SERVICE, ref: freshRef() })), 'ERR_CONNECTION_NOT_FOUND')
  })

  t.test('looks at the status again after a refresh', async (t) => {
    for (const [changes, code] of [
      [{ quarantined: true }, 'ERR_QUARANTINED'],
      [{ status: 'disconnecting', epoch: 1_900_000_000_000 }, 'ERR_DISCONNECTED'],
      [{ status: 'pending', epoch: 1_900_000_000_000 }, 'ERR_NOT_CONNECTED']
    ] as const) {
      const { broker, ref, upstream, meanwhile } = await setUp(AGING)
      const gate = upstream.hold()
      const running = broker.issue({ consumer: SERVICE, ref })
      await gate.arrived
      await meanwhile(ref, changes)
      gate.open()
      await t.rejects(running, { code }, 'even though the old token lives')
    }
  })

  t.test('refuses a token that cannot be opened, and says so', async (t) => {
    const { a, broker, ref, stored, meanwhile } = await setUp()
    // Moved to another generation, as whoever writes into the store might.
    await meanwhile(ref, { generation: stored.generation + 1 })
    await t.rejects(broker.issue({ consumer: SERVICE, ref }), { code: 'ERR_SEALED_UNREADABLE' })
    t.match(a.events, [{ type: 'sealed.unreadable', ref, purpose: 'access' }])
  })

  t.test('needs no store but the read, and without it gives nothing', async (t) => {
    const { broker, ref, store } = await setUp()
    store.away = true
    await t.rejects(broker.issue({ consumer: SERVICE, ref }), { code: 'ERR_STORE_UNAVAILABLE', retryAfterMs: 1000 })
    store.away = false
    t.equal((await broker.issue({ consumer: SERVICE, ref })).health, 'ok')
  })
})

t.test('a rejected token', async (t) => {
  t.test('of an older generation costs nothing: the current one is the answer', async (t) => {
    const { broker, ref, upstream, generation } = await setUp()
    for (const other of [generation - 1, generation + 1]) {
      const token = await broker.rejected({ consumer: SERVICE, ref, generation: other })
      t.match(token, { generation, health: 'ok' })
    }
    t.equal(upstream.calls.length, 0)
  })

  t.test('of the current one brings one refresh for all who say so, in every process', async (t) => {
    const { a, createProcess, ref, upstream, generation } = await setUp()
    const b = createProcess()
    const all = Array.from({ length: 40 }, (_, i) =>
      (i % 2 ? a : b).broker.rejected({ consumer: SERVICE, ref, generation })
    )
    const tokens = await Promise.all(all)
    t.equal(new Set(tokens.map((token) => token.generation)).size, 1)
    t.ok(tokens.every((token) => token.generation > generation && token.accessToken.reveal() === 'access-1'))
    t.equal(upstream.calls.length, 1)
  })

  t.test('is not handed out again, even where no other can be had', async (t) => {
    const { broker, ref, upstream, generation } = await setUp()
    upstream.replies(TIMEOUT)
    await t.rejects(broker.rejected({ consumer: SERVICE, ref, generation }), { code: 'ERR_UPSTREAM_UNAVAILABLE' })
    const error: BrokerError = await broker.rejected({ consumer: SERVICE, ref, generation }).catch((error) => error)
    t.match(error, { code: 'ERR_UPSTREAM_UNAVAILABLE' }, 'the back-off holds for it too')
    t.ok((error.retryAfterMs ?? 0) > 0)
    t.equal(upstream.calls.length, 1)
  })

  t.test('whose refresh shows that the grant is dead ends in 409', async (t) => {
    const { broker, ref, upstream, generation, skip } = await setUp()
    upstream.replies(REFUSED, REFUSED)
    await t.rejects(broker.rejected({ consumer: SERVICE, ref, generation }), { code: 'ERR_UPSTREAM_UNAVAILABLE' })
    skip(10 * MINUTE)
    await t.rejects(broker.rejected({ consumer: SERVICE, ref, generation }), { code: 'ERR_RECONNECT_REQUIRED' })
  })
})

t.test('what may not be seen', async (t) => {
  t.test('answers as what is not there, after the same steps', async (t) => {
    const { broker, ref, store, upstream } = await setUp()
    const asks: Record<string, (who: Consumer, at: typeof ref) => Promise<unknown>> = {
      issue: (who, at) => broker.issue({ consumer: who, ref: at }),
      rejected: (who, at) => broker.rejected({ consumer: who, ref: at, generation: 1 }),
      read: (who, at) => broker.read({ consumer: who, ref: at }),
      forceRefresh: (who, at) => broker.forceRefresh({ consumer: who, ref: at })
    }
    for (const [name, ask] of Object.entries(asks)) {
      const seen: unknown[] = []
      for (const at of [ref, { ...ref, connection: 'missing' }]) {
        const reads = store.calls('read')
        const error: BrokerError = await ask(STRANGER, at).then(
          () => t.fail('it was answered'),
          (error) => error
        )
        seen.push([error.code, error.message, error.retryAfterMs, store.calls('read') - reads])
      }
      t.strictSame(seen[0], seen[1], name)
      t.match(seen[0], ['ERR_CONNECTION_NOT_FOUND'])
    }
    t.equal(upstream.calls.length + store.calls('begin'), 0)
  })

  t.test('but seen and not allowed is forbidden, and missing stays missing', async (t) => {
    const { broker, ref } = await setUp()
    const missing = { ...ref, connection: 'missing' }
    t.equal(await codeOf(broker.read({ consumer: SERVICE, ref })), 'ERR_FORBIDDEN')
    t.equal(await codeOf(broker.forceRefresh({ consumer: READER, ref })), 'ERR_FORBIDDEN')
    t.equal(await codeOf(broker.issue({ consumer: READER, ref })), 'ERR_FORBIDDEN')
    t.equal(await codeOf(broker.read({ consumer: SERVICE, ref: missing })), 'ERR_CONNECTION_NOT_FOUND')
    t.strictSame((await broker.read({ consumer: READER, ref })).ref, ref)
  })
})

t.test('a forced refresh', async (t) => {
  t.test('makes a call for a token that is fresh, paid from the admin’s share', async (t) => {
    const { broker, ref, store, upstream, generation } = await setUp()
    t.ok((await broker.forceRefresh({ consumer: ADMIN, ref })).generation > generation)
    t.equal(upstream.calls.length, 1)
    t.match(store.budget(ref)[0], /:admin:/)
  })

  t.test('of a connection without a live grant is refused', async (t) => {
    const { broker, connect, upstream } = await setUp()
    for (const [status, code] of [
      ['pending', 'ERR_NOT_CONNECTED'],
      ['disconnecting', 'ERR_DISCONNECTED'],
      ['disconnected', 'ERR_DISCONNECTED']
    ] as const) {
      const { ref } = await connect(freshRef(), { status })
      t.equal(await codeOf(broker.forceRefresh({ consumer: ADMIN, ref })), code)
    }
    t.equal(upstream.calls.length, 0)
  })

  t.test('that Zoho refuses is an error, and the token that lives stays', async (t) => {
    const { broker, ref, upstream, read, generation } = await setUp()
    upstream.replies(TIMEOUT)
    await t.rejects(broker.forceRefresh({ consumer: ADMIN, ref }), { code: 'ERR_UPSTREAM_UNAVAILABLE' })
    t.match(await read(ref), { generation, details: { failure: { count: 1 } } })
  })

  t.test('is satisfied by a refresh that somebody else makes meanwhile', async (t) => {
    const { a, createProcess, ref, upstream, read } = await setUp(EXPIRED)
    const gate = upstream.hold()
    const issuing = createProcess().broker.issue({ consumer: SERVICE, ref })
    await gate.arrived
    const forced = a.broker.forceRefresh({ consumer: ADMIN, ref })
    gate.open(granted('shared'))
    t.equal((await forced).generation, (await issuing).generation)
    t.equal((await read(ref)).revision, 2)
    t.equal(upstream.calls.length, 1)
  })

  t.test('works while hand-outs are stopped', async (t) => {
    const { broker, ref, generation } = await setUp({ quarantined: true })
    const after = await broker.forceRefresh({ consumer: ADMIN, ref })
    t.ok(after.quarantined && after.generation > generation)
  })
})

t.test('a list', async (t) => {
  /** Stores connections of one tenant. */
  async function tenantWith(ids: readonly string[]) {
    const world = createWorld()
    const { broker } = world.createProcess()
    for (const id of ids) {
      const next = connection({ tenant: 'acme', connection: id })
      await world.store.commit({ seen: undefined, next, dueAt: undefined })
    }
    const list = (who: Consumer, limit: number, after?: string) =>
      broker.list({ consumer: who, tenant: 'acme', limit, ...(after !== undefined && { after }) })
    return { ...world, list }
  }

  /** Every page, as the ids on it, and every cursor. */
  async function pages(list: Awaited<ReturnType<typeof tenantWith>>['list'], who: Consumer, limit: number) {
    const found: string[][] = []
    const cursors: string[] = []
    for (let after: string | undefined; ; ) {
      const page = await list(who, limit, after)
      found.push(page.items.map(({ ref }) => ref.connection))
      after = page.next
      if (after === undefined) return { found, cursors, all: found.flat() }
      cursors.push(after)
      if (cursors.length > 1000) throw new Error('the pages do not end')
    }
  }

  const many = Array.from({ length: 60 }, (_, i) => `c-${String(i).padStart(2, '0')}`)

  t.test('shows a whole tenant page by page, once each, in order', async (t) => {
    const { list } = await tenantWith(many)
    for (const limit of [1, 7, 20, 60, 100]) {
      const { all, found } = await pages(list, READER, limit)
      t.strictSame(all, many)
      t.ok(found.every((page) => page.length <= limit))
    }
    t.notOk('next' in (await list(READER, 60)), 'no page after the last')
  })

  t.test('shows what the policy covers and neither shows nor names anything else', async (t) => {
    const ids = [...many, 'desk', 'desk-2', 'desk-eu', 'desl', 'zulu']
    const policies: [Consumer, string[]][] = [
      [consumer(['read'], { connections: ['desk*'] }), ['desk', 'desk-2', 'desk-eu']],
      [consumer(['read'], { connections: ['desk', 'c-07', 'c-3*'] }), ['c-07', ...many.slice(30, 40), 'desk']],
      [consumer(['read'], { connections: ['c-59', 'zulu'] }), ['c-59', 'zulu']],
      [consumer(['read'], { connections: ['nothing*', 'a'] }), []]
    ]
    for (const [who, visible] of policies) {
      const { list } = await tenantWith(ids)
      for (const limit of [1, 2, 5, 100]) {
        const { all, cursors } = await pages(list, who, limit)
        t.strictSame(all, visible)
        t.notOk(
          cursors.some((cursor) => ids.includes(cursor) && !visible.includes(cursor)),
          'no cursor is a hidden id'
        )
        t.ok(cursors.every((cursor) => /^[\x21-\x7e]{1,300}$/.test(cursor)))
      }
    }
  })

  t.test('is bounded work, however little of a tenant is visible', async (t) => {
    const { list, store } = await tenantWith(many)
    const oneInTwo = consumer(['read'], { connections: many.filter((_, i) => i % 2 === 0) })
    const page = await list(oneInTwo, 20)
    t.ok(store.calls('list') <= 4)
    t.ok(page.items.length > 0)
    const { all } = await pages(list, oneInTwo, 1)
    t.strictSame(all, oneInTwo.allow[0]?.connections)
  })

  t.test('of a tenant without a rule is empty, as that of a tenant that does not exist', async (t) => {
    const { list } = await tenantWith(many)
    t.strictSame(await list(STRANGER, 10), { items: [] })
    t.strictSame(await list(SERVICE, 10), { items: [] }, 'a token is no right to read')
    const elsewhere = await tenantWith([])
    t.strictSame(await elsewhere.list(READER, 10), { items: [] })
  })
})
