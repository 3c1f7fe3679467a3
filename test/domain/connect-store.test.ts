import t, { type Test } from 'tap'
import type { ConnectResult } from '../../src/domain/connect-link.ts'
import { BrokerError } from '../../src/domain/errors.ts'
import type { UpstreamReply } from '../../src/domain/ports.ts'
import { Secret } from '../../src/domain/secret.ts'
import { freshRef, waitingGrant } from '../helpers/connections.ts'
import type { MemoryStore } from '../helpers/memory-store.ts'
import { type ConnectSettings, type ConnectWorld, createConnectWorld, gives, OPS } from './connect-harness.ts'
import {
  BAD_SECRET,
  DESK,
  granted,
  HOUR,
  MINUTE,
  OURS,
  REFRESH_TOKEN,
  REFUSED,
  SECOND,
  SERVICE,
  THROTTLED,
  TIMEOUT,
  UNSENT
} from './harness.ts'

const FIRST = '1000.refresh.c1'

/** A person whose exchange is being answered; `answer` lets Zoho's reply through and gives how the flow came out. */
async function exchanging(world: ConnectWorld, ref = freshRef(), options: Parameters<ConnectWorld['link']>[1] = {}) {
  const { token, link } = await world.link(ref, options)
  const gate = world.zoho.holdExchange()
  const back = world.comeBack(await world.press(token))
  await gate.arrived
  const answer = async (reply?: UpstreamReply): Promise<ConnectResult | undefined> => {
    gate.open(reply)
    const outcome = await back
    return outcome.kind === 'ended' ? outcome.result : undefined
  }
  return { ref, link, answer }
}

const orphaned = (world: ConnectWorld, ref = freshRef()) =>
  world.store.events(ref).filter(({ type }) => type === 'grant.orphaned')

t.test('what Zoho answers', async (t) => {
  t.test('a grant is stored, its flow done and its link spent, in one write that is on the record', async (t) => {
    const world = createConnectWorld()
    const before = world.clock.now()
    const { ref, link, flowId } = await world.consent(freshRef())
    const connection = await world.read(ref)
    t.match(connection, {
      status: 'active',
      details: {
        app: 'desk',
        dataCenter: 'eu',
        clientId: DESK.clientId,
        grantNumber: 1,
        scopes: { granted: DESK.scopes }
      }
    })
    t.ok((connection.details.times.connected ?? 0) >= before)
    t.strictSame(await world.grants(ref), { current: FIRST, waiting: [] })
    t.match(await world.flowOf(ref), { id: flowId, status: 'done', result: 'connected' })
    t.equal((await world.linkOf(ref)).spentBy, flowId)
    t.strictSame(world.types(ref), ['connect_link.created', 'connect_flow.started', 'connection.connected'])
    t.equal(world.store.events(ref).at(-1)?.actor, `link:${link.id}`)
    t.equal((await world.main.broker.issue({ consumer: SERVICE, ref })).accessToken.reveal(), 'access-c1')
    t.equal(world.store.calls('commit'), 2)
  })

  t.test(
    'each answer without a grant ends the flow with its own result, leaves an old grant and may be tried again',
    async (t) => {
      const table: [reply: UpstreamReply, result: ConnectResult, orphan: boolean][] = [
        [REFUSED, 'code_refused', false],
        [OURS, 'wrong_data_center', false],
        [BAD_SECRET, 'client_refused', false],
        [{ kind: 'refused', fault: 'ours', code: 'invalid_redirect_uri' }, 'client_refused', false],
        [THROTTLED, 'upstream_unavailable', false],
        [UNSENT, 'upstream_unavailable', false],
        [TIMEOUT, 'exchange_outcome_unknown', true],
        [{ kind: 'failed', code: 'not_json', sent: true }, 'exchange_outcome_unknown', true],
        [{ kind: 'failed', code: 'malformed', sent: true }, 'exchange_outcome_unknown', true]
      ]
      for (const [reply, result, orphan] of table) {
        const world = createConnectWorld()
        const { ref, revision } = await world.connect()
        world.zoho.exchanges(reply)
        const outcome = await world.consent(ref)
        t.match(outcome, { kind: 'ended', result })
        t.match(await world.flowOf(ref), { status: 'failed', result })
        t.equal((await world.linkOf(ref)).spentBy, undefined)
        t.strictSame(await world.grants(ref), { current: REFRESH_TOKEN, waiting: [] })
        t.equal((await world.read(ref)).revision, revision + 1, 'only the link was written')
        const last = world.store.events(ref).at(-1)
        t.match(last, { type: 'connect_flow.failed', data: { flow: outcome.flowId, result } })
        t.equal(last?.data.possible_orphan === true, orphan, `${result}: an orphan is named where there may be one`)
        t.strictSame(world.zoho.revoked, [])
        t.match(await world.comeBack(await world.press(outcome.token)), { result: 'connected' })
      }
    }
  )

  t.test('without a refresh token nothing is stored, and the access token is revoked', async (t) => {
    const world = createConnectWorld()
    world.zoho.exchanges(granted('lonely'))
    const { ref, result } = await world.consent(freshRef())
    t.equal(result, 'no_refresh_token')
    t.strictSame(world.zoho.revoked, ['lonely'])
    t.equal(await world.status(ref), 'pending')
    t.match(orphaned(world, ref), [{ data: { why: 'no_refresh_token', outcome: 'gone' } }])
  })

  t.test('with fewer scopes nothing is stored, and the grant is revoked', async (t) => {
    const world = createConnectWorld()
    world.zoho.exchanges(gives(FIRST, 'a', { scopes: ['Desk.basic.READ'] }))
    const { ref, result } = await world.consent(freshRef())
    t.equal(result, 'scopes_missing')
    t.equal(world.zoho.live.size, 0)
    t.equal(await world.status(ref), 'pending')
    t.match(orphaned(world, ref), [{ data: { why: 'scopes_missing', outcome: 'revoked' } }])
    world.zoho.exchanges(gives('1000.more', 'a', { scopes: [...DESK.scopes, 'Desk.more.READ'] }))
    const { result: second } = await world.consent(ref)
    t.equal(second, 'connected')
    t.strictSame((await world.read(ref)).details.scopes.granted, [...DESK.scopes, 'Desk.more.READ'])
  })

  t.test('what was not to be stored is revoked even while the store is away', async (t) => {
    const world = createConnectWorld()
    const { ref } = await world.connect()
    const { answer } = await exchanging(world, ref)
    world.store.away = true
    t.equal(await answer(gives(FIRST, 'a', { scopes: [] })), 'scopes_missing')
    t.strictSame(world.zoho.revoked, [FIRST])
  })

  t.test('too few scopes for the very grant that serves do not end it', async (t) => {
    for (const away of [false, true]) {
      const world = createConnectWorld()
      const { ref } = await world.connect()
      const { answer } = await exchanging(world, ref)
      world.store.away = away
      t.equal(await answer(gives(REFRESH_TOKEN, 'a', { scopes: [] })), 'scopes_missing')
      t.strictSame(world.zoho.revoked, [])
      t.match(world.main.events.at(-1), { type: 'grant.orphaned', outcome: 'kept' })
    }
  })

  t.test('a new grant supersedes the old one, which is revoked when its last access token has expired', async (t) => {
    const world = createConnectWorld()
    const { ref, access, epoch, generation } = await world.connect(freshRef(), { age: 10 * MINUTE })
    const old = await world.main.broker.issue({ consumer: SERVICE, ref })
    await world.consent(ref)
    const next = await world.read(ref)
    t.ok(next.epoch > epoch && next.generation > generation)
    const [entry] = (await world.whole(ref)).waiting
    t.match(entry, { number: 1, kind: 'superseded', reason: 'replaced', due: access?.expiresAt })
    t.strictSame((await world.grants(ref)).waiting[0]?.token, REFRESH_TOKEN)
    t.strictSame(world.types(ref).slice(-2), ['connection.connected', 'grant.superseded'])
    await world.sweep()
    t.strictSame(world.zoho.revoked, [], 'who holds the old token may go on using it')
    world.skip(old.expiresAt - world.clock.now() + 1)
    await world.sweep()
    t.strictSame(world.zoho.revoked, [REFRESH_TOKEN])
    t.strictSame(await world.grants(ref), { current: FIRST, waiting: [] })
  })

  t.test('the old grant goes at once when the link says so, or when another one waits', async (t) => {
    const now = createConnectWorld()
    const { ref } = await now.connect()
    await now.consent(ref, { revokeSupersededNow: true })
    t.strictSame(now.main.kicked, [ref])
    await now.sweep()
    t.strictSame(now.zoho.revoked, [REFRESH_TOKEN])
    const many = createConnectWorld()
    const { ref: often } = await many.connect()
    for (let i = 0; i < 5; i++) {
      await many.consent(often)
      await many.sweep()
      t.ok((await many.grants(often)).waiting.length <= 1, 'never more than one waits')
    }
    t.strictSame(many.zoho.revoked, [REFRESH_TOKEN, ...[1, 2, 3].map((n) => `1000.refresh.c${n}`)])
    t.strictSame((await many.grants(often)).current, '1000.refresh.c5')
  })

  t.test('a disconnected connection comes back by a link, and a purge that was asked for is off', async (t) => {
    const world = createConnectWorld()
    const { ref, epoch } = await world.connect()
    await world.main.admin.disconnect({ consumer: OPS, ref, purge: true })
    t.equal(await world.status(ref), 'disconnecting')
    await world.consent(ref)
    t.match(await world.read(ref), { status: 'active', purge: false, details: { grantNumber: 2 } })
    t.ok((await world.read(ref)).epoch > epoch)
    await world.sweep()
    t.strictSame(world.zoho.revoked, [REFRESH_TOKEN], 'what waited for its revoke went on')
    t.match(await world.read(ref), { status: 'active' })
  })
})

t.test('a token that is known already', async (t) => {
  t.test('equal to the current one it replaces nothing', async (t) => {
    const world = createConnectWorld()
    const { ref, epoch, generation } = await world.connect()
    world.zoho.exchanges(gives(REFRESH_TOKEN, 'newer'))
    const { result, flowId } = await world.consent(ref)
    t.equal(result, 'connected')
    t.match(await world.read(ref), { epoch, details: { grantNumber: 1 } })
    t.ok((await world.read(ref)).generation > generation)
    t.strictSame(await world.grants(ref), { current: REFRESH_TOKEN, waiting: [] })
    t.equal((await world.linkOf(ref)).spentBy, flowId)
    t.match(world.store.events(ref).at(-1), { type: 'connection.connected', data: { grant: 1, same_grant: true } })
    t.strictSame(world.zoho.revoked, [])
  })

  t.test('equal to one that waits for its revoke, that entry is dropped in the same write', async (t) => {
    const world = createConnectWorld()
    const { ref } = await world.connect()
    await world.consent(ref)
    world.zoho.exchanges(gives(REFRESH_TOKEN))
    t.match(await world.consent(ref), { result: 'connected' })
    t.match(await world.grants(ref), { current: REFRESH_TOKEN, waiting: [{ token: FIRST }] })
    world.skip(3 * HOUR)
    await world.sweep()
    t.strictSame(world.zoho.revoked, [FIRST])
    t.equal((await world.read(ref)).details.grantNumber, 3)
  })

  t.test('equal to one that is being revoked it is refused, and not revoked a second time', async (t) => {
    const world = createConnectWorld()
    const { ref } = await world.connect()
    await world.consent(ref, { revokeSupersededNow: true })
    const gate = world.zoho.holdRevoke()
    const worker = world.main.revokeDue(ref)
    await gate.arrived
    world.zoho.exchanges(gives(REFRESH_TOKEN))
    const { flowId, result } = await world.consent(ref)
    t.equal(result, 'grant_being_revoked')
    t.match(await world.flowOf(ref, flowId), { status: 'failed', result })
    gate.open({ kind: 'revoked' })
    await worker
    t.strictSame(world.zoho.revoked, [REFRESH_TOKEN])
    t.strictSame(await world.grants(ref), { current: FIRST, waiting: [] })
  })

  t.test('a lost sealing key does not stop a reconnect or an import, and what it sealed is kept', async (t) => {
    for (const way of ['link', 'import'] as const) {
      const world = createConnectWorld()
      const { ref } = await world.connect(freshRef(), { sealedRefresh: Buffer.from('sealed under a lost key') })
      const entry = waitingGrant(7, { sealedRefresh: Buffer.from('this one too') })
      await world.main.update(ref, ({ connection }) =>
        connection
          ? {
              next: { ...connection, revision: connection.revision + 1, writeId: '0f'.repeat(8) },
              grants: [{ number: 7, entry }],
              events: []
            }
          : undefined
      )
      if (way === 'link') t.equal((await world.consent(ref)).result, 'connected')
      else {
        const token = { app: 'desk', dataCenter: 'eu', refreshToken: new Secret(FIRST) }
        await world.main.broker.importGrant({ consumer: OPS, ref, ...token })
      }
      t.equal(await world.refreshTokenOf(ref), FIRST, way)
      const { waiting } = await world.whole(ref)
      t.match(waiting.map(({ sealedRefresh }) => Buffer.from(sealedRefresh).toString()).sort(), [
        'sealed under a lost key',
        'this one too'
      ])
      t.strictSame(world.zoho.revoked, [])
    }
  })
})

t.test('a store that stumbles after the exchange', async (t) => {
  const short: Partial<ConnectSettings> = { storeRetryMs: 60 }

  t.test('is asked again until the grant is stored', async (t) => {
    const world = createConnectWorld()
    const { ref, answer } = await exchanging(world)
    world.store.next('commit', 'fail')
    world.store.next('commit', 'fail')
    world.store.next('read', 'fail')
    t.equal(await answer(), 'connected')
    t.equal(world.main.count('store.retried'), 3)
    t.equal(await world.status(ref), 'active')
    t.strictSame(world.zoho.revoked, [])
  })

  t.test('and wrote although its reply was lost has the grant once', async (t) => {
    for (const confirm of [false, true]) {
      const world = createConnectWorld()
      const { ref, answer } = await exchanging(world, freshRef(), confirm ? { confirm, userRef: 'u' } : {})
      world.store.next('commit', 'lose_reply')
      t.equal(await answer(), confirm ? 'awaiting_confirmation' : 'connected')
      t.equal(world.store.calls('commit'), 2, 'the link, the grant')
      const stored = confirm ? 'grant.candidate_stored' : 'connection.connected'
      t.equal(world.types(ref).filter((type) => type === stored).length, 1)
      t.strictSame(world.zoho.revoked, [])
      t.equal(orphaned(world, ref).length, 0)
    }
  })

  t.test('given up before any write was sent, the orphan is revoked', async (t) => {
    const world = createConnectWorld({ settings: short })
    const { ref, answer } = await exchanging(world)
    world.store.away = true
    t.equal(await answer(), 'store_unavailable')
    t.strictSame(world.zoho.revoked, [FIRST])
    t.equal(world.main.count('store.gave_up'), 1)
    t.match(world.main.events.at(-1), { type: 'grant.orphaned', outcome: 'revoked' })
    world.store.away = false
    t.equal((await world.flowOf(ref)).status, 'exchanging')
    world.skip(2 * MINUTE)
    await world.sweep()
    t.match(await world.flowOf(ref), { status: 'failed', result: 'exchange_outcome_unknown' })
    t.match(world.store.events(ref).at(-1), { type: 'connect_flow.failed', data: { possible_orphan: true } })
  })

  t.test('given up while a write may still land, the grant is only named', async (t) => {
    const world = createConnectWorld({ settings: short })
    const { ref, answer } = await exchanging(world)
    world.store.next('commit', 'lose_reply')
    const away = goAwayAfter(world, 'commit')
    t.equal(await answer(), 'store_unavailable')
    await away
    t.strictSame(world.zoho.revoked, [])
    t.match(world.main.events.at(-1), { type: 'grant.orphaned', outcome: 'unknown' })
    world.store.away = false
    t.equal((await world.grants(ref)).current, FIRST, 'it had landed')
    t.match(await world.main.pages.result((await world.flowOf(ref)).id), { status: 'done', result: 'connected' })
  })

  t.test(
    'given up with a write on its way, the flow ends first: then it cannot land, and the orphan is revoked',
    async (t) => {
      const world = createConnectWorld({ settings: { storeRetryMs: 0 } })
      // The write has left, but its connection hangs: it arrives when nobody waits for it any more.
      const arrives = Promise.withResolvers<void>()
      let late: Promise<unknown> | undefined
      const { commit } = world.store
      const store: MemoryStore = {
        ...world.store,
        commit(input) {
          late = arrives.promise.then(() => commit(input))
          return Promise.reject(unavailable())
        }
      }
      const { ref, token } = await world.pending()
      const gate = world.zoho.holdRevoke()
      const back = world.comeBack(await world.press(token), {}, world.connectProcess({ store }))
      await gate.arrived
      arrives.resolve()
      t.match(await late, { kind: 'lost', connectChanged: true })
      gate.open({ kind: 'revoked' })
      t.match(await back, { result: 'store_unavailable' })
      t.strictSame(world.zoho.revoked, [FIRST])
      t.equal(await world.status(ref), 'pending')
    }
  )

  t.test('a candidate that is confirmed while its orphan is looked for is not revoked', async (t) => {
    const world = createConnectWorld()
    const ref = freshRef()
    const { flowId } = await world.consent(ref, { confirm: true, userRef: 'u' })
    const confirmed = Promise.withResolvers<void>()
    world.store.next('waitingGrants', { delay: confirmed.promise })
    const looking = world.main.orphans.revoke({
      ref,
      app: 'desk',
      dataCenter: 'eu',
      token: new Secret(FIRST),
      why: 'test'
    })
    await waitForCalls(world, 'waitingGrants')
    await world.main.admin.confirm({ consumer: OPS, ref, flowId, userRef: 'u' })
    confirmed.resolve()
    await looking
    t.strictSame(world.zoho.revoked, [])
    t.match(world.main.events.at(-1), { type: 'grant.orphaned', outcome: 'kept' })
  })

  t.test('not enough replicas: it is stored, but not called connected', async (t) => {
    const world = createConnectWorld()
    const { commit } = world.store
    const process = world.connectProcess({
      store: {
        ...world.store,
        async commit(input) {
          const committed = await commit(input)
          if (input.durable) throw new BrokerError('ERR_NOT_DURABLE', 'not enough replicas')
          return committed
        }
      }
    })
    const { ref, token } = await world.pending()
    t.match(await world.comeBack(await world.press(token), {}, process), { result: 'not_durable' })
    t.equal(await world.status(ref), 'active')
    t.strictSame(world.zoho.revoked, [])
  })
})

t.test('a lost race', async (t) => {
  const losers: [what: string, result: ConnectResult, act: (world: ConnectWorld, ref: Ref) => Promise<unknown>][] = [
    ['a disconnect', 'flow_ended', (world, ref) => world.main.admin.disconnect({ consumer: OPS, ref, purge: false })],
    ['an import', 'connection_changed', (world, ref) => world.reconnect(ref)],
    ['another link', 'connection_changed', (world, ref) => world.consent(ref)]
  ]
  for (const [what, result, act] of losers) {
    t.test(`${what} during the exchange wins: nothing is stored, what Zoho gave is revoked`, async (t) => {
      const world = createConnectWorld()
      const { ref } = await world.connect()
      const { answer } = await exchanging(world, ref)
      await act(world, ref)
      const before = await world.grants(ref)
      t.equal(await answer(gives('1000.loser')), result)
      t.ok(world.zoho.revoked.includes('1000.loser'))
      t.strictSame(await world.grants(ref), before)
      t.match(orphaned(world, ref), [{ data: { why: result, outcome: 'revoked' } }])
      if (what === 'a disconnect') t.equal(await world.status(ref), 'disconnecting')
    })
  }

  t.test('of two tabs that are answered together one is stored and the other revoked', async (t) => {
    const world = createConnectWorld()
    const { ref, token } = await world.pending()
    const [one, two] = [await world.press(token), await world.press(token)]
    const gates = [world.zoho.holdExchange(), world.zoho.holdExchange()]
    const answers = [world.comeBack(one), world.comeBack(two, {}, world.connectProcess())]
    await Promise.all(gates.map(({ arrived }) => arrived))
    for (const gate of gates) gate.open()
    const results = (await Promise.all(answers)).map((each) => (each.kind === 'ended' ? each.result : each.why))
    t.strictSame(results.sort(), ['connected', 'link_spent'])
    const { current } = await world.grants(ref)
    t.strictSame([...world.zoho.live], [current])
    t.equal((await world.whole(ref)).items.flows.filter(({ status }) => status === 'failed').length, 1)
  })

  t.test('an orphan that could not be revoked is named in the audit', async (t) => {
    const world = createConnectWorld()
    const { ref } = await world.connect()
    const { answer } = await exchanging(world, ref)
    await world.reconnect(ref)
    world.zoho.revokes({ kind: 'failed', code: 'timeout', sent: true })
    await answer()
    const [event] = orphaned(world, ref)
    t.match(event?.data, { outcome: 'failed: timeout', fingerprint: /^[0-9a-f]{8}$/ })
  })
})

t.test('confirm', async (t) => {
  const asked = { confirm: true, userRef: 'anna' }
  const confirm = (world: ConnectWorld, ref: Ref, flowId: string, userRef = 'anna', process = world.main) =>
    process.admin.confirm({ consumer: OPS, ref, flowId, userRef })

  async function waiting(t: Test, { connected = false } = {}) {
    const world = createConnectWorld()
    const { ref } = connected ? await world.connect() : { ref: freshRef() }
    const { flowId, result, link } = await world.consent(ref, asked)
    t.equal(result, 'awaiting_confirmation')
    return { world, ref, flowId, link }
  }

  t.test('nothing is issued from a candidate; an old grant serves on', async (t) => {
    const { world, ref, flowId, link } = await waiting(t)
    t.equal(await world.status(ref), 'pending')
    await t.rejects(world.main.broker.issue({ consumer: SERVICE, ref }), { code: 'ERR_NOT_CONNECTED' })
    t.match(await world.grants(ref), { current: undefined, waiting: [{ number: 1, kind: 'candidate', token: FIRST }] })
    const flow = await world.main.admin.flow({ consumer: OPS, ref, flowId })
    t.match(flow, { status: 'awaiting_confirmation', grantNumber: 1 })
    t.equal(world.store.dueAt(ref), flow.deadline)
    t.equal((await world.linkOf(ref, link.id)).spentBy, flowId)
    t.match(world.store.events(ref).at(-1), { type: 'grant.candidate_stored', data: { grant: 1, flow: flowId } })
    const again = await waiting(t, { connected: true })
    const issued = await again.world.main.broker.issue({ consumer: SERVICE, ref: again.ref })
    t.equal(issued.accessToken.reveal(), 'access-0')
    t.equal((await again.world.read(again.ref)).details.grantNumber, 1)
  })

  t.test('by the right user it becomes current in one write; twice is fine', async (t) => {
    const { world, ref, flowId } = await waiting(t, { connected: true })
    const { epoch } = await world.read(ref)
    const first = await confirm(world, ref, flowId)
    t.match(first, { status: 'active', details: { grantNumber: 2 } })
    t.ok(first.epoch > epoch)
    t.match(await world.grants(ref), { current: FIRST, waiting: [{ number: 1, token: REFRESH_TOKEN }] })
    t.match(await world.flowOf(ref), { status: 'done', result: 'connected' })
    t.equal((await world.main.broker.issue({ consumer: SERVICE, ref })).accessToken.reveal(), 'access-c1')
    t.equal((await confirm(world, ref, flowId)).revision, first.revision)
    await t.rejects(confirm(world, ref, flowId, 'mallory'), { code: 'ERR_WRONG_USER' })
    t.match(await world.grants(ref), { current: FIRST }, 'too late for another user to undo it')
    t.strictSame(world.types(ref).slice(-2), ['connection.confirmed', 'grant.superseded'])
    t.equal(world.upstream.calls.length, 0)
  })

  t.test('twice at once is fine too', async (t) => {
    const { world, ref, flowId } = await waiting(t)
    const other = world.connectProcess()
    for (const method of ['waitingGrants', 'items'] as const) world.store.next(method, { delay: Promise.resolve() })
    const [one, two] = await Promise.all([confirm(world, ref, flowId), confirm(world, ref, flowId, 'anna', other)])
    t.equal(one.revision, two.revision)
    // The second one looks at the waiting grants when the first one has moved the candidate.
    const late = await waiting(t)
    const moved = Promise.withResolvers<void>()
    late.world.store.next('waitingGrants', { delay: moved.promise })
    const second = confirm(late.world, late.ref, late.flowId)
    await waitForCalls(late.world, 'waitingGrants')
    await confirm(late.world, late.ref, late.flowId, 'anna', late.world.connectProcess())
    moved.resolve()
    t.match(await second, { status: 'active' })
    t.equal(late.world.types(late.ref).filter((type) => type === 'connection.confirmed').length, 1)
  })

  t.test('by the wrong user it is revoked at once, and the right one comes too late', async (t) => {
    const { world, ref, flowId } = await waiting(t)
    await t.rejects(confirm(world, ref, flowId, 'mallory'), { code: 'ERR_WRONG_USER' })
    t.match(await world.flowOf(ref), { status: 'failed', result: 'wrong_user' })
    t.strictSame(world.main.kicked, [ref, ref])
    await world.sweep()
    t.strictSame(world.zoho.revoked, [FIRST])
    await t.rejects(confirm(world, ref, flowId), { code: 'ERR_FLOW_EXPIRED' })
    t.ok(world.types(ref).includes('grant.confirmation_refused'))
    t.match(world.store.events(ref).at(-1), { type: 'grant.revoked', data: { reason: 'wrong_user' } })
    t.equal(await world.status(ref), 'pending')
  })

  t.test('too late is too late, with or without a sweep, and the candidate is revoked', async (t) => {
    const { world, ref, flowId } = await waiting(t, { connected: true })
    world.skip(10 * MINUTE)
    await t.rejects(confirm(world, ref, flowId), { code: 'ERR_FLOW_EXPIRED' })
    await t.rejects(confirm(world, ref, flowId, 'mallory'), { code: 'ERR_FLOW_EXPIRED' })
    await world.sweep()
    t.match(await world.flowOf(ref), { status: 'failed', result: 'confirmation_expired' })
    t.strictSame(world.zoho.revoked, [FIRST])
    t.strictSame(await world.grants(ref), { current: REFRESH_TOKEN, waiting: [] })
    await t.rejects(confirm(world, ref, flowId), { code: 'ERR_FLOW_EXPIRED' })
  })

  t.test('before the person has come back, or of a link without a user, there is nothing to confirm', async (t) => {
    const world = createConnectWorld()
    const { ref, token } = await world.pending(asked)
    await world.press(token)
    const { id } = await world.flowOf(ref)
    await t.rejects(confirm(world, ref, id), { code: 'ERR_NOT_CONNECTED' })
    await t.rejects(confirm(world, ref, id, 'mallory'), { code: 'ERR_NOT_CONNECTED' })
    const { flowId } = await world.consent(ref)
    await t.rejects(confirm(world, ref, flowId), { code: 'ERR_WRONG_USER' })
  })

  t.test('a newer candidate replaces the one that waits, and no number is ever given twice', async (t) => {
    const { world, ref, flowId } = await waiting(t, { connected: true })
    const second = await world.consent(ref, asked)
    t.match((await world.grants(ref)).waiting, [
      { number: 2, kind: 'superseded', reason: 'newer_candidate' },
      { number: 3, kind: 'candidate' }
    ])
    t.match(await world.flowOf(ref, flowId), { status: 'failed', result: 'flow_ended' })
    await t.rejects(confirm(world, ref, flowId), { code: 'ERR_FLOW_EXPIRED' })
    await world.sweep()
    t.strictSame(world.zoho.revoked, [FIRST])
    await t.rejects(confirm(world, ref, second.flowId, 'mallory'), { code: 'ERR_WRONG_USER' })
    await world.sweep()
    t.strictSame((await world.grants(ref)).waiting, [])
    await world.consent(ref)
    t.equal((await world.read(ref)).details.grantNumber, 4)
  })

  t.test('a candidate whose access token has expired gets a fresh one first', async (t) => {
    for (const rotated of [false, true]) {
      const world = createConnectWorld({ settings: { confirmLifeMs: 3 * HOUR } })
      const { ref } = await world.connect()
      const { flowId } = await world.consent(ref, asked)
      world.skip(2 * HOUR)
      world.upstream.replies(TIMEOUT)
      await t.rejects(confirm(world, ref, flowId), { code: 'ERR_UPSTREAM_UNAVAILABLE', retryAfterMs: 5 * SECOND })
      t.equal((await world.flowOf(ref)).status, 'awaiting_confirmation', 'it waits on')
      t.equal((await world.grants(ref)).current, REFRESH_TOKEN)
      world.upstream.replies(rotated ? gives('1000.rotated', 'fresh') : granted('fresh'))
      await confirm(world, ref, flowId)
      t.equal((await world.grants(ref)).current, rotated ? '1000.rotated' : FIRST)
      t.equal((await world.main.broker.issue({ consumer: SERVICE, ref })).accessToken.reveal(), 'fresh')
      t.match(world.upstream.calls, [{ refreshToken: FIRST }, { refreshToken: FIRST }])
    }
  })

  t.test('a candidate whose token is imported meanwhile has nothing left to confirm', async (t) => {
    const { world, ref, flowId } = await waiting(t)
    const token = { app: 'desk', dataCenter: 'eu', refreshToken: new Secret(FIRST) }
    await world.main.broker.importGrant({ consumer: OPS, ref, ...token })
    await t.rejects(confirm(world, ref, flowId), { code: 'ERR_FLOW_EXPIRED' })
    t.strictSame(await world.grants(ref), { current: FIRST, waiting: [] })
    world.skip(HOUR)
    await world.sweep()
    t.strictSame(world.zoho.revoked, [])
  })

  t.test('a link that asks for confirmation ends a disconnected connection only when it is confirmed', async (t) => {
    const { world, ref } = await waiting(t, { connected: true })
    await world.main.admin.disconnect({ consumer: OPS, ref, purge: false })
    await world.sweep()
    t.equal(await world.status(ref), 'disconnected')
    const { flowId } = await world.consent(ref, asked)
    t.equal(await world.status(ref), 'disconnected')
    await t.rejects(world.main.broker.issue({ consumer: SERVICE, ref }), { code: 'ERR_DISCONNECTED' })
    t.match(await confirm(world, ref, flowId), { status: 'active' })
  })
})

type Ref = ReturnType<typeof freshRef>

function unavailable(): BrokerError {
  return new BrokerError('ERR_STORE_UNAVAILABLE', 'The store did not answer.')
}

async function waitForCalls({ store }: ConnectWorld, method: Parameters<ConnectWorld['store']['calls']>[0]) {
  const before = store.calls(method)
  while (store.calls(method) === before) await new Promise(setImmediate)
}

/** The store is away from the moment on in which the next call of that kind has been answered. */
async function goAwayAfter(world: ConnectWorld, method: Parameters<ConnectWorld['store']['calls']>[0]) {
  await waitForCalls(world, method)
  await new Promise(setImmediate)
  world.store.away = true
}
