import t from 'tap'
import { BrokerError, type BrokerErrorCode } from '../../src/domain/errors.ts'
import { STATUS } from '../../src/http/problem.ts'
import { FLOW_ID, flowOf, LINK_TOKEN, linkOf } from './connect-fakes.ts'
import { ACME, asAdmin, asService, NOW, startHttp } from './harness.ts'

const ONE = '/v1/tenants/acme/connections/desk'
const LINKS = `${ONE}/connect-links`
const FLOW = `${ONE}/connect-flows/${FLOW_ID}`
const JSON_TYPE = { 'content-type': 'application/json' }

/** Every route of this file, with a request that it takes. */
const ROUTES = [
  ['POST', LINKS, { app: 'desk' }],
  ['GET', LINKS, undefined],
  ['DELETE', `${LINKS}/l1`, undefined],
  ['GET', FLOW, undefined],
  ['POST', `${FLOW}/confirm`, { user_ref: 'u' }],
  ['POST', `${ONE}/quarantine`, { reason: 'test' }],
  ['DELETE', `${ONE}/quarantine`, undefined],
  ['DELETE', ONE, undefined]
] as const

t.test('a link is made with what the admin says, and its URL is told', async (t) => {
  const { api, adminCalls, adminAnswers } = await startHttp(t)
  adminAnswers.link = linkOf({ id: 'l9', expiresAt: NOW + 600_000 })
  const payload = {
    app: 'desk',
    tenant_label: 'Acme Ünïcode & Söhne',
    return_to: 'portal',
    data_center: 'eu',
    confirm: true,
    user_ref: 'user-42',
    revoke_superseded: 'now',
    expires_in_seconds: 120
  }
  const response = await api.inject({ method: 'POST', url: LINKS, headers: asAdmin, payload })
  t.equal(response.statusCode, 201)
  t.strictSame(response.json(), {
    link_id: 'l9',
    url: `https://connect.example.com/connect/${LINK_TOKEN}`,
    expires_at: '2026-11-24T12:10:00.250Z'
  })
  t.match(response.headers, { 'cache-control': 'no-store' })
  t.match(adminCalls, [
    {
      method: 'createLink',
      input: {
        consumer: { name: 'ops' },
        ref: ACME,
        options: {
          app: 'desk',
          tenantLabel: 'Acme Ünïcode & Söhne',
          returnTo: 'portal',
          dataCenter: 'eu',
          confirm: true,
          userRef: 'user-42',
          revokeSupersededNow: true,
          expiresInMs: 120_000
        }
      }
    }
  ])
})

t.test('what is left out is left to the domain', async (t) => {
  const { api, adminCalls } = await startHttp(t)
  await api.inject({ method: 'POST', url: LINKS, headers: asAdmin, payload: { app: 'desk' } })
  await api.inject({
    method: 'POST',
    url: LINKS,
    headers: asAdmin,
    payload: { app: 'desk', confirm: false, revoke_superseded: 'later' }
  })
  const options = adminCalls.map(({ input }) => (input as { options: object }).options)
  t.strictSame(options, [{ app: 'desk' }, { app: 'desk', confirm: false, revokeSupersededNow: false }])
})

t.test('a body that is not what the schema says is refused, and nothing is asked', async (t) => {
  const { api, adminCalls } = await startHttp(t)
  const link = (extra: object) => JSON.stringify({ app: 'desk', ...extra })
  const cases: [url: string, body: string, detail: RegExp][] = [
    [LINKS, '', /not a valid JSON object/],
    [LINKS, 'null', /Send a JSON object/],
    [LINKS, '{}', /Missing "app"/],
    [LINKS, link({ extra: 1 }), /Unknown "extra" in the body\. Allowed: app, tenant_label/],
    [LINKS, link({ return_to: 'https://evil.example/' }), /"return_to" in the body.*the id of a configured return URL/],
    [LINKS, link({ return_to: '//evil.example' }), /"return_to"/],
    [LINKS, link({ return_to: ['portal'] }), /"return_to"/],
    [LINKS, link({ data_center: '../us' }), /"data_center"/],
    [LINKS, link({ tenant_label: '' }), /"tenant_label"/],
    [LINKS, link({ tenant_label: ' Acme' }), /"tenant_label"/],
    [LINKS, link({ tenant_label: 'Acme\nInc' }), /"tenant_label"/],
    [LINKS, link({ tenant_label: 'Acme\u202ecnI' }), /"tenant_label"/],
    [LINKS, link({ tenant_label: 'x'.repeat(101) }), /"tenant_label"/],
    [LINKS, link({ confirm: 'true' }), /"confirm"/],
    [LINKS, link({ confirm: true }), /Missing "user_ref"/],
    [LINKS, link({ user_ref: 7 }), /"user_ref"/],
    [LINKS, link({ user_ref: '' }), /"user_ref"/],
    [LINKS, link({ revoke_superseded: true }), /"revoke_superseded"/],
    [LINKS, link({ expires_in_seconds: 59 }), /"expires_in_seconds".*60 to 86400/],
    [LINKS, link({ expires_in_seconds: 86_401 }), /"expires_in_seconds"/],
    [LINKS, link({ expires_in_seconds: 60.5 }), /"expires_in_seconds"/],
    [LINKS, link({ expires_in_seconds: '60' }), /"expires_in_seconds"/],
    [`${FLOW}/confirm`, '{}', /Missing "user_ref"/],
    [`${FLOW}/confirm`, '{"user_ref": null}', /"user_ref"/],
    [`${ONE}/quarantine`, 'null', /Send a JSON object/],
    [`${ONE}/quarantine`, '[]', /Send a JSON object/],
    [`${ONE}/quarantine`, '{"reason": ""}', /"reason"/],
    [`${ONE}/quarantine`, '{"reasons": "x"}', /Unknown "reasons"/],
    [`${ONE}/quarantine`, '{', /not a valid JSON object/]
  ]
  for (const [url, payload, detail] of cases) {
    const response = await api.inject({ method: 'POST', url, headers: { ...asAdmin, ...JSON_TYPE }, payload })
    t.equal(response.statusCode, 400, `${url} ${payload}`)
    t.match(response.json(), { code: 'ERR_INVALID_REQUEST', detail })
  }
  for (const [method, url, status] of [
    ['DELETE', `${LINKS}/a.b`, 400],
    ['DELETE', `${LINKS}/${'x'.repeat(65)}`, 400],
    ['GET', `${ONE}/connect-flows/x`, 400],
    ['GET', `${ONE}/connect-flows/${FLOW_ID.toUpperCase()}`, 400],
    ['GET', `${LINKS}?x=1`, 400],
    ['DELETE', `${ONE}?purge=1`, 400],
    ['DELETE', `${ONE}?purge=true&purge=true`, 400],
    ['DELETE', `${ONE}?purgee=true`, 400]
  ] as const) {
    t.equal((await api.inject({ method, url, headers: asAdmin })).statusCode, status, url)
  }
  const form = { ...asAdmin, 'content-type': 'application/x-www-form-urlencoded' }
  for (const url of [LINKS, `${ONE}/quarantine`]) {
    t.equal((await api.inject({ method: 'POST', url, headers: form, payload: 'app=desk' })).statusCode, 415)
  }
  t.equal((await api.inject({ method: 'DELETE', url: ONE, headers: asAdmin, payload: 'x' })).statusCode, 400)
  t.strictSame(adminCalls, [])
})

t.test('links are listed with their state, never with a URL or a user', async (t) => {
  const { api, adminAnswers } = await startHttp(t)
  const live = { createdAt: NOW - 1000, expiresAt: NOW + 1 }
  adminAnswers.links = [
    linkOf({ ...live, id: 'open', tenantLabel: 'Acme', returnTo: 'portal', dataCenter: 'eu', userRefHash: 'f00d' }),
    linkOf({ ...live, id: 'expired', expiresAt: NOW }),
    linkOf({ ...live, id: 'revoked', revokedAt: NOW - 500, confirm: true }),
    linkOf({ ...live, id: 'spent', spentBy: FLOW_ID, starts: 2, revokeSupersededNow: true, expiresAt: NOW - 1 })
  ]
  const response = await api.inject({ url: LINKS, headers: asAdmin })
  t.equal(response.statusCode, 200)
  const { links } = response.json()
  t.strictSame(
    links.map(({ link_id, state }: { link_id: string; state: string }) => [link_id, state]),
    ['open', 'expired', 'revoked', 'spent'].map((state) => [state, state])
  )
  t.strictSame(links[0], {
    link_id: 'open',
    state: 'open',
    app: 'desk',
    tenant_label: 'Acme',
    return_to: 'portal',
    data_center: 'eu',
    confirm: false,
    revoke_superseded: 'later',
    created_at: '2026-11-24T11:59:59.250Z',
    created_by: 'ops',
    expires_at: '2026-11-24T12:00:00.251Z',
    starts: 0
  })
  t.match(links[2], { confirm: true, revoked_at: '2026-11-24T11:59:59.750Z' })
  t.match(links[3], { spent_by: FLOW_ID, starts: 2, revoke_superseded: 'now' })
  t.notMatch(response.body, /f00d|user_ref|\/connect\//)
})

t.test('a link is taken back without a body in the answer', async (t) => {
  const { api, adminCalls } = await startHttp(t)
  const response = await api.inject({ method: 'DELETE', url: `${LINKS}/l1`, headers: asAdmin })
  t.equal(response.statusCode, 204)
  t.equal(response.body, '')
  t.match(adminCalls, [{ method: 'revokeLink', input: { ref: ACME, linkId: 'l1' } }])
})

t.test('a flow is shown with its result once it has one', async (t) => {
  const { api, adminAnswers, adminCalls } = await startHttp(t)
  adminAnswers.flow = flowOf({ startedAt: NOW, deadline: NOW + 600_000 })
  const open = {
    flow_id: FLOW_ID,
    link_id: 'l1',
    status: 'open',
    data_center: 'eu',
    started_at: '2026-11-24T12:00:00.250Z',
    deadline_at: '2026-11-24T12:10:00.250Z'
  }
  t.strictSame((await api.inject({ url: FLOW, headers: asAdmin })).json(), open)
  adminAnswers.flow = { ...adminAnswers.flow, status: 'failed', result: 'scopes_missing', endedAt: NOW }
  t.strictSame((await api.inject({ url: FLOW, headers: asAdmin })).json(), {
    ...open,
    status: 'failed',
    result: 'scopes_missing',
    ended_at: '2026-11-24T12:00:00.250Z'
  })
  t.match(adminCalls[0], { method: 'flow', input: { ref: ACME, flowId: FLOW_ID } })
})

t.test('a confirmation answers with the connection', async (t) => {
  const { api, adminCalls } = await startHttp(t)
  const payload = { user_ref: 'user-42' }
  const response = await api.inject({ method: 'POST', url: `${FLOW}/confirm`, headers: asAdmin, payload })
  t.equal(response.statusCode, 200)
  t.match(response.json(), { connection_id: 'desk', status: 'active' })
  t.match(adminCalls, [{ method: 'confirm', input: { ref: ACME, flowId: FLOW_ID, userRef: 'user-42' } }])
})

t.test('a quarantine takes a reason, {} or nothing at all; lifting it takes nothing', async (t) => {
  const { api, adminCalls } = await startHttp(t)
  const url = `${ONE}/quarantine`
  const bodies = [
    { headers: asAdmin },
    { headers: { ...asAdmin, ...JSON_TYPE } },
    { headers: { ...asAdmin, ...JSON_TYPE }, payload: ' \n' },
    { headers: { ...asAdmin, ...JSON_TYPE }, payload: '{}' },
    { headers: { ...asAdmin, ...JSON_TYPE }, payload: '{"reason": "suspicious"}' }
  ]
  for (const body of bodies) {
    const response = await api.inject({ method: 'POST', url, ...body })
    t.equal(response.statusCode, 200, String(body.payload))
    t.equal(response.json().quarantined, true)
  }
  t.strictSame(
    adminCalls.map(({ input }) => (input as { reason?: string }).reason),
    [undefined, undefined, undefined, undefined, 'suspicious']
  )
  t.notOk(Object.hasOwn(adminCalls[0]?.input as object, 'reason'))
  const lifted = await api.inject({ method: 'DELETE', url, headers: { ...asAdmin, ...JSON_TYPE } })
  t.equal(lifted.statusCode, 200)
  t.match(adminCalls.at(-1), { method: 'liftQuarantine', input: { ref: ACME } })
})

t.test('a disconnect answers 202 with the connection, and purges only when told to', async (t) => {
  const { api, adminCalls } = await startHttp(t)
  for (const [query, purge] of [
    ['', false],
    ['?purge=false', false],
    ['?purge=true', true]
  ] as const) {
    const response = await api.inject({ method: 'DELETE', url: `${ONE}${query}`, headers: asAdmin })
    t.equal(response.statusCode, 202)
    t.match(response.json(), { status: 'disconnecting' })
    t.match(adminCalls.at(-1), { method: 'disconnect', input: { ref: ACME, purge } })
  }
})

t.test('each route asks for its own right, counts against the admin limit and needs a key', async (t) => {
  const { api, adminCalls } = await startHttp(t)
  for (const [method, url, payload] of ROUTES) {
    const ask = (headers: object, path: string = url) =>
      api.inject({ method, url: path, headers: { ...headers }, ...(payload && { payload: { ...payload } }) })
    adminCalls.length = 0
    t.equal((await ask({})).statusCode, 401, `${method} ${url}`)
    t.strictSame(adminCalls, [])
    const allowed = await ask(asAdmin)
    t.ok(allowed.statusCode < 300)
    t.match(allowed.headers['ratelimit-policy'], /^"admin"/)
    t.equal((await ask(asService)).json().code, 'ERR_FORBIDDEN')
    t.equal((await ask(asService, url.replace('acme', 'other'))).json().code, 'ERR_CONNECTION_NOT_FOUND')
  }
})

t.test('every refusal of the domain comes out as its problem', async (t) => {
  const { api, adminAnswers } = await startHttp(t)
  const codes: BrokerErrorCode[] = [
    'ERR_APP_MISMATCH',
    'ERR_DISCONNECTED',
    'ERR_FLOW_EXPIRED',
    'ERR_GRANT_BEING_REVOKED',
    'ERR_INVALID_REQUEST',
    'ERR_LINK_NOT_FOUND',
    'ERR_NOT_CONNECTED',
    'ERR_NOT_DURABLE',
    'ERR_STORE_UNAVAILABLE',
    'ERR_WRONG_USER'
  ]
  for (const code of codes) {
    adminAnswers.failWith = new BrokerError(code, 'What to do.')
    for (const [method, url, payload] of ROUTES) {
      const response = await api.inject({ method, url, headers: asAdmin, ...(payload && { payload: { ...payload } }) })
      t.equal(response.statusCode, STATUS[code], `${method} ${url} ${code}`)
      t.match(response.json(), { code, detail: 'What to do.' })
    }
  }
  t.equal(STATUS.ERR_FLOW_EXPIRED, 410)
  t.equal(STATUS.ERR_WRONG_USER, 409)
  t.equal(STATUS.ERR_LINK_NOT_FOUND, 404)
})
