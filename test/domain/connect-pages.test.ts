import t from 'tap'
import type { CallbackOutcome } from '../../src/domain/connect-broker.ts'
import { selectDataCenter } from '../../src/domain/connect-rules.ts'
import { ZOHO_DATA_CENTERS } from '../../src/domain/data-center.ts'
import { freshRef } from '../helpers/connections.ts'
import { BROWSER, type ConnectWorld, createConnectWorld, DAY, EU, OPS, sha256 } from './connect-harness.ts'
import { consumer, DESK, HOUR, MINUTE } from './harness.ts'

const READER = consumer(['read'])
const STRANGER = consumer(['connect', 'read', 'disconnect'], { tenants: ['other'] })

const look = ({ main }: ConnectWorld, token: string) => main.pages.look(token)
const start = ({ main }: ConnectWorld, linkToken: string) => main.pages.start({ linkToken, cookieHash: BROWSER })

t.test('links', async (t) => {
  t.test('a link on nothing makes a pending connection, from which nothing is issued', async (t) => {
    const world = createConnectWorld()
    const { ref, link } = await world.pending({ tenantLabel: 'Acme', returnTo: 'portal' })
    t.match(await world.read(ref), { status: 'pending', generation: 0, details: { app: 'desk', grantNumber: 0 } })
    t.match(link, { app: 'desk', tenantLabel: 'Acme', returnTo: 'portal', starts: 0, createdBy: OPS.name })
    t.equal(link.expiresAt - link.createdAt, 10 * MINUTE)
    t.strictSame(world.types(ref), ['connect_link.created'])
    await t.rejects(world.main.broker.issue({ consumer: OPS, ref }), { code: 'ERR_NOT_CONNECTED' })
  })

  t.test('a link keeps a pending connection for 7 more days, and leaves an active one as it is', async (t) => {
    const world = createConnectWorld()
    const { ref } = await world.pending()
    world.skip(3 * DAY)
    const before = world.clock.now()
    await world.link(ref)
    t.ok((await world.read(ref)).details.times.statusSince >= before)
    const { ref: active, details } = await world.connect()
    world.skip(MINUTE)
    await world.link(active)
    t.equal((await world.read(active)).details.times.statusSince, details.times.statusSince)
  })

  t.test('bad wishes are refused and store nothing', async (t) => {
    const { main, store } = createConnectWorld()
    const ref = freshRef()
    const create = (options: object, who = OPS) =>
      main.admin.createLink({ consumer: who, ref, options: { app: 'desk', ...options } })
    await t.rejects(create({ app: 'crm' }), { code: 'ERR_APP_UNKNOWN' })
    await t.rejects(create({ dataCenter: 'cn' }), { code: 'ERR_WRONG_DATA_CENTER' })
    await t.rejects(create({ returnTo: 'https://evil.example' }), { code: 'ERR_INVALID_REQUEST' })
    await t.rejects(create({ returnTo: '__proto__' }), { code: 'ERR_INVALID_REQUEST' })
    await t.rejects(create({ confirm: true }), { code: 'ERR_INVALID_REQUEST' })
    await t.rejects(create({}, STRANGER), { code: 'ERR_CONNECTION_NOT_FOUND' })
    await t.rejects(create({}, READER), { code: 'ERR_FORBIDDEN' })
    t.equal(await store.read(ref), undefined)
  })

  t.test('an app never changes, not even when the connection has ended', async (t) => {
    const world = createConnectWorld()
    const { ref } = await world.connect()
    const { admin } = world.connectProcess({ apps: [DESK, { ...DESK, name: 'crm' }] })
    const create = () => admin.createLink({ consumer: OPS, ref, options: { app: 'crm' } })
    await t.rejects(create(), { code: 'ERR_APP_MISMATCH' })
    await world.main.admin.disconnect({ consumer: OPS, ref, purge: false })
    await t.rejects(create(), { code: 'ERR_APP_MISMATCH' })
  })

  t.test('every method hides what the consumer may not see and refuses what it may not do', async (t) => {
    const world = createConnectWorld()
    const { ref, link } = await world.pending({ confirm: true, userRef: 'u' })
    await world.press((await world.link(ref)).token)
    const { id: flowId } = await world.flowOf(ref)
    const acts = (who: typeof OPS, at = ref): (() => Promise<unknown>)[] => {
      const on = { consumer: who, ref: at }
      const { admin } = world.main
      return [
        () => admin.links(on),
        () => admin.revokeLink({ ...on, linkId: link.id }),
        () => admin.flow({ ...on, flowId }),
        () => admin.confirm({ ...on, flowId, userRef: 'u' }),
        () => admin.quarantine(on),
        () => admin.liftQuarantine(on),
        () => admin.disconnect({ ...on, purge: false })
      ]
    }
    for (const act of acts(STRANGER)) await t.rejects(act, { code: 'ERR_CONNECTION_NOT_FOUND' })
    for (const act of acts(OPS, freshRef())) await t.rejects(act, { code: 'ERR_CONNECTION_NOT_FOUND' })
    for (const act of acts(consumer(['token']))) await t.rejects(act, { code: 'ERR_FORBIDDEN' })
    await t.rejects(world.main.admin.flow({ consumer: OPS, ref, flowId: 'f' }), { code: 'ERR_LINK_NOT_FOUND' })
    await t.rejects(world.main.admin.revokeLink({ consumer: OPS, ref, linkId: 'l' }), { code: 'ERR_LINK_NOT_FOUND' })
    t.equal(await world.status(ref), 'pending')
  })

  t.test('the page says who asks for what, and speaks of a reconnect only where something is replaced', async (t) => {
    const world = createConnectWorld()
    const { ref, token } = await world.pending()
    const asked = { tenantLabel: ref.tenant, app: 'desk', scopes: DESK.scopes }
    t.strictSame(await look(world, token), { page: { ...asked, reconnect: false } })
    await world.consent(ref)
    const again = await world.link(ref, { tenantLabel: 'Acme' })
    t.strictSame(await look(world, again.token), { page: { ...asked, tenantLabel: 'Acme', reconnect: true } })
    await world.main.admin.disconnect({ consumer: OPS, ref, purge: false })
    const anew = await world.link(ref)
    t.match(await look(world, anew.token), { page: { reconnect: false } })
    t.equal((await world.linkOf(ref, anew.link.id)).starts, 0, 'looking changes nothing')
  })

  t.test('a link that is unknown, expired, spent, revoked or started five times is refused as such', async (t) => {
    const world = createConnectWorld()
    const both = async (token: string) => {
      const [page, started] = [await look(world, token), await start(world, token)]
      t.strictSame(page, started)
      return 'refused' in page ? page.refused : undefined
    }
    t.equal(await both('nonsense'), 'link_unknown')
    const expired = await world.pending({ expiresInMs: MINUTE })
    const spent = await world.consent(freshRef())
    t.equal(await both(spent.token), 'link_spent')
    const revoked = await world.pending()
    const taken = { consumer: OPS, ref: revoked.ref, linkId: revoked.link.id }
    await world.main.admin.revokeLink(taken)
    await world.main.admin.revokeLink(taken)
    t.equal(await both(revoked.token), 'link_revoked')
    t.strictSame(world.types(revoked.ref), ['connect_link.created', 'connect_link.revoked'])
    const busy = await world.pending()
    for (let i = 0; i < 5; i++) await world.press(busy.token)
    t.equal(await both(busy.token), 'too_many_starts')
    world.skip(MINUTE)
    t.equal(await both(expired.token), 'link_expired')
  })

  t.test(
    'a link of an app or data center that is not configured any more leads nowhere and costs no start',
    async (t) => {
      const world = createConnectWorld()
      const { ref, token } = await world.pending({ dataCenter: 'us' })
      for (const apps of [[], [{ ...DESK, dataCenters: ['eu'] }]]) {
        const { pages } = world.connectProcess({ apps })
        t.strictSame(await pages.look(token), { refused: 'app_unknown' })
        t.strictSame(await pages.start({ linkToken: token, cookieHash: BROWSER }), { refused: 'app_unknown' })
        t.strictSame(await pages.formTargets(token), [])
      }
      t.equal((await world.linkOf(ref)).starts, 0)
    }
  )

  t.test('links are listed oldest first, and a spent one cannot be taken back', async (t) => {
    const world = createConnectWorld()
    const { ref } = await world.pending()
    const { link: first } = await world.consent(ref)
    const listed = await world.main.admin.links({ consumer: OPS, ref })
    t.equal(listed.length, 2)
    t.ok((listed[0]?.createdAt ?? 0) <= (listed[1]?.createdAt ?? 0))
    await world.main.admin.revokeLink({ consumer: OPS, ref, linkId: first.id })
    t.equal((await world.linkOf(ref, first.id)).revokedAt, undefined)
  })

  t.test('a link that is taken back ends the flows that were started from it, and no others', async (t) => {
    const world = createConnectWorld()
    const { ref, link, token } = await world.pending()
    const other = await world.link(ref)
    const [mine, theirs] = [await world.press(token), await world.press(other.token)]
    await world.main.admin.revokeLink({ consumer: OPS, ref, linkId: link.id })
    t.match(await world.comeBack(mine), { kind: 'ended', result: 'flow_ended' })
    t.equal(world.zoho.exchanged.length, 0, 'its code is not spent')
    t.match(await world.comeBack(theirs), { result: 'connected' })
  })

  t.test('a link that is taken back while its code is spent stores nothing, and what it gave is revoked', async (t) => {
    const world = createConnectWorld()
    const { ref, link, token } = await world.pending()
    const gate = world.zoho.holdExchange()
    const back = world.comeBack(await world.press(token))
    await gate.arrived
    await world.main.admin.revokeLink({ consumer: OPS, ref, linkId: link.id })
    t.match(world.store.events(ref).at(-1), { type: 'connect_flow.failed', data: { possible_orphan: true } })
    gate.open()
    t.match(await back, { result: 'flow_ended' })
    t.equal(await world.status(ref), 'pending')
    t.equal(world.zoho.live.size, 0)
  })
})

t.test('start', async (t) => {
  t.test('a flow is kept under the hash of its state, bound to the browser, its verifier sealed', async (t) => {
    const world = createConnectWorld()
    const { ref, link, token } = await world.pending({ dataCenter: 'us' })
    const state = await world.press(token)
    const [asked] = world.zoho.authorized
    t.match(asked, { app: 'desk', dataCenter: 'us', state })
    t.match(state, /^[A-Za-z0-9_-]{43}$/)
    const flow = await world.flowOf(ref)
    t.match(flow, { linkId: link.id, status: 'open', dataCenter: 'us', epoch: (await world.read(ref)).epoch })
    t.equal(flow.deadline - flow.startedAt, 10 * MINUTE)
    t.strictSame(await world.store.findFlow(flow.id), { ref, id: flow.id })
    const stored = await world.store.takeState(sha256(state))
    t.match(stored, { ...ref, flowId: flow.id, linkId: link.id, app: 'desk', cookieHash: BROWSER })
    const sealed = Buffer.from(stored?.verifier ?? '', 'base64')
    t.equal(world.sealer.open(sealed, { purpose: 'state', ref }).reveal(), asked?.verifier)
    t.equal((await world.linkOf(ref)).starts, 1)
    t.strictSame(world.types(ref), ['connect_link.created', 'connect_flow.started'])
  })

  t.test('nothing that is stored on the whole way holds a secret in clear', async (t) => {
    const world = createConnectWorld()
    const ref = freshRef()
    const first = await world.link(ref, { confirm: true, userRef: 'user-of-ours' })
    const state = await world.press(first.token)
    const outcome = await world.comeBack(state)
    if (outcome.kind === 'refused') throw new Error(outcome.why)
    await world.main.admin.confirm({ consumer: OPS, ref, flowId: outcome.flowId, userRef: 'user-of-ours' })
    await world.consent(ref)
    await world.main.admin.disconnect({ consumer: OPS, ref, purge: false })
    await world.sweep()
    const text = JSON.stringify([world.writes, world.main.events, world.store.events(ref)], (_name, value) =>
      value?.type === 'Buffer' || value instanceof Uint8Array
        ? Buffer.from(value.data ?? value).toString('latin1')
        : value
    )
    const secrets = [
      first.token,
      'user-of-ours',
      ...world.zoho.authorized.flatMap((each) => [each.state, each.verifier]),
      ...world.zoho.exchanged.flatMap((each) => [each.code, each.verifier, each.state]),
      ...world.zoho.revoked,
      'access-c1',
      'access-c2'
    ]
    t.ok(secrets.length > 12)
    for (const secret of secrets) {
      t.notOk(text.includes(secret), 'not in clear')
      t.notOk(text.includes(Buffer.from(secret).toString('base64')), 'nor in base64')
    }
    t.ok(text.includes(sha256(state)), 'the look is not blind')
  })

  t.test('of many who press at once five get through', async (t) => {
    const world = createConnectWorld()
    const { ref, token } = await world.pending()
    const other = world.connectProcess()
    const presses = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        (i % 2 ? world.main : other).pages.start({ linkToken: token, cookieHash: BROWSER })
      )
    )
    const through = presses.filter((each) => 'url' in each).length
    const { starts } = await world.linkOf(ref)
    t.equal(through, 5)
    t.equal(starts, 5)
    t.equal((await world.whole(ref)).items.flows.length, 5)
  })

  t.test('a form may lead to the accounts origins of the app and to where the person returns', async (t) => {
    const world = createConnectWorld()
    const { token } = await world.pending({ returnTo: 'portal' })
    t.strictSame(await world.main.pages.formTargets(token), [
      EU,
      'https://accounts.zoho.com',
      'https://app.example.com'
    ])
    t.strictSame(await world.main.pages.formTargets('nonsense'), [])
  })

  t.test('without the store nobody is sent to Zoho', async (t) => {
    const world = createConnectWorld()
    const { ref, token } = await world.pending()
    for (const method of ['pointToFlow', 'change', 'putState'] as const) {
      world.store.next(method, 'fail')
      await t.rejects(start(world, token), { code: 'ERR_STORE_UNAVAILABLE' })
    }
    t.equal((await world.linkOf(ref)).starts, 1)
    t.equal(await world.main.pages.result('nonsense'), undefined)
  })
})

t.test('callback', async (t) => {
  const refusedAs = (why: string): Partial<CallbackOutcome> => ({ kind: 'refused', why }) as Partial<CallbackOutcome>

  t.test('a state works once, whatever the outcome', async (t) => {
    const world = createConnectWorld()
    type Changes = NonNullable<Parameters<ConnectWorld['comeBack']>[1]>
    const outcomes: [what: string, changes: Changes, first: object][] = [
      ['connected', {}, { kind: 'ended', result: 'connected' }],
      ['denied', { error: 'access_denied', code: undefined }, { result: 'access_denied' }],
      ['another error', { error: 'server_error', code: undefined }, { result: 'authorization_failed' }],
      ['neither code nor error', { code: undefined }, { result: 'authorization_failed' }],
      ['another browser', { cookieHash: sha256('other') }, refusedAs('browser_mismatch')],
      ['no cookie', { cookieHash: undefined }, refusedAs('browser_mismatch')],
      ['a foreign data center', { location: 'cn' }, refusedAs('data_center_mismatch')]
    ]
    for (const [what, changes, first] of outcomes) {
      const { token } = await world.pending()
      const state = await world.press(token)
      const before = world.zoho.exchanged.length
      t.match(await world.comeBack(state, changes), first, what)
      t.match(await world.comeBack(state), refusedAs('state_unknown'), `${what}, again`)
      t.equal(world.zoho.exchanged.length - before, what === 'connected' ? 1 : 0, `${what}: calls`)
    }
    t.match(await world.comeBack('A'.repeat(43)), refusedAs('state_unknown'))
    t.match(world.store.looseEvents(), [{ type: 'connect_flow.refused', data: { why: 'state_unknown' } }])
  })

  t.test('the state of one browser does not work in another, and the refusal is on the record', async (t) => {
    const world = createConnectWorld()
    const { ref, token } = await world.pending()
    const mine = await world.press(token)
    await world.press(token, { cookieHash: sha256('attacker') })
    t.match(await world.comeBack(mine, { cookieHash: sha256('attacker') }), refusedAs('browser_mismatch'))
    t.match(world.store.events(ref).at(-1), { type: 'connect_flow.refused', data: { why: 'browser_mismatch' } })
    t.equal(world.zoho.exchanged.length, 0)
    t.equal(await world.status(ref), 'pending')
  })

  t.test('an error comes before the data center and before the code', async (t) => {
    const world = createConnectWorld()
    const { ref, token } = await world.pending()
    const outcome = await world.comeBack(await world.press(token), { error: 'access_denied', location: 'mars' })
    t.match(outcome, { kind: 'ended', result: 'access_denied' })
    t.match(await world.flowOf(ref), { status: 'failed', result: 'access_denied' })
    t.match(world.store.events(ref).at(-1), { type: 'connect_flow.failed', data: { result: 'access_denied' } })
    t.match(await start(world, token), { url: /^https:/ }, 'the person may try again')
  })

  t.test('a foreign or absent data center is refused without a call, and the flow has failed', async (t) => {
    const world = createConnectWorld()
    const { ref, token } = await world.pending()
    t.match(
      await world.comeBack(await world.press(token), { accountsServer: undefined }),
      refusedAs('data_center_mismatch')
    )
    t.match(await world.flowOf(ref), { status: 'failed', result: 'wrong_data_center' })
    t.equal(world.zoho.exchanged.length, 0)
  })

  t.test('a flow may end in another data center than it was started in', async (t) => {
    const world = createConnectWorld()
    const { ref, token } = await world.pending({ dataCenter: 'us' })
    t.match(await world.comeBack(await world.press(token)), { result: 'connected' })
    t.equal((await world.flowOf(ref)).dataCenter, 'eu')
    t.equal((await world.read(ref)).details.dataCenter, 'eu')
    const [exchange] = world.zoho.exchanged
    t.match(exchange, { dataCenter: 'eu', verifier: world.zoho.authorized[0]?.verifier, state: exchange?.state })
  })

  t.test('of two tabs of one link the second is told before its code is spent', async (t) => {
    const world = createConnectWorld()
    const { ref, token } = await world.pending()
    const [one, two] = [await world.press(token), await world.press(token)]
    t.match(await world.comeBack(one), { result: 'connected' })
    t.match(await world.comeBack(two), { result: 'link_spent' })
    t.equal(world.zoho.exchanged.length, 1)
    t.match(await world.flowOf(ref), { status: 'failed', result: 'link_spent' })
  })

  t.test('a connection that changed owner since the start costs no code', async (t) => {
    for (const change of ['import', 'another link', 'disconnect'] as const) {
      const world = createConnectWorld()
      const { ref } = await world.connect()
      const { token } = await world.link(ref)
      const state = await world.press(token)
      if (change === 'import') await world.reconnect(ref)
      else if (change === 'another link') await world.consent(ref)
      else await world.main.admin.disconnect({ consumer: OPS, ref, purge: false })
      const before = world.zoho.exchanged.length
      const result = change === 'disconnect' ? 'flow_ended' : 'connection_changed'
      t.match(await world.comeBack(state), { kind: 'ended', result }, change)
      t.equal(world.zoho.exchanged.length, before, change)
    }
  })

  t.test('a flow that is over, or whose app has gone, costs no code', async (t) => {
    const world = createConnectWorld({ settings: { stateLifeMs: HOUR } })
    const { token } = await world.pending()
    const state = await world.press(token)
    const { pages } = world.connectProcess({ apps: [] })
    t.match(
      await pages.callback({ state, cookieHash: BROWSER, location: 'eu', accountsServer: EU }),
      refusedAs('state_unknown')
    )
    const { ref, token: another } = await world.pending()
    const late = await world.press(another)
    await world.main.update(ref, ({ connection, items }) => {
      if (!connection) return undefined
      const next = { ...connection, revision: connection.revision + 1, writeId: 'ab'.repeat(8) }
      const connect = items.flows.map((seen) => ({
        kind: 'flow' as const,
        id: seen.id,
        seen,
        next: { ...seen, status: 'failed' as const, endedAt: 1 }
      }))
      return { next, grants: [], events: [], connect }
    })
    t.match(await world.comeBack(late), { kind: 'ended', result: 'flow_ended' })
    t.equal(world.zoho.exchanged.length, 0)
  })

  t.test('a store that is away before the exchange costs no code', async (t) => {
    for (const method of ['takeState', 'items', 'read', 'change'] as const) {
      const world = createConnectWorld()
      const { ref, token } = await world.pending()
      const state = await world.press(token)
      world.store.next(method, 'fail')
      await t.rejects(world.comeBack(state), { code: 'ERR_STORE_UNAVAILABLE' }, method)
      t.equal(world.zoho.exchanged.length, 0, method)
      t.equal((await world.flowOf(ref)).status, 'open', method)
    }
    const world = createConnectWorld()
    const { token } = await world.pending()
    const state = await world.press(token)
    world.store.next('change', 'fail')
    t.match(await world.comeBack(state, { error: 'access_denied' }), { result: 'access_denied' }, 'the person is told')
  })

  t.test(
    'a verifier that cannot be opened costs no code, and its flow does not look like a lost exchange',
    async (t) => {
      const world = createConnectWorld()
      const { ref, token } = await world.pending()
      const state = await world.press(token)
      const { sealer } = createConnectWorld()
      const stranger = world.connectProcess({ sealer })
      await t.rejects(world.comeBack(state, {}, stranger), { code: 'ERR_SEALED_UNREADABLE' })
      t.equal(world.zoho.exchanged.length, 0)
      t.equal((await world.flowOf(ref)).status, 'open')
    }
  )

  t.test('the flow is being exchanged in the store before Zoho is asked', async (t) => {
    const world = createConnectWorld()
    const { ref, token } = await world.pending({ returnTo: 'portal' })
    const gate = world.zoho.holdExchange()
    const back = world.comeBack(await world.press(token))
    await gate.arrived
    const flow = await world.flowOf(ref)
    t.equal(flow.status, 'exchanging')
    t.ok(flow.deadline <= world.clock.now() + MINUTE)
    t.match(await world.main.pages.result(flow.id), { status: 'exchanging', app: 'desk', tenantLabel: ref.tenant })
    gate.open()
    t.strictSame(await back, {
      kind: 'ended',
      flowId: flow.id,
      result: 'connected',
      returnUrl: 'https://app.example.com/zoho'
    })
    t.match(await world.main.pages.result(flow.id), { status: 'done', result: 'connected' })
  })

  t.test(
    'a person who waited long enough is told that the outcome is open; the grant is stored all the same',
    async (t) => {
      const world = createConnectWorld({ settings: { callerDeadlineMs: 20 } })
      const { ref, token } = await world.pending()
      const gate = world.zoho.holdExchange()
      t.match(await world.comeBack(await world.press(token)), { result: 'exchange_outcome_unknown' })
      gate.open()
      await world.main.shield.idle()
      t.equal(await world.status(ref), 'active')
      t.match(await world.flowOf(ref), { status: 'done', result: 'connected' })
    }
  )
})

t.test('data centers', async (t) => {
  const table = new Map(ZOHO_DATA_CENTERS.map((each) => [each.key, each]))
  const select = (location: string | undefined, accountsServer: string | undefined, allowed = ['eu', 'us']) =>
    selectDataCenter({ location, accountsServer }, table, allowed)?.key

  t.test('both parameters name one row that the app may use', async (t) => {
    t.equal(select('eu', 'https://accounts.zoho.eu'), 'eu')
    t.equal(select('us', 'https://accounts.zoho.com'), 'us')
    t.equal(select('us', 'https://accounts.zoho.com/'), 'us', 'an origin may be written with its slash')
    t.equal(select('in', 'https://accounts.zoho.in'), undefined, 'not one of the app')
  })

  t.test('anything else selects nothing', async (t) => {
    const hostile: [location: string | undefined, accountsServer: string | undefined][] = [
      [undefined, undefined],
      ['eu', undefined],
      [undefined, EU],
      ['', ''],
      ['eu', ''],
      ['', EU],
      ['us', EU],
      ['EU', EU],
      ['eu ', EU],
      ['mars', 'https://accounts.zoho.mars'],
      ['__proto__', EU],
      ['constructor', EU],
      ['eu', 'https://ACCOUNTS.zoho.eu'],
      ['eu', 'HTTPS://accounts.zoho.eu'],
      ['eu', 'http://accounts.zoho.eu'],
      ['eu', '//accounts.zoho.eu'],
      ['eu', 'accounts.zoho.eu'],
      ['eu', 'https://accounts.zoho.eu.'],
      ['eu', 'https://accounts.zoho.eu//'],
      ['eu', 'https://accounts.zoho.eu/oauth'],
      ['eu', 'https://accounts.zoho.eu:443'],
      ['eu', 'https://accounts.zoho.eu:8443'],
      ['eu', 'https://accounts.zoho.eu?'],
      ['eu', 'https://accounts.zoho.eu#'],
      ['eu', 'https://accounts.zoho.eu@evil.example'],
      ['eu', 'https://user@accounts.zoho.eu'],
      ['eu', 'https://accounts.zoho.eu.evil.example'],
      ['eu', 'https://evil.example/https://accounts.zoho.eu'],
      ['eu', 'https://evil.example'],
      ['eu', 'https://xn--acounts-d1a.zoho.eu'],
      ['eu', 'https://ассounts.zoho.eu'],
      ['eu', 'https://accounts.zoho.eu\u0000'],
      ['eu', ' https://accounts.zoho.eu'],
      ['eu', 'https:\\\\accounts.zoho.eu'],
      ['eu', 'https://accounts.zoho%2eeu'],
      ['eu', 'javascript:alert(1)']
    ]
    for (const [location, server] of hostile)
      t.equal(select(location, server), undefined, JSON.stringify([location, server]))
    t.equal(select('eu', EU, []), undefined, 'an app without data centers')
  })
})
