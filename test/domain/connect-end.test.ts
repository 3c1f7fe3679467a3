import t from 'tap'
import type { RevokeReply } from '../../src/domain/connect-ports.ts'
import { BrokerError } from '../../src/domain/errors.ts'
import type { AuditEvent } from '../../src/domain/ports.ts'
import { Secret } from '../../src/domain/secret.ts'
import { freshRef, waitingGrant } from '../helpers/connections.ts'
import { type ConnectWorld, createConnectWorld, DAY, OPS } from './connect-harness.ts'
import { BAD_SECRET, HOUR, MINUTE, REFRESH_TOKEN, SECOND, SERVICE, THROTTLED, TIMEOUT } from './harness.ts'

type Ref = ReturnType<typeof freshRef>

const CONFIRM = { confirm: true, userRef: 'anna' }
const FIRST = '1000.refresh.c1'
const DOWN: RevokeReply = { kind: 'failed', code: 'timeout', sent: true }
const SLOW_DOWN: RevokeReply = { kind: 'refused', fault: 'throttled', code: 'throttled' }

const disconnect = ({ main }: ConnectWorld, ref: Ref, purge = false) =>
  main.admin.disconnect({ consumer: OPS, ref, purge })
const issue = ({ main }: ConnectWorld, ref: Ref) => main.broker.issue({ consumer: SERVICE, ref })
const last = ({ store }: ConnectWorld, ref: Ref): AuditEvent | undefined => store.events(ref).at(-1)
const dueOf = async (world: ConnectWorld, ref: Ref) => (await world.whole(ref)).waiting.map(({ due }) => due)

/** A connection whose only grant waits for its revoke. */
async function disconnecting(options: Parameters<typeof createConnectWorld>[0] = {}) {
  const world = createConnectWorld(options)
  const { ref } = await world.connect()
  world.zoho.live.add(REFRESH_TOKEN)
  await disconnect(world, ref)
  world.main.kicked.length = 0
  return { world, ref }
}

t.test('disconnect', async (t) => {
  t.test('nothing is issued from that moment on, then the grant is revoked, then its tokens go', async (t) => {
    const world = createConnectWorld()
    const { ref, epoch } = await world.connect()
    const connection = await disconnect(world, ref)
    t.match(connection, { status: 'disconnecting', access: undefined, sealedRefresh: undefined })
    t.ok(connection.epoch > epoch)
    await t.rejects(issue(world, ref), { code: 'ERR_DISCONNECTED' })
    t.match(await world.grants(ref), { waiting: [{ number: 1, kind: 'superseded', reason: 'disconnected' }] })
    t.strictSame(world.main.kicked, [ref])
    await world.sweep()
    t.strictSame(world.zoho.revoked, [REFRESH_TOKEN])
    t.match(await world.read(ref), { status: 'disconnected', sealedRefresh: undefined })
    t.strictSame(world.store.grantEntries(ref), {})
    t.strictSame(world.types(ref), ['connection.disconnect_requested', 'grant.revoked', 'connection.disconnected'])
    t.strictSame(
      world.store.events(ref).map(({ actor }) => actor),
      [OPS.name, 'revoke-worker', 'revoke-worker']
    )
  })

  t.test('one that needed a reconnect, was quarantined or had failed ends in the same way', async (t) => {
    const failure = { code: 'grant_refused', count: 2, since: 1, at: 1, nextTryAt: 9e12 } as const
    const quarantine = { since: 1, by: 'ops', reason: 'odd' }
    const cases = [
      { status: 'reconnect_required', details: { failure } },
      { quarantined: true, details: { quarantine } }
    ] as const
    for (const options of cases) {
      const world = createConnectWorld()
      const { ref } = await world.connect(freshRef(), options)
      const { details, quarantined } = await disconnect(world, ref)
      t.notOk(quarantined || details.failure || details.quarantine)
      await world.sweep()
      t.equal(await world.status(ref), 'disconnected')
      t.strictSame(world.zoho.revoked, [REFRESH_TOKEN])
    }
  })

  t.test('a pending one is over at once; a candidate of it is revoked first', async (t) => {
    const world = createConnectWorld()
    const { ref, token } = await world.pending()
    t.equal((await disconnect(world, ref)).status, 'disconnected')
    t.strictSame(world.types(ref).slice(1), ['connection.disconnect_requested', 'connection.disconnected'])
    t.strictSame(await world.main.pages.look(token), { refused: 'link_revoked' })
    const { ref: other } = await world.consent(freshRef(), CONFIRM)
    t.equal((await disconnect(world, other)).status, 'disconnecting')
    await world.sweep()
    t.strictSame(world.zoho.revoked, [FIRST])
    t.equal(await world.status(other), 'disconnected')
    t.match(world.store.events(other).at(-2), { type: 'grant.revoked', data: { reason: 'disconnected' } })
  })

  t.test('it ends links, flows and candidates, and hurries what waits for its expiry', async (t) => {
    const world = createConnectWorld()
    const { ref } = await world.connect()
    await world.consent(ref)
    const { flowId } = await world.consent(ref, CONFIRM)
    const { token } = await world.link(ref)
    const state = await world.press(token)
    await disconnect(world, ref)
    t.match(await world.flowOf(ref, flowId), { status: 'failed', result: 'flow_ended' })
    t.match(await world.comeBack(state), { result: 'flow_ended' })
    const confirm = world.main.admin.confirm({ consumer: OPS, ref, flowId, userRef: 'anna' })
    await t.rejects(confirm, { code: 'ERR_FLOW_EXPIRED' })
    await world.sweep()
    t.strictSame([...world.zoho.revoked].sort(), [FIRST, '1000.refresh.c2', REFRESH_TOKEN].sort())
    t.equal(await world.status(ref), 'disconnected')
  })

  t.test('it names the grant that Zoho may be giving at that moment', async (t) => {
    const world = createConnectWorld()
    const { ref } = await world.connect()
    const { token } = await world.link(ref)
    const gate = world.zoho.holdExchange()
    const back = world.comeBack(await world.press(token))
    await gate.arrived
    await disconnect(world, ref)
    t.match(last(world, ref), { type: 'connect_flow.failed', data: { possible_orphan: true } })
    gate.open()
    t.match(await back, { result: 'flow_ended' })
    t.ok(world.zoho.revoked.includes(FIRST))
  })

  t.test('again it changes nothing: no write, no event, no second revoke', async (t) => {
    const { world, ref } = await disconnecting()
    for (const status of ['disconnecting', 'disconnected'] as const) {
      const before = [await world.read(ref), world.types(ref).length]
      t.equal((await disconnect(world, ref)).status, status)
      t.strictSame([await world.read(ref), world.types(ref).length], before)
      await world.sweep()
    }
    t.strictSame(world.zoho.revoked, [REFRESH_TOKEN])
  })

  t.test('again it ends what was begun since', async (t) => {
    const world = createConnectWorld()
    const { ref } = await world.connect()
    await disconnect(world, ref)
    await world.sweep()
    const { token } = await world.link(ref)
    const state = await world.press(token)
    t.equal((await disconnect(world, ref)).status, 'disconnected')
    t.match(await world.comeBack(state), { result: 'flow_ended' })
    t.strictSame(await world.main.pages.look(token), { refused: 'link_revoked' })
    t.equal(world.types(ref).filter((type) => type === 'connection.disconnected').length, 1)
    await world.consent(ref, CONFIRM)
    t.equal((await disconnect(world, ref)).status, 'disconnecting')
    await world.sweep()
    t.equal(await world.status(ref), 'disconnected')
    t.strictSame(world.zoho.revoked, [REFRESH_TOKEN, FIRST])
  })

  t.test(
    'again it neither doubles a revoke that is under way nor shortens the pause that Zoho asked for',
    async (t) => {
      const { world, ref } = await disconnecting()
      const gate = world.zoho.holdRevoke()
      const worker = world.main.revokeDue(ref)
      await gate.arrived
      await disconnect(world, ref, true)
      await world.connectProcess().revokeDue(ref)
      t.equal(world.zoho.revoked.length, 1)
      gate.open(SLOW_DOWN)
      await worker
      const due = await dueOf(world, ref)
      await world.link(ref)
      await disconnect(world, ref, true)
      t.strictSame(await dueOf(world, ref), due)
    }
  )

  t.test('with purge the tombstone goes once all is revoked, not before', async (t) => {
    for (const when of ['at once', 'while disconnecting', 'afterwards'] as const) {
      const world = createConnectWorld()
      const { ref } = await world.connect()
      world.zoho.revokes(DOWN)
      await disconnect(world, ref, when === 'at once')
      if (when === 'while disconnecting') await disconnect(world, ref, true)
      await world.sweep()
      t.equal(await world.status(ref), 'disconnecting', when)
      world.skip(MINUTE)
      await world.sweep()
      if (when === 'afterwards') {
        t.equal(await world.status(ref), 'disconnected')
        await disconnect(world, ref, true)
        await disconnect(world, ref, true)
        t.equal(world.types(ref).filter((type) => type === 'connection.disconnected').length, 1)
        await world.sweep()
      }
      t.equal(await world.store.read(ref), undefined, when)
      t.equal(world.store.dueAt(ref), undefined)
      t.ok(world.types(ref).includes('grant.revoked'))
    }
  })

  t.test('a link that was made after a purge was asked for still finds its connection', async (t) => {
    const { world, ref } = await disconnecting()
    await disconnect(world, ref, true)
    const { token, link } = await world.link(ref)
    await world.sweep()
    t.equal(await world.status(ref), 'disconnected')
    t.equal(world.store.dueAt(ref), link.expiresAt, 'looked at again when the link ends, not all the time')
    t.match(await world.comeBack(await world.press(token)), { result: 'connected' })
    t.match(await world.read(ref), { status: 'active', purge: false })
    const other = await disconnecting()
    await disconnect(other.world, other.ref, true)
    await other.world.link(other.ref)
    await other.world.sweep()
    other.world.skip(11 * MINUTE)
    await other.world.sweep()
    t.equal(await other.world.store.read(other.ref), undefined, 'unused, it does not keep the tombstone')
  })

  t.test('a write that did not come through is an error, not a disconnect', async (t) => {
    const world = createConnectWorld()
    const { ref } = await world.connect()
    world.store.next('commit', 'fail')
    await t.rejects(disconnect(world, ref), { code: 'ERR_STORE_UNAVAILABLE' })
    t.equal(await world.status(ref), 'active')
    world.store.next('commit', 'lose_reply')
    await t.rejects(disconnect(world, ref), { code: 'ERR_STORE_UNAVAILABLE' })
    t.equal((await disconnect(world, ref)).status, 'disconnecting')
    t.equal(world.types(ref).filter((type) => type === 'connection.disconnect_requested').length, 1)
  })
})

t.test('quarantine', async (t) => {
  const on = ({ main }: ConnectWorld, ref: Ref) => main.admin.quarantine({ consumer: OPS, ref, reason: 'odd calls' })
  const off = ({ main }: ConnectWorld, ref: Ref) => main.admin.liftQuarantine({ consumer: OPS, ref })

  t.test('hand-outs stop and go on, the grant is kept, and both are on the record once', async (t) => {
    const world = createConnectWorld()
    const { ref } = await world.connect(freshRef(), { age: 50 * MINUTE })
    const { details } = await on(world, ref)
    t.match(details.quarantine, { by: OPS.name, reason: 'odd calls' })
    await on(world, ref)
    await t.rejects(issue(world, ref), { code: 'ERR_QUARANTINED' })
    t.equal(world.store.dueAt(ref), undefined)
    await world.main.attend(ref)
    t.equal(world.upstream.calls.length, 0, 'nothing is refreshed ahead')
    const lifted = await off(world, ref)
    t.equal(lifted.details.quarantine, undefined)
    await off(world, ref)
    t.ok((world.store.dueAt(ref) ?? Number.POSITIVE_INFINITY) <= world.clock.now(), 'due now')
    await world.sweep()
    t.equal(world.upstream.calls.length, 1)
    t.equal((await issue(world, ref)).accessToken.reveal(), 'access-1')
    t.strictSame(world.types(ref), ['connection.quarantined', 'connection.quarantine_lifted'])
  })

  t.test('it stays over a reconnect, and what is not connected has none', async (t) => {
    const world = createConnectWorld()
    const { ref } = await world.pending()
    await t.rejects(on(world, ref), { code: 'ERR_NOT_CONNECTED' })
    await t.rejects(off(world, ref), { code: 'ERR_NOT_CONNECTED' })
    await world.consent(ref)
    await on(world, ref)
    await world.consent(ref)
    t.match(await world.read(ref), { status: 'active', quarantined: true })
    await disconnect(world, ref)
    await t.rejects(on(world, ref), { code: 'ERR_DISCONNECTED' })
    await world.sweep()
    await t.rejects(off(world, ref), { code: 'ERR_DISCONNECTED' })
  })
})

t.test('the revoke worker', async (t) => {
  t.test('marks a grant before it asks Zoho, so that two workers make one call', async (t) => {
    const { world, ref } = await disconnecting()
    const gate = world.zoho.holdRevoke()
    const workers = [world.main, world.connectProcess()].map(({ revokeDue }) => revokeDue(ref))
    await gate.arrived
    const [entry] = (await world.whole(ref)).waiting
    t.equal(entry?.revoking, true)
    t.ok((entry?.due ?? 0) > world.clock.now())
    gate.open({ kind: 'revoked' })
    await Promise.all(workers)
    t.equal(world.zoho.revoked.length, 1)
    t.equal(await world.status(ref), 'disconnected')
  })

  t.test('a token that Zoho does not know any more is as good as revoked', async (t) => {
    const { world, ref } = await disconnecting()
    world.zoho.revokes({ kind: 'gone' })
    await world.sweep()
    t.equal(await world.status(ref), 'disconnected')
    t.match(world.store.events(ref).at(-2), { type: 'grant.revoked', data: { grant: 1, outcome: 'gone' } })
    t.match(world.main.events.at(-1), { type: 'revoke.ended', outcome: 'gone' })
  })

  t.test('what is not due, and candidates, it leaves alone', async (t) => {
    const world = createConnectWorld()
    const { ref } = await world.connect()
    await world.consent(ref)
    await world.consent(ref, CONFIRM)
    await world.main.revokeDue(ref)
    t.strictSame(world.zoho.revoked, [])
  })

  t.test(
    'failures are tried again, further and further apart, until the time is over; then the tokens go',
    async (t) => {
      const { world, ref } = await disconnecting()
      const pauses: number[] = []
      const started = world.clock.now()
      while ((await world.status(ref)) === 'disconnecting') {
        world.zoho.revokes(DOWN)
        await world.main.revokeDue(ref)
        const [due] = await dueOf(world, ref)
        if (due === undefined) break
        t.equal(world.store.dueAt(ref), due, 'the due index leads there')
        const pause = due - world.clock.now()
        pauses.push(pause)
        world.skip(pause)
      }
      t.ok(world.clock.now() - started >= DAY)
      t.ok(world.clock.now() - started < DAY + HOUR)
      t.ok((pauses[1] ?? 0) > (pauses[0] ?? 0) && Math.max(...pauses) <= 5 * MINUTE)
      t.equal(await world.status(ref), 'disconnected')
      t.strictSame(world.store.grantEntries(ref), {})
      t.match(world.store.events(ref).at(-2), {
        type: 'grant.revoke_given_up',
        data: { grant: 1, code: 'timeout', tries: world.zoho.revoked.length }
      })
    }
  )

  t.test('a throttle is waited out', async (t) => {
    const { world, ref } = await disconnecting()
    world.zoho.revokes(SLOW_DOWN)
    const before = world.clock.now()
    await world.main.revokeDue(ref)
    const [due = 0] = await dueOf(world, ref)
    t.ok(due >= before + 10 * MINUTE)
  })

  t.test('a worker that dies after the mark, or after the call, is followed by another', async (t) => {
    for (const fault of ['fail', 'lose_reply'] as const) {
      const { world, ref } = await disconnecting()
      const gate = world.zoho.holdRevoke()
      const died = world.main.revokeDue(ref)
      await gate.arrived
      world.store.next('commit', fault)
      world.zoho.live.delete(REFRESH_TOKEN)
      gate.open({ kind: 'revoked' })
      await t.rejects(died, { code: 'ERR_STORE_UNAVAILABLE' })
      await world.main.revokeDue(ref)
      t.equal(world.zoho.revoked.length, 1, 'not at once')
      world.skip(31 * SECOND)
      await world.sweep()
      t.equal(await world.status(ref), 'disconnected', fault)
      t.equal(world.types(ref).filter((type) => type === 'grant.revoked').length, 1)
    }
  })

  t.test('a connection is disconnected only when the last of its grants is settled', async (t) => {
    const world = createConnectWorld()
    const { ref } = await world.connect()
    await world.consent(ref)
    await disconnect(world, ref)
    world.zoho.revokes({ kind: 'revoked' }, DOWN)
    await world.main.revokeDue(ref)
    t.equal(await world.status(ref), 'disconnecting')
    t.equal((await world.whole(ref)).waiting.length, 1)
    world.skip(MINUTE)
    await world.sweep()
    t.equal(await world.status(ref), 'disconnected')
    t.equal(world.types(ref).filter((type) => type === 'connection.disconnected').length, 1)
  })

  t.test('an app that is not configured any more is a failure like others, given up in time', async (t) => {
    const { world, ref } = await disconnecting({ settings: { revokeGiveUpMs: MINUTE } })
    for (let i = 0; i < 2; i++) {
      world.zoho.revokes(new BrokerError('ERR_APP_UNKNOWN', 'not configured'))
      await world.main.revokeDue(ref)
      t.equal((await world.whole(ref)).waiting[0]?.tries, i === 0 ? 1 : undefined)
      world.skip(2 * MINUTE)
    }
    t.match(world.store.events(ref).at(-2), { type: 'grant.revoke_given_up', data: { code: 'ERR_APP_UNKNOWN' } })
  })

  t.test('a token that cannot be opened stops no other, raises an alarm and is never deleted', async (t) => {
    const world = createConnectWorld({ settings: { revokeGiveUpMs: MINUTE } })
    const { ref } = await world.connect()
    const entry = waitingGrant(7, { due: 0, sealedRefresh: Buffer.from('sealed under a lost key') })
    await world.main.update(ref, ({ connection }) => {
      if (!connection) return undefined
      const next = { ...connection, revision: connection.revision + 1, writeId: '0f'.repeat(8) }
      return {
        next: { ...next, details: { ...next.details, grantNumber: 9 } },
        grants: [{ number: 7, entry }],
        events: []
      }
    })
    const { connection } = await world.whole(ref)
    await world.main.update(ref, () => {
      if (!connection) return undefined
      const sealedRefresh = world.sealer.seal(new Secret('1000.other'), {
        purpose: 'refresh',
        ref,
        dataCenter: 'eu',
        grantNumber: 8
      })
      const next = { ...connection, revision: connection.revision + 1, writeId: '1f'.repeat(8) }
      return { next, grants: [{ number: 8, entry: waitingGrant(8, { due: 0, sealedRefresh }) }], events: [] }
    })
    await world.main.revokeDue(ref)
    t.strictSame(world.zoho.revoked, ['1000.other'])
    t.equal(world.main.count('sealed.unreadable'), 1)
    for (let i = 0; i < 3; i++) {
      world.skip(HOUR)
      await world.main.revokeDue(ref)
    }
    t.match((await world.whole(ref)).waiting, [{ number: 7, tries: 4 }])
    t.notOk(world.types(ref).includes('grant.revoke_given_up'))
  })
})

t.test('the look at a connection that is due', async (t) => {
  t.test('a flow that nobody finished ends without noise; one that was being exchanged is named', async (t) => {
    const world = createConnectWorld()
    const { ref, token } = await world.pending()
    await world.press(token)
    const open = await world.flowOf(ref)
    t.ok((world.store.dueAt(ref) ?? Number.POSITIVE_INFINITY) <= open.deadline, 'never late')
    world.skip(10 * MINUTE)
    const events = world.types(ref).length
    await world.sweep()
    t.match(await world.flowOf(ref), { status: 'failed', result: 'flow_ended' })
    t.equal(world.types(ref).length, events)
    const { token: next } = await world.link(ref)
    const gate = world.zoho.holdExchange()
    const back = world.comeBack(await world.press(next))
    await gate.arrived
    world.skip(MINUTE)
    await world.sweep()
    t.match(await world.flowOf(ref), { status: 'failed', result: 'exchange_outcome_unknown' })
    t.match(last(world, ref), { type: 'connect_flow.failed', data: { possible_orphan: true } })
    gate.open()
    t.match(await back, { result: 'exchange_outcome_unknown' }, 'whoever wakes later stores nothing')
    t.strictSame(world.zoho.revoked, [FIRST])
  })

  t.test('a candidate ends with its time', async (t) => {
    const world = createConnectWorld()
    const { ref } = await world.consent(freshRef(), CONFIRM)
    world.skip(10 * MINUTE - SECOND)
    await world.sweep()
    t.match(await world.grants(ref), { waiting: [{ kind: 'candidate' }] })
    world.skip(2 * SECOND)
    await world.sweep()
    t.strictSame(world.zoho.revoked, [FIRST])
    t.match(world.store.events(ref).slice(-2), [
      { type: 'connect_flow.failed', data: { result: 'confirmation_expired', possible_orphan: false } },
      { type: 'grant.revoked', data: { reason: 'confirmation_expired' } }
    ])
  })

  t.test('ended links and flows are kept for a day', async (t) => {
    const world = createConnectWorld()
    const { ref } = await world.consent(freshRef())
    world.skip(DAY - MINUTE)
    await world.sweep()
    t.equal((await world.whole(ref)).items.flows.length, 1)
    world.skip(2 * MINUTE)
    await world.sweep()
    t.equal((await world.whole(ref)).items.flows.length, 0)
    world.skip(10 * MINUTE)
    await world.sweep()
    t.strictSame((await world.whole(ref)).items, { links: [], flows: [] })
    t.equal(await world.status(ref), 'active')
  })

  t.test('a pending connection goes after 7 days, unless a link may still be used', async (t) => {
    const world = createConnectWorld()
    const { ref } = await world.pending()
    world.skip(7 * DAY - MINUTE)
    await world.sweep()
    t.equal(await world.status(ref), 'pending')
    world.skip(2 * MINUTE)
    await world.sweep()
    t.equal(await world.store.read(ref), undefined)
    t.equal(world.store.dueAt(ref), undefined)
    const { ref: long, link } = await world.pending({ expiresInMs: 8 * DAY })
    world.skip(7 * DAY + MINUTE)
    await world.sweep()
    t.equal(await world.status(long), 'pending')
    t.equal(world.store.dueAt(long), link.expiresAt)
    world.skip(DAY)
    await world.sweep()
    t.equal(await world.store.read(long), undefined)
  })

  t.test('a pending connection whose person is at Zoho, or whose candidate waits, does not go', async (t) => {
    const world = createConnectWorld({ settings: { stateLifeMs: 9 * DAY, confirmLifeMs: 9 * DAY } })
    const { ref: open, token } = await world.pending()
    await world.press(token)
    const { ref: candidate } = await world.consent(freshRef(), CONFIRM)
    world.skip(7 * DAY + HOUR)
    await world.sweep()
    t.equal(await world.status(open), 'pending')
    t.equal(await world.status(candidate), 'pending')
    for (const ref of [open, candidate])
      t.ok((world.store.dueAt(ref) ?? 0) > world.clock.now(), 'nor is it due again and again')
    world.skip(3 * DAY)
    await world.sweep()
    t.equal(await world.store.read(open), undefined)
    t.equal(await world.store.read(candidate), undefined)
    t.strictSame(world.zoho.revoked, [FIRST])
  })

  t.test('a tombstone stays for 90 days', async (t) => {
    const { world, ref } = await disconnecting()
    await world.sweep()
    world.skip(90 * DAY - HOUR)
    await world.sweep()
    t.equal(await world.status(ref), 'disconnected')
    world.skip(2 * HOUR)
    await world.sweep()
    t.equal(await world.store.read(ref), undefined)
  })

  t.test('a removal that loses against somebody else removes nothing', async (t) => {
    const { world, ref } = await disconnecting()
    await disconnect(world, ref, true)
    await world.main.revokeDue(ref)
    const written = Promise.withResolvers<void>()
    world.store.next('remove', { delay: written.promise })
    const look = world.main.attend(ref)
    while (world.store.calls('remove') === 0) await new Promise(setImmediate)
    await world.link(ref)
    written.resolve()
    await look
    t.equal(await world.status(ref), 'disconnected')
    t.ok(world.store.dueAt(ref) !== undefined)
  })

  t.test('a token is refreshed ahead when it is due, and not before', async (t) => {
    const world = createConnectWorld()
    const { ref, generation } = await world.connect()
    world.skip(38 * MINUTE)
    await world.main.attend(ref)
    t.equal(world.upstream.calls.length, 0)
    world.skip(11 * MINUTE)
    await world.main.attend(ref)
    t.equal(world.upstream.calls.length, 1)
    t.ok((await world.read(ref)).generation > generation)
    t.ok((world.store.dueAt(ref) ?? 0) > world.clock.now() + 30 * MINUTE)
    await world.sweep()
    t.equal(world.upstream.calls.length, 1)
  })

  t.test('a refresh that failed is not tried again before its time', async (t) => {
    for (const reply of [TIMEOUT, THROTTLED, BAD_SECRET]) {
      const world = createConnectWorld()
      const { ref } = await world.connect(freshRef(), { age: 55 * MINUTE })
      world.upstream.replies(reply)
      await world.main.attend(ref)
      const { nextTryAt = 0 } = (await world.read(ref)).details.failure ?? {}
      // The clock goes on while the time to wait is reckoned.
      const isNextTry = () => Math.abs((world.store.dueAt(ref) ?? 0) - nextTryAt) < SECOND
      t.ok(isNextTry())
      await world.main.attend(ref)
      await world.sweep()
      t.equal(world.upstream.calls.length, 1)
      t.ok(isNextTry())
    }
  })

  t.test('a refresh that is stopped for another reason is not asked for all the time', async (t) => {
    const world = createConnectWorld()
    const { ref } = await world.connect(freshRef(), { age: 55 * MINUTE })
    const stranger = world.connectProcess({ apps: [] })
    await stranger.attend(ref)
    t.ok((world.store.dueAt(ref) ?? 0) >= world.clock.now() + 9 * SECOND)
    t.equal(world.upstream.calls.length, 0)
  })

  t.test('a stopped refresh does not delay what waits beside it', async (t) => {
    const world = createConnectWorld()
    const { ref } = await world.connect(freshRef(), { age: 55 * MINUTE })
    const { token } = await world.link(ref)
    world.upstream.replies(THROTTLED)
    await world.press(token)
    const { deadline } = await world.flowOf(ref)
    await world.main.attend(ref)
    t.ok((world.store.dueAt(ref) ?? Number.POSITIVE_INFINITY) <= deadline)
  })

  t.test('a connection that changes while it is looked at is looked at again soon', async (t) => {
    const world = createConnectWorld()
    const { ref } = await world.connect()
    const changed = Promise.withResolvers<void>()
    world.store.next('settle', { delay: changed.promise })
    const look = world.main.attend(ref)
    while (world.store.calls('settle') === 0) await new Promise(setImmediate)
    await world.meanwhile(ref, {})
    changed.resolve()
    await look
    t.ok((world.store.dueAt(ref) ?? Number.POSITIVE_INFINITY) <= world.clock.now() + 30 * SECOND)
  })

  t.test('what is not there any more is forgotten', async (t) => {
    const world = createConnectWorld()
    const ref = freshRef()
    await world.main.attend(ref)
    t.equal(world.store.dueAt(ref), undefined)
  })
})
