import t from 'tap'
import type { Connection } from '../../src/domain/connection.ts'
import type { RefreshWish } from '../../src/domain/refresh.ts'
import { eventually, freshRef } from '../helpers/connections.ts'
import {
  ADMIN,
  createWorld,
  DESK,
  granted,
  HOUR,
  MINUTE,
  OURS,
  REFRESH_TOKEN,
  REFUSED,
  SECOND,
  SERVICE,
  type SETTINGS,
  THROTTLED,
  TIMEOUT,
  UNSENT,
  type World
} from './harness.ts'

const EXPIRED = { age: 2 * HOUR }
/** Lives on for 200 s: a fresh one is wanted, this one may still be served. */
const AGING = { age: HOUR - 200 * SECOND }

/** A connection in a world with one process or more. */
async function setUp(options: Parameters<World['connect']>[1] = EXPIRED, settings: Partial<typeof SETTINGS> = {}) {
  const world = createWorld({ settings })
  const [a, b] = [world.createProcess(), world.createProcess()]
  const { ref, generation } = await world.connect(freshRef(), options)
  const issue = (process = a, minTtlMs?: number) =>
    process.broker.issue({ consumer: SERVICE, ref, ...(minTtlMs !== undefined && { minTtlMs }) })
  return { ...world, a, b, ref, generation, issue }
}

const wishFor = (satisfied: (connection: Connection) => boolean): RefreshWish => ({
  share: 'anyone',
  satisfied,
  actor: 'test'
})

t.test('one refresh for all', async (t) => {
  t.test('many callers in one process make one upstream call', async (t) => {
    const { store, upstream, issue, ref } = await setUp()
    const gate = upstream.hold()
    const all = Array.from({ length: 100 }, () => issue())
    await gate.arrived
    gate.open(granted('fresh'))
    const tokens = await Promise.all(all)
    t.equal(new Set(tokens.map(({ generation }) => generation)).size, 1)
    t.ok(tokens.every(({ accessToken, health }) => accessToken.reveal() === 'fresh' && health === 'ok'))
    t.strictSame(upstream.calls, [{ app: 'desk', dataCenter: 'eu', refreshToken: REFRESH_TOKEN }])
    t.equal(store.calls('begin'), 1)
    t.equal(store.lease(ref), undefined, 'the write ended the lease')
  })

  t.test('many callers in two processes too; those who wait are woken', async (t) => {
    const { store, upstream, a, b, issue, ref, clock } = await setUp(EXPIRED, { waitPollMs: HOUR })
    const gate = upstream.hold()
    const all = Array.from({ length: 100 }, (_, i) => issue(i % 2 ? a : b))
    await gate.arrived
    await eventually(() => store.waiting(ref) === 1)
    const opened = clock.now()
    gate.open(granted('fresh'))
    const tokens = await Promise.all(all)
    t.ok(clock.now() - opened < 5 * SECOND, 'by the wake-up, not by their own look')
    t.ok(tokens.every(({ accessToken }) => accessToken.reveal() === 'fresh'))
    t.equal(upstream.calls.length, 1)
    t.equal(a.count('lease.waited') + b.count('lease.waited'), 0, 'who waited did not need the lease any more')
    t.equal(store.budget(ref).length, 1)
  })

  t.test('a waiter that no wake-up reaches looks by itself', async (t) => {
    const { store, upstream, createProcess, ref, issue, b } = await setUp()
    const mute = createProcess({ wakeUp: { publish() {}, wait: store.wait } })
    const gate = upstream.hold()
    const first = issue(mute)
    await gate.arrived
    const second = issue(b)
    await eventually(() => store.waiting(ref) === 1)
    gate.open()
    t.equal((await first).generation, (await second).generation)
    t.equal(upstream.calls.length, 1)
  })

  t.test('whoever comes with an old record takes the newer one instead of a refresh', async (t) => {
    const { upstream, a, b, issue, ref, read } = await setUp()
    const seen = await read(ref)
    const { generation } = await issue(a)
    const result = await b.refresh(
      seen,
      wishFor((current) => current.generation !== seen.generation)
    )
    t.equal(result.connection?.generation, generation)
    t.equal(upstream.calls.length, 1)
  })

  t.test('a failure is shared too: nobody who waited asks again, all get a time to come back', async (t) => {
    const { store, upstream, a, b, issue, ref } = await setUp()
    const gate = upstream.hold()
    const all = Array.from({ length: 20 }, (_, i) => issue(i % 2 ? a : b))
    await gate.arrived
    await eventually(() => store.waiting(ref) === 1)
    gate.open(TIMEOUT)
    for (const result of await Promise.allSettled(all)) {
      t.match(result, { status: 'rejected', reason: { code: 'ERR_UPSTREAM_UNAVAILABLE' } })
      const { retryAfterMs } = (result as PromiseRejectedResult).reason
      t.ok(retryAfterMs > 0 && retryAfterMs <= 6 * SECOND)
    }
    t.equal(upstream.calls.length, 1)
  })

  t.test(
    'of two wishes in one run, the one that it satisfies asks no more and the other asks for itself',
    async (t) => {
      const { upstream, a, ref, read, generation } = await setUp()
      const seen = await read(ref)
      const gate = upstream.hold()
      const newer = wishFor((current) => current.generation > generation)
      const first = a.refresh(seen, newer)
      const same = a.refresh(seen, newer)
      await gate.arrived
      gate.open(granted('one'))
      const next = (await first).connection?.generation ?? 0
      t.equal((await same).connection?.generation, next)
      t.equal(upstream.calls.length, 1)

      const held = upstream.hold()
      const again = a.refresh(
        await read(ref),
        wishFor((current) => current.generation > next)
      )
      await held.arrived
      const more = a.refresh(
        await read(ref),
        wishFor((current) => current.generation > next + 1)
      )
      held.open()
      t.equal((await again).connection?.generation, next + 1)
      t.equal((await more).connection?.generation, next + 2)
      t.equal(upstream.calls.length, 3)
    }
  )

  t.test('a wish that the stored token satisfies joins nobody', async (t) => {
    const { upstream, issue } = await setUp({ age: 45 * MINUTE })
    const gate = upstream.hold()
    const patient = issue(undefined, 30 * MINUTE)
    await gate.arrived
    t.equal((await issue()).accessToken.reveal(), 'access-0', '15 minutes are enough without a wish')
    gate.open(granted('fresh'))
    t.equal((await patient).accessToken.reveal(), 'fresh')
  })
})

t.test('the lease', async (t) => {
  t.test('of a process that died ends by itself, and the next caller goes on', async (t) => {
    const { store, upstream, issue, ref, read, clock, skip } = await setUp()
    const asks = { ref, seen: await read(ref), share: 'anyone', limit: 3, windowMs: HOUR, now: clock.now() } as const
    await store.begin({ ...asks, owner: 'dead', ttlMs: 15 * SECOND })
    const waiting = issue()
    await eventually(() => store.waiting(ref) === 1)
    skip(15 * SECOND - 1000)
    t.equal(upstream.calls.length, 0, 'never an unlocked refresh')
    skip(1000)
    t.equal((await waiting).health, 'ok')
    t.equal(upstream.calls.length, 1)
  })

  t.test('that another process keeps too long ends in busy with a time to come back', async (t) => {
    const { store, upstream, a, b, issue, ref } = await setUp(EXPIRED, { callerDeadlineMs: 40 })
    const gate = upstream.hold()
    const first = issue(a).catch((error) => error)
    await gate.arrived
    const waiter = await issue(b).catch((error) => error)
    t.match(waiter, { code: 'ERR_BUSY' })
    t.ok(waiter.retryAfterMs > 0 && waiter.retryAfterMs <= 15 * SECOND)
    t.match(await first, { code: 'ERR_BUSY', retryAfterMs: 1000 }, 'the one at work as well')

    gate.open(granted('late'))
    await eventually(async () => (await store.read(ref))?.details.times.accessIssued !== undefined && !store.lease(ref))
    t.equal((await issue(b)).accessToken.reveal(), 'late', 'an answer for a caller who has gone is stored')
    t.equal(upstream.calls.length, 1)
  })

  t.test('kept too long by another process leaves the old token while it lives', async (t) => {
    const { upstream, a, b, issue } = await setUp(AGING, { callerDeadlineMs: 40 })
    const gate = upstream.hold()
    const first = issue(a)
    await gate.arrived
    t.match(await issue(b), { health: 'degraded' })
    t.match(await first, { health: 'degraded' })
    gate.open()
    await a.shield.idle()
  })

  t.test('is prolonged while its holder is at work', async (t) => {
    const { store, upstream, issue, ref } = await setUp(EXPIRED, { leaseTtlMs: 600 })
    const gate = upstream.hold()
    const running = issue()
    await gate.arrived
    const owner = store.lease(ref)
    await eventually(() => store.calls('renew') >= 3)
    t.equal(store.lease(ref), owner)
    gate.open()
    await running
  })

  t.test(
    'lost to another process aborts nothing: the write decides, and the late answer changes nothing',
    async (t) => {
      const { store, upstream, a, b, issue, ref, read, skip } = await setUp(EXPIRED, { leaseTtlMs: 300 })
      const gate = upstream.hold()
      const paused = issue(a)
      await gate.arrived
      skip(HOUR)
      await eventually(() => a.count('lease.lost') > 0)
      upstream.replies(granted('winner'))
      const { generation } = await issue(b)
      const stored = await read(ref)
      gate.open(granted('loser'))
      t.equal((await paused).generation, generation, 'the loser hands out what won')
      t.equal((await paused).accessToken.reveal(), 'winner')
      t.equal(await read(ref), stored)
      t.equal(a.count('write.refused'), 1)
      t.equal(store.budget(ref).length, 1, 'both were paid for, the first one an hour ago')
    }
  )

  t.test('lost to nobody loses nothing: the answer is stored', async (t) => {
    const { upstream, issue, a, ref, read, skip } = await setUp()
    const gate = upstream.hold()
    const paused = issue(a)
    await gate.arrived
    skip(16 * SECOND)
    gate.open(granted('late but right'))
    const { generation } = await paused
    t.equal((await read(ref)).generation, generation)
    t.equal(a.count('write.refused'), 0)
  })

  t.test('whose answer was lost is not left behind', async (t) => {
    const { store, upstream, issue, ref } = await setUp()
    store.next('begin', 'lose_reply')
    await t.rejects(issue(), { code: 'ERR_STORE_UNAVAILABLE' })
    await eventually(() => store.lease(ref) === undefined)
    t.equal(upstream.calls.length, 0)
    t.equal((await issue()).health, 'ok')
  })
})

t.test('a write in between', async (t) => {
  for (const [what, changes, code] of [
    ['a disconnect', { status: 'disconnecting' }, 'ERR_DISCONNECTED'],
    ['the end of a disconnect', { status: 'disconnected' }, 'ERR_DISCONNECTED']
  ] as const) {
    t.test(`${what} wins over the late answer, which is counted and frees the lease`, async (t) => {
      const { store, upstream, a, issue, ref, read, meanwhile } = await setUp()
      const gate = upstream.hold()
      const running = issue()
      await gate.arrived
      const ended = await meanwhile(ref, { ...changes, epoch: 1_900_000_000_000 })
      gate.open()
      await t.rejects(running, { code })
      t.match(await read(ref), { ...changes, writeId: ended.writeId })
      t.equal(a.count('write.refused'), 1)
      t.equal(store.lease(ref), undefined, 'the next one need not wait for it')
      t.equal(store.budget(ref).length, 1, 'the call was made and stays paid')
    })
  }

  t.test('a reconnect wins: the late answer is dropped and its caller gets the new grant’s token', async (t) => {
    const { upstream, a, b, issue, ref, read, store, reconnect } = await setUp()
    const gate = upstream.hold()
    const running = issue(a)
    await gate.arrived
    const other = await reconnect(ref)
    gate.open(granted('of the old grant'))
    const token = await running
    t.equal(token.accessToken.reveal(), 'reconnected')
    t.equal(token.generation, other.generation)
    t.equal((await read(ref)).writeId, other.writeId)
    t.equal(a.count('write.refused'), 1)
    t.equal(store.lease(ref), undefined)
    t.equal((await issue(b)).generation, other.generation)
  })

  t.test('an unrelated write is kept and the answer applied on top of it', async (t) => {
    const { upstream, a, issue, ref, read, meanwhile, generation } = await setUp()
    const gate = upstream.hold()
    const running = issue()
    await gate.arrived
    const flagged = await meanwhile(ref, { quarantined: true })
    gate.open()
    await t.rejects(running, { code: 'ERR_QUARANTINED' }, 'nothing is handed out from then on')
    const stored = await read(ref)
    t.match(stored, { quarantined: true, revision: flagged.revision + 1 })
    t.ok(stored.generation > generation, 'but what Zoho gave is kept')
    t.equal(a.count('write.refused'), 0)
  })

  t.test('so is a failure', async (t) => {
    const { upstream, issue, ref, read, meanwhile } = await setUp()
    const gate = upstream.hold()
    const running = issue()
    await gate.arrived
    await meanwhile(ref, { quarantined: true })
    gate.open(REFUSED)
    await t.rejects(running, { code: 'ERR_QUARANTINED' })
    t.match(await read(ref), { quarantined: true, details: { failure: { code: 'grant_refused', count: 1 } } })
  })
})

t.test('a store that stumbles', async (t) => {
  t.test('before the call means no call', async (t) => {
    const { store, upstream, issue } = await setUp()
    store.next('begin', 'fail')
    await t.rejects(issue(), { code: 'ERR_STORE_UNAVAILABLE', retryAfterMs: 1000 })
    t.equal(upstream.calls.length, 0)
  })

  t.test('and loses only the answer to the write: written once', async (t) => {
    const { store, a, issue, ref, read } = await setUp()
    store.next('commit', 'lose_reply')
    const { generation, accessToken } = await issue()
    t.equal(accessToken.reveal(), 'access-1')
    await a.shield.idle()
    t.match(await read(ref), { generation, revision: 2 })
    t.equal(a.count('store.retried'), 1)
    t.equal(a.count('write.refused'), 0)
    t.equal(store.lease(ref), undefined)
  })

  t.test('after a good answer: all who wait are served from memory, and it is stored later', async (t) => {
    const { store, upstream, a, issue, ref, read, generation } = await setUp()
    const gate = upstream.hold()
    const all = [issue(), issue(), issue()]
    await gate.arrived
    store.away = true
    gate.open(granted('fresh'))
    const tokens = await Promise.all(all)
    t.ok(tokens.every(({ accessToken }) => accessToken.reveal() === 'fresh'))
    t.ok(a.shield.size() > 0, 'a shutdown would wait for the write')
    await eventually(() => a.count('store.retried') >= 2)
    store.away = false
    await a.shield.idle()
    const stored = await read(ref)
    t.equal(stored.generation, tokens[0]?.generation)
    t.ok(stored.generation > generation)
    t.equal(a.count('store.gave_up'), 0)
  })

  t.test('and is taken over by a reconnect meanwhile: the late write changes nothing', async (t) => {
    const { store, upstream, a, issue, ref, read, reconnect } = await setUp()
    const gate = upstream.hold()
    const running = issue()
    await gate.arrived
    const retry = Promise.withResolvers<void>()
    store.next('commit', 'fail')
    store.next('commit', { delay: retry.promise })
    const before = store.calls('commit')
    gate.open()
    await running
    await eventually(() => store.calls('commit') === before + 2)
    const { writeId } = await reconnect(ref)
    retry.resolve()
    await a.shield.idle()
    t.equal((await read(ref)).writeId, writeId)
    t.equal(a.count('write.refused'), 1)
  })

  t.test('for longer than it is tried: given up and told', async (t) => {
    const { store, upstream, a, issue } = await setUp(EXPIRED, { storeRetryMs: 20 })
    const gate = upstream.hold()
    const running = issue()
    await gate.arrived
    store.away = true
    gate.open()
    t.equal((await running).health, 'ok')
    await a.shield.idle()
    t.equal(a.count('store.gave_up'), 1)
  })

  t.test('after a failure of Zoho: the caller is told, the call stays paid, the lease ends', async (t) => {
    const { store, upstream, issue, ref } = await setUp()
    upstream.replies(THROTTLED)
    store.next('commit', 'fail')
    await t.rejects(issue(), { code: 'ERR_STORE_UNAVAILABLE' })
    t.equal(store.budget(ref).length, 1)
    t.equal(store.lease(ref), undefined)
  })
})

t.test('the budget', async (t) => {
  /** One wanted refresh that fails, as late as its own back-off allows. */
  async function failAgain({ issue, upstream, skip }: Awaited<ReturnType<typeof setUp>>, reply = TIMEOUT) {
    upstream.replies(reply)
    await t.rejects(issue(), { code: 'ERR_UPSTREAM_UNAVAILABLE' })
    skip(2 * MINUTE)
  }

  t.test('is charged for a call that left and not for one that did not', async (t) => {
    for (const [reply, charges] of [
      [granted('a'), 1],
      [TIMEOUT, 1],
      [REFUSED, 1],
      [OURS, 1],
      [UNSENT, 0]
    ] as const) {
      const { store, upstream, issue, ref } = await setUp()
      upstream.replies(reply)
      await issue().catch(() => {})
      t.equal(store.budget(ref).filter((entry) => !entry.includes('closed')).length, charges)
      t.equal(store.lease(ref), undefined)
    }
  })

  t.test('used up by anyone still leaves the share of a rejected token and of an admin', async (t) => {
    const world = await setUp()
    const { issue, a, ref, generation, upstream, store, skip } = world
    for (let i = 0; i < 3; i++) await failAgain(world)
    const error = await issue().catch((error) => error)
    t.match(error, { code: 'ERR_REFRESH_BUDGET' })
    t.ok(
      error.retryAfterMs > 3 * MINUTE && error.retryAfterMs <= 4 * MINUTE,
      'until the first charge leaves the window'
    )
    t.equal(upstream.calls.length, 3)
    t.match(a.events.at(-1), { type: 'budget.refused', share: 'anyone' })

    const again = await a.broker.rejected({ consumer: SERVICE, ref, generation })
    t.equal(again.health, 'ok')
    t.ok((await a.broker.forceRefresh({ consumer: ADMIN, ref })).generation > again.generation)
    t.equal(store.budget(ref).length, 5)
    await t.rejects(a.broker.forceRefresh({ consumer: ADMIN, ref }), { code: 'ERR_REFRESH_BUDGET' })
    await t.rejects(
      a.broker.rejected({ consumer: SERVICE, ref, generation: (await world.read(ref)).generation }),
      { code: 'ERR_REFRESH_BUDGET' },
      'a consumer cannot make a storm of rejections'
    )
    t.equal(upstream.calls.length, 5)
    skip(10 * MINUTE)
    await a.broker.forceRefresh({ consumer: ADMIN, ref })
    t.equal(upstream.calls.length, 6)
  })

  t.test('used up by anyone is not shared with who has another share, even at the same time', async (t) => {
    const world = await setUp()
    const { issue, a, ref, generation } = world
    for (let i = 0; i < 3; i++) await failAgain(world)
    const [first, rejected] = await Promise.allSettled([
      issue(),
      a.broker.rejected({ consumer: SERVICE, ref, generation })
    ])
    t.match(first, { status: 'rejected', reason: { code: 'ERR_REFRESH_BUDGET' } })
    t.match(rejected, { status: 'fulfilled', value: { health: 'ok' } })
  })

  t.test('used up leaves the old token while it lives', async (t) => {
    const { a, issue, ref, read, clock, store } = await setUp(AGING)
    const asks = { ref, ttlMs: 1, share: 'anyone', limit: 3, windowMs: HOUR, now: clock.now() } as const
    for (const owner of ['1', '2', '3']) {
      await store.begin({ ...asks, seen: await read(ref), owner })
      await store.release(ref, owner)
    }
    t.match(await issue(), { health: 'degraded' })
    t.match(a.events.at(-1), { type: 'budget.refused' })
  })

  t.test('closed by a throttle is closed for everyone, an admin too, until its window ends', async (t) => {
    const { upstream, store, issue, a, ref, generation, skip } = await setUp()
    upstream.replies(THROTTLED)
    await t.rejects(issue(), { code: 'ERR_UPSTREAM_UNAVAILABLE' })
    t.ok(store.budget(ref).some((entry) => entry.includes(':closed:')))
    await t.rejects(issue(), { code: 'ERR_UPSTREAM_UNAVAILABLE' })
    await t.rejects(a.broker.rejected({ consumer: SERVICE, ref, generation }), { code: 'ERR_UPSTREAM_UNAVAILABLE' })
    await t.rejects(a.broker.forceRefresh({ consumer: ADMIN, ref }), { code: 'ERR_REFRESH_BUDGET' })
    t.equal(upstream.calls.length, 1)
    skip(10 * MINUTE + 1)
    t.ok((await a.broker.forceRefresh({ consumer: ADMIN, ref })).generation > generation)
  })
})

t.test('failures', async (t) => {
  t.test('bind callers until the next try, and not an admin', async (t) => {
    const { upstream, issue, a, b, ref, read } = await setUp()
    upstream.replies(TIMEOUT)
    await t.rejects(issue(a), { code: 'ERR_UPSTREAM_UNAVAILABLE' })
    await t.rejects(issue(b), { code: 'ERR_UPSTREAM_UNAVAILABLE' }, 'in any process')
    t.equal(upstream.calls.length, 1)
    const forced = await a.broker.forceRefresh({ consumer: ADMIN, ref })
    t.equal(upstream.calls.length, 2)
    t.equal((await read(ref)).details.failure, undefined, 'a success forgets the failures')
    t.equal((await issue()).generation, forced.generation)
  })

  t.test('leave the old token while it lives, with the time from which a fresh one may be had', async (t) => {
    const { upstream, issue, ref, read, clock } = await setUp(AGING)
    upstream.replies(TIMEOUT)
    const token = await issue()
    const { nextTryAt = 0 } = (await read(ref)).details.failure ?? {}
    t.match(token, { health: 'degraded', refreshAt: nextTryAt })
    t.equal(token.accessToken.reveal(), 'access-0')
    t.ok(nextTryAt > clock.now() && nextTryAt < token.expiresAt)
  })

  t.test('of the grant end in a reconnect after the second strike, and one forced try may bring it back', async (t) => {
    const { upstream, issue, a, ref, read, skip, store } = await setUp()
    upstream.replies(REFUSED)
    const first = await issue().catch((error) => error)
    t.match(first, { code: 'ERR_UPSTREAM_UNAVAILABLE' })
    t.ok(first.retryAfterMs > 55 * SECOND && first.retryAfterMs <= MINUTE)
    skip(MINUTE)
    upstream.replies(REFUSED)
    await t.rejects(issue(), { code: 'ERR_RECONNECT_REQUIRED' })
    t.equal((await read(ref)).status, 'reconnect_required')
    skip(HOUR)
    await t.rejects(issue(), { code: 'ERR_RECONNECT_REQUIRED' })
    t.equal(upstream.calls.length, 2, 'it is not tried any more')

    const back = await a.broker.forceRefresh({ consumer: ADMIN, ref })
    t.match(back, { status: 'active' })
    t.equal((await issue()).generation, back.generation)
    t.strictSame(
      store.events(ref).map(({ type, actor }) => [type, actor]),
      [
        ['connection.reconnect_required', 'token'],
        ['connection.refresh_forced', 'token+read+connect+refresh'],
        ['connection.recovered', ADMIN.name]
      ]
    )
  })

  t.test('of ours touch no status', async (t) => {
    const { upstream, issue, ref, read, skip } = await setUp()
    for (let i = 0; i < 3; i++) {
      upstream.replies(OURS)
      await t.rejects(issue(), { code: 'ERR_UPSTREAM_UNAVAILABLE' })
      skip(10 * MINUTE)
    }
    t.match(await read(ref), { status: 'active', details: { failure: { code: 'wrong_data_center', count: 3 } } })
    t.equal((await issue()).health, 'ok')
  })

  t.test('are told with their outcome, and never with a secret', async (t) => {
    const { upstream, issue, a, skip } = await setUp()
    upstream.replies(TIMEOUT)
    await issue().catch(() => {})
    skip(MINUTE)
    await issue()
    t.strictSame(
      a.events.flatMap((event) => (event.type === 'refresh.ended' ? [event.outcome] : [])),
      ['timeout', 'granted']
    )
    t.notMatch(JSON.stringify(a.events), /refresh\.first|access-/)
  })
})

t.test('no call is made', async (t) => {
  for (const [why, apps, code] of [
    ['with another client id than the grant’s', [{ ...DESK, clientId: '1000.OTHER' }], 'ERR_CLIENT_CHANGED'],
    ['for an app that is gone from the configuration', [], 'ERR_APP_UNKNOWN'],
    ['for a data center that is gone from it', [{ ...DESK, dataCenters: ['us'] }], 'ERR_APP_UNKNOWN']
  ] as const) {
    t.test(`${why}, and the live token is served`, async (t) => {
      const { createProcess, connect, upstream, issue, store, ref } = await setUp()
      const changed = createProcess({ apps })
      await t.rejects(issue(changed), { code })
      await t.rejects(changed.broker.forceRefresh({ consumer: ADMIN, ref }), { code })
      const aging = await connect(freshRef(), AGING)
      t.match(await changed.broker.issue({ consumer: SERVICE, ref: aging.ref }), { health: 'degraded' })
      t.equal(upstream.calls.length, 0)
      t.equal(store.calls('begin'), 0)
    })
  }

  t.test('with a refresh token that cannot be opened, and lease and charge are given back', async (t) => {
    const { store, upstream, issue, a, ref, read } = await setUp({ ...EXPIRED, sealedRefresh: Buffer.from('garbage') })
    await t.rejects(issue(), { code: 'ERR_SEALED_UNREADABLE' })
    t.equal(upstream.calls.length, 0)
    t.equal(store.lease(ref), undefined)
    t.strictSame(store.budget(ref), [])
    t.equal(a.count('sealed.unreadable'), 1)
    t.equal(Buffer.from((await read(ref)).sealedRefresh ?? []).toString(), 'garbage', 'nothing is deleted for it')
  })
})
