import t from 'tap'
import type { BrokerError } from '../../src/domain/errors.ts'
import type { Consumer } from '../../src/domain/policy.ts'
import { Secret } from '../../src/domain/secret.ts'
import { connection, eventually, freshRef, waitingGrant } from '../helpers/connections.ts'
import {
  ADMIN,
  BAD_SECRET,
  type ConnectOptions,
  consumer,
  createWorld,
  DESK,
  granted,
  HOUR,
  MINUTE,
  OURS,
  type Process,
  REFRESH_TOKEN,
  REFUSED,
  SCOPES,
  SECOND,
  SERVICE,
  type SETTINGS,
  THROTTLED,
  TIMEOUT,
  UNSENT
} from './harness.ts'

const NEW_TOKEN = '1000.refresh.new'

/** A world, two processes and a connection; without options there is none yet. */
async function setUp(options?: ConnectOptions, settings: Partial<typeof SETTINGS> = {}) {
  const world = createWorld({ settings: { shares: { anyone: 3, rejected: 1, admin: 9 }, ...settings } })
  const apps = [DESK, { ...DESK, name: 'crm', clientId: '1000.CRM' }]
  const [a, b] = [world.createProcess({ apps }), world.createProcess({ apps })]
  const ref = freshRef()
  if (options) await world.connect(ref, options)
  const importGrant = ({
    process = a,
    token = NEW_TOKEN,
    app = 'desk',
    dataCenter = 'eu',
    who = ADMIN
  }: {
    process?: Process
    token?: string
    app?: string
    dataCenter?: string
    who?: Consumer
  } = {}) => process.broker.importGrant({ consumer: who, ref, app, dataCenter, refreshToken: new Secret(token) })
  return { ...world, a, b, ref, importGrant }
}

t.test('an import', async (t) => {
  t.test('is verified by a real refresh, then stored with the token that it brought', async (t) => {
    const { store, upstream, importGrant, a, ref, read, refreshTokenOf } = await setUp()
    const gate = upstream.hold()
    const running = importGrant()
    await gate.arrived
    t.equal(await store.read(ref), undefined, 'nothing before Zoho has said yes')
    gate.open(granted('verified', { scopes: SCOPES }))
    const { connection: stored, created } = await running
    t.ok(created)
    t.strictSame(upstream.calls, [{ app: 'desk', dataCenter: 'eu', refreshToken: NEW_TOKEN }])
    t.match(await read(ref), {
      writeId: stored.writeId,
      status: 'active',
      revision: 1,
      details: { app: 'desk', dataCenter: 'eu', clientId: DESK.clientId, grantNumber: 1 }
    })
    t.equal(await refreshTokenOf(ref), NEW_TOKEN)
    t.equal((await a.broker.issue({ consumer: SERVICE, ref })).accessToken.reveal(), 'verified')
    t.equal(upstream.calls.length, 1)
    t.equal(store.lease(ref), undefined)
    t.match(store.budget(ref), [/:admin:/])
    t.match(store.events(ref), [{ type: 'connection.imported', actor: ADMIN.name }])
    t.ok((store.dueAt(ref) ?? 0) > 0, 'its proactive refresh is due')
  })

  t.test('takes the scopes as requested where the answer names none', async (t) => {
    const { importGrant } = await setUp()
    t.strictSame((await importGrant()).connection.details.scopes, { requested: SCOPES, granted: SCOPES })
  })

  t.test('of the same token again changes nothing and asks nobody', async (t) => {
    const { upstream, importGrant, store, ref } = await setUp({})
    const stored = await store.read(ref)
    const again = await importGrant({ token: REFRESH_TOKEN })
    t.notOk(again.created)
    t.equal(await store.read(ref), stored)
    t.equal(upstream.calls.length + store.calls('begin'), 0)
  })

  t.test('of the same token brings a connection back that needed a reconnect, as the same grant', async (t) => {
    const { upstream, importGrant, store, ref, refreshTokenOf } = await setUp({ status: 'reconnect_required' })
    const { connection: after, created } = await importGrant({ token: REFRESH_TOKEN })
    t.match(after, { status: 'active', details: { grantNumber: 1 } })
    t.notOk(created)
    t.equal(upstream.calls.length, 1)
    t.strictSame(await store.waitingGrants(ref), [])
    t.equal(await refreshTokenOf(ref), REFRESH_TOKEN)
  })

  t.test('of another token on an active connection supersedes the old grant, which waits for its revoke', async (t) => {
    const { importGrant, store, ref, read, refreshTokenOf, sealer, a } = await setUp({})
    const before = await read(ref)
    const { connection: after, created } = await importGrant()
    t.notOk(created)
    t.ok(after.epoch > before.epoch && after.generation > before.generation)
    t.equal(after.details.grantNumber, 2)
    t.equal(await refreshTokenOf(ref), NEW_TOKEN)
    const [waiting, ...more] = await store.waitingGrants(ref)
    t.strictSame(more, [])
    t.match(waiting, { number: 1, kind: 'superseded', dataCenter: 'eu' })
    const old = sealer.open(waiting?.sealedRefresh as Uint8Array, {
      purpose: 'refresh',
      ref,
      dataCenter: 'eu',
      grantNumber: 1
    })
    t.equal(old.reveal(), REFRESH_TOKEN, 'it still opens under its own number')
    t.equal((await a.broker.issue({ consumer: SERVICE, ref })).generation, after.generation)
  })

  t.test('of a token that waits for its revoke drops that entry: an equal token is never revoked', async (t) => {
    const { importGrant, store, ref, refreshTokenOf } = await setUp({})
    await importGrant()
    const { connection: third } = await importGrant({ token: REFRESH_TOKEN })
    t.equal(third.details.grantNumber, 3)
    t.equal(await refreshTokenOf(ref), REFRESH_TOKEN)
    t.strictSame(
      (await store.waitingGrants(ref)).map(({ number }) => number),
      [2]
    )
  })

  t.test('of a token whose revoke has begun is refused', async (t) => {
    const { importGrant, store, ref, read, sealer } = await setUp({})
    const seen = await read(ref)
    const bound = { purpose: 'refresh' as const, ref, dataCenter: 'eu', grantNumber: 7 }
    const sealedRefresh = sealer.seal(new Secret(NEW_TOKEN), bound)
    const entry = waitingGrant(7, { sealedRefresh, revoking: true })
    const next = { ...seen, revision: seen.revision + 1, writeId: '00112233aabbccdd' }
    await store.commit({ seen, next, grants: [{ number: 7, entry }], dueAt: undefined })
    await t.rejects(importGrant(), { code: 'ERR_GRANT_BEING_REVOKED' })
    t.equal((await read(ref)).writeId, next.writeId)
    t.equal(store.lease(ref), undefined)
  })

  t.test('of a token that was revoked while Zoho vouched for it is refused', async (t) => {
    const { importGrant, store, ref, read, sealer, upstream } = await setUp({})
    const seen = await read(ref)
    const bound = { purpose: 'refresh' as const, ref, dataCenter: 'eu', grantNumber: 7 }
    const entry = waitingGrant(7, { sealedRefresh: sealer.seal(new Secret(NEW_TOKEN), bound) })
    const waits = { ...seen, revision: seen.revision + 1, writeId: '00112233aabbccdd' }
    await store.commit({ seen, next: waits, grants: [{ number: 7, entry }], dueAt: undefined })
    const gate = upstream.hold()
    const imported = importGrant()
    await gate.arrived
    const revoked = { ...waits, revision: waits.revision + 1, writeId: '00112233aabbccee' }
    await store.commit({ seen: waits, next: revoked, grants: [{ number: 7, entry: undefined }], dueAt: undefined })
    gate.open()
    await t.rejects(imported, { code: 'ERR_GRANT_BEING_REVOKED' })
    t.equal((await read(ref)).writeId, revoked.writeId)
    t.equal(store.lease(ref), undefined)
  })

  t.test('brings a disconnected connection back without touching what waits', async (t) => {
    const { importGrant, store, ref } = await setUp({ status: 'disconnected', age: 'none' })
    const { connection: after, created } = await importGrant()
    t.match(after, { status: 'active', purge: false })
    t.notOk(created, 'the record was there')
    t.strictSame(await store.waitingGrants(ref), [])
  })

  t.test('keeps the token that Zoho gave in exchange, should it ever rotate', async (t) => {
    const { importGrant, upstream, ref, refreshTokenOf } = await setUp()
    upstream.replies(granted('a', { refreshToken: new Secret('1000.refresh.rotated') }))
    await importGrant()
    t.equal(await refreshTokenOf(ref), '1000.refresh.rotated')
  })
})

t.test('an import is refused', async (t) => {
  t.test('for another app than the connection’s, also on a tombstone', async (t) => {
    for (const status of ['active', 'disconnected'] as const) {
      const { importGrant, upstream, store } = await setUp({ status })
      await t.rejects(importGrant({ app: 'crm' }), { code: 'ERR_APP_MISMATCH' })
      t.equal(upstream.calls.length + store.calls('begin'), 0)
    }
  })

  t.test('for an app or data center that is not configured', async (t) => {
    const { importGrant, upstream } = await setUp()
    await t.rejects(importGrant({ app: 'nope' }), { code: 'ERR_APP_UNKNOWN' })
    await t.rejects(importGrant({ dataCenter: 'in' }), { code: 'ERR_WRONG_DATA_CENTER' })
    t.equal(upstream.calls.length, 0)
  })

  t.test('by the policy first, and alike whether the connection is there or not', async (t) => {
    for (const options of [undefined, {}]) {
      const { importGrant, upstream } = await setUp(options)
      const hidden = consumer(['connect'], { tenants: ['elsewhere'] })
      await t.rejects(importGrant({ who: hidden, app: 'nope' }), { code: 'ERR_CONNECTION_NOT_FOUND' })
      await t.rejects(importGrant({ who: SERVICE, app: 'nope' }), { code: 'ERR_FORBIDDEN' })
      t.equal(upstream.calls.length, 0)
    }
  })

  for (const [what, reply, code, charges] of [
    ['that Zoho does not know', REFUSED, 'ERR_GRANT_REFUSED', 0],
    ['of another data center', OURS, 'ERR_WRONG_DATA_CENTER', 0],
    ['while the client secret is wrong', BAD_SECRET, 'ERR_GRANT_REFUSED', 0],
    ['while Zoho throttles', THROTTLED, 'ERR_UPSTREAM_UNAVAILABLE', 1],
    ['that Zoho did not answer for', TIMEOUT, 'ERR_UPSTREAM_UNAVAILABLE', 1],
    ['that was never sent', UNSENT, 'ERR_UPSTREAM_UNAVAILABLE', 0],
    ['with too few scopes', granted('a', { scopes: [] }), 'ERR_SCOPES_MISSING', 1]
  ] as const) {
    t.test(`for a token ${what}; nothing is stored, and ${charges} calls are charged`, async (t) => {
      for (const options of [undefined, {}]) {
        const { importGrant, upstream, store, ref } = await setUp(options)
        const before = await store.read(ref)
        const commits = store.calls('commit')
        upstream.replies(reply)
        const error: BrokerError = await importGrant().then(
          () => t.fail('it was stored'),
          (error) => error
        )
        t.equal(error.code, code)
        t.equal((error.retryAfterMs ?? 0) > 0, code === 'ERR_UPSTREAM_UNAVAILABLE')
        t.notMatch(`${error.message} ${error.stack}`, NEW_TOKEN)
        t.equal(await store.read(ref), before)
        t.equal(store.calls('commit'), commits)
        t.equal(store.lease(ref), undefined)
        t.equal(store.budget(ref).length, charges)
      }
    })
  }

  t.test('when the admin’s share is used up, until it is free again', async (t) => {
    const { importGrant, upstream, skip } = await setUp({}, { shares: { anyone: 3, rejected: 1, admin: 1 } })
    upstream.replies(REFUSED)
    await t.rejects(importGrant({ token: 'mistyped' }), { code: 'ERR_GRANT_REFUSED' })
    await importGrant()
    const error: BrokerError = await importGrant({ token: 'third' }).then(
      () => t.fail('it was stored'),
      (error) => error
    )
    t.match(error, { code: 'ERR_REFRESH_BUDGET' })
    t.ok((error.retryAfterMs ?? 0) > 9 * MINUTE)
    t.equal(upstream.calls.length, 2)
    skip(10 * MINUTE)
    t.equal((await importGrant({ token: 'third' })).connection.details.grantNumber, 3)
  })
})

t.test('an import beside others', async (t) => {
  t.test('twice at once in two processes asks Zoho once', async (t) => {
    const { importGrant, a, b, upstream, store, ref } = await setUp()
    const gate = upstream.hold()
    const first = importGrant({ process: a })
    await gate.arrived
    const second = importGrant({ process: b })
    await eventually(() => store.waiting(ref) === 1)
    gate.open()
    t.ok((await first).created)
    const { created, connection: same } = await second
    t.notOk(created)
    t.equal(same.writeId, (await first).connection.writeId)
    t.equal(upstream.calls.length, 1)
  })

  t.test('waits for the refresh of another process, then goes on from its result', async (t) => {
    const { importGrant, a, b, upstream, store, ref } = await setUp({ age: 2 * HOUR })
    const gate = upstream.hold()
    const issuing = b.broker.issue({ consumer: SERVICE, ref })
    await gate.arrived
    const importing = importGrant()
    await eventually(() => store.waiting(ref) === 1)
    gate.open(granted('of the old grant'))
    const { generation } = await issuing
    const { connection: after } = await importing
    t.ok(after.generation > generation)
    t.equal(a.count('write.refused') + b.count('write.refused'), 0)
  })

  t.test('keeps a flag that was set meanwhile', async (t) => {
    const { importGrant, upstream, ref, read, meanwhile } = await setUp({})
    const gate = upstream.hold()
    const running = importGrant()
    await gate.arrived
    await meanwhile(ref, { quarantined: true })
    gate.open()
    t.ok((await running).connection.quarantined)
    t.match(await read(ref), { quarantined: true, details: { grantNumber: 2 } })
  })

  t.test('that loses to a reconnect changes nothing, says so and frees its lease', async (t) => {
    const { importGrant, upstream, a, ref, read, reconnect, store } = await setUp({})
    const gate = upstream.hold()
    const running = importGrant()
    await gate.arrived
    const { writeId } = await reconnect(ref)
    gate.open()
    await t.rejects(running, { code: 'ERR_BUSY', retryAfterMs: 1000 })
    t.equal((await read(ref)).writeId, writeId)
    t.equal(a.count('write.refused'), 1)
    t.equal(store.lease(ref), undefined)
    t.equal((await importGrant()).connection.details.grantNumber, 3, 'and may be repeated')
  })

  t.test('that loses to a first write of somebody else changes nothing', async (t) => {
    const { importGrant, upstream, store, ref } = await setUp()
    const gate = upstream.hold()
    const running = importGrant()
    await gate.arrived
    const { access: _access, sealedRefresh: _refresh, ...pending } = connection(ref, { status: 'pending' })
    await store.commit({ seen: undefined, next: pending, dueAt: undefined })
    gate.open()
    await t.rejects(running, { code: 'ERR_BUSY' })
    t.match(await store.read(ref), { status: 'pending', writeId: pending.writeId })
    t.match((await importGrant()).connection, { status: 'active' }, 'the repeat goes on from there')
  })

  t.test('that takes too long is answered, goes on and is stored', async (t) => {
    const { importGrant, upstream, a, store, ref } = await setUp(undefined, { callerDeadlineMs: 30 })
    const gate = upstream.hold()
    const error: BrokerError = await importGrant().then(
      () => t.fail('it was stored'),
      (error) => error
    )
    t.match(error, { code: 'ERR_BUSY', retryAfterMs: 1000 })
    t.equal(a.shield.size(), 1, 'a shutdown would wait for it')
    gate.open()
    await a.shield.idle()
    t.match(await store.read(ref), { status: 'active' })
  })
})

t.test('a store that stumbles during an import', async (t) => {
  for (const [what, options] of [
    ['a new connection', undefined],
    ['an existing one', {}]
  ] as const) {
    t.test(`after the verification of ${what} is tried again until it is stored`, async (t) => {
      const { importGrant, upstream, store, a, ref, refreshTokenOf } = await setUp(options)
      const gate = upstream.hold()
      const running = importGrant()
      await gate.arrived
      store.away = true
      gate.open()
      await eventually(() => a.count('store.retried') >= 2)
      store.away = false
      const { connection: stored } = await running
      t.match(await store.read(ref), { writeId: stored.writeId, status: 'active' })
      t.equal(await refreshTokenOf(ref), NEW_TOKEN)
      t.equal((await store.waitingGrants(ref)).length, options ? 1 : 0)
      t.equal(upstream.calls.length, 1)
      t.equal(store.lease(ref), undefined)
    })
  }

  t.test('and loses only the answer: written once', async (t) => {
    const { importGrant, store, ref, a } = await setUp({})
    store.next('commit', 'lose_reply')
    const { connection: stored } = await importGrant()
    t.match(await store.read(ref), { writeId: stored.writeId, revision: 2 })
    t.equal(store.events(ref).filter(({ type }) => type === 'connection.imported').length, 1)
    t.equal(a.count('write.refused'), 0)
  })

  t.test('while a flag is set in between: the retry builds on the newer record', async (t) => {
    const { importGrant, upstream, store, ref, read, meanwhile } = await setUp({})
    const gate = upstream.hold()
    const running = importGrant()
    await gate.arrived
    await meanwhile(ref, { quarantined: true })
    // The first try learns of the flag, then cannot read the waiting grants.
    store.next('waitingGrants', { delay: Promise.resolve() })
    store.next('waitingGrants', 'fail')
    gate.open()
    t.ok((await running).connection.quarantined)
    t.match(await read(ref), { quarantined: true, revision: 3, details: { grantNumber: 2 } })
  })

  t.test('for good is an error that can be repeated, and the call stays paid', async (t) => {
    const { importGrant, upstream, store, a, ref } = await setUp(undefined, { storeRetryMs: 20 })
    const gate = upstream.hold()
    const running = importGrant()
    await gate.arrived
    store.away = true
    gate.open()
    await t.rejects(running, { code: 'ERR_STORE_UNAVAILABLE' })
    t.equal(a.count('store.gave_up'), 1)
    store.away = false
    t.equal(await store.read(ref), undefined)
    t.equal(store.budget(ref).length, 1)
  })

  t.test('before the call means no call', async (t) => {
    const { importGrant, upstream, store, skip } = await setUp()
    for (const method of ['read', 'begin'] as const) {
      store.next(method, 'fail')
      await t.rejects(importGrant(), { code: 'ERR_STORE_UNAVAILABLE' })
    }
    t.equal(upstream.calls.length, 0)
    skip(SECOND)
    t.ok((await importGrant()).created)
  })
})
