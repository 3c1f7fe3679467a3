import { hash } from 'node:crypto'
import { fastify } from 'fastify'
import t from 'tap'
import { BrokerError, type BrokerErrorCode } from '../../src/domain/errors.ts'
import { CONSTANT_HEADERS } from '../../src/http/headers.ts'
import { STATUS } from '../../src/http/problem.ts'
import { ConnectionView, TokenReply } from '../../src/http/schemas.ts'
import {
  ACCESS_TOKEN,
  ACME,
  asAdmin,
  asService,
  connectionOf,
  NOW,
  REFRESH_TOKEN,
  SERVICE_KEY,
  service,
  startHttp,
  TOKEN_URL
} from './harness.ts'

const ONE = '/v1/tenants/acme/connections/desk'
const IMPORT = { app: 'desk', data_center: 'eu', refresh_token: REFRESH_TOKEN }

t.test('a token reply has exactly the members of the contract', async (t) => {
  const { api, calls } = await startHttp(t)
  const response = await api.inject({ method: 'POST', url: `${TOKEN_URL}?min_ttl_seconds=1800`, headers: asService })
  t.equal(response.statusCode, 200)
  t.match(response.headers['content-type'], /^application\/json/)
  t.strictSame(response.json(), {
    access_token: ACCESS_TOKEN,
    token_type: 'Zoho-oauthtoken',
    expires_in: 1800,
    expires_at: '2026-11-24T12:30:01.150Z',
    refresh_at: '2026-11-24T12:25:01.150Z',
    generation: 7,
    data_center: 'eu',
    api_domain: 'https://www.zohoapis.eu',
    origins: { api: 'https://www.zohoapis.eu', desk: 'https://desk.zoho.eu' },
    scope: ['Desk.tickets.READ'],
    health: 'ok'
  })
  t.match(calls, [{ method: 'issue', input: { ref: ACME, minTtlMs: 1_800_000, consumer: { name: 'ticket-sync' } } }])
})

t.test('expires_in counts whole seconds from now and never goes below zero', async (t) => {
  const { api, clock } = await startHttp(t)
  clock.at = NOW + 1_799_950
  t.equal((await api.inject({ method: 'POST', url: TOKEN_URL, headers: asService })).json().expires_in, 0)
  clock.at = NOW + 9_999_999
  t.equal((await api.inject({ method: 'POST', url: TOKEN_URL, headers: asService })).json().expires_in, 0)
})

t.test('without min_ttl_seconds the broker gets no wish, and org_id is there only where it is known', async (t) => {
  const { api, calls, records } = await startHttp(t)
  const known = connectionOf(ACME)
  records.set('acme/desk', { ...known, details: { ...known.details, zohoOrg: '7000' } })
  const response = await api.inject({ method: 'POST', url: TOKEN_URL, headers: asService })
  t.equal(response.json().org_id, '7000')
  t.notOk(Object.hasOwn(calls[0]?.input as object, 'minTtlMs'))
})

t.test('a rejected token goes to the broker with its generation and comes back as a token', async (t) => {
  const { api, calls } = await startHttp(t)
  const url = `${TOKEN_URL}/rejected`
  const response = await api.inject({ method: 'POST', url, headers: asService, payload: { generation: 7 } })
  t.equal(response.json().access_token, ACCESS_TOKEN)
  t.match(calls, [{ method: 'rejected', input: { ref: ACME, generation: 7 } }])
})

t.test('a route that takes no body takes an empty one or {} under any content type', async (t) => {
  const { api } = await startHttp(t)
  for (const url of [TOKEN_URL, `${ONE}/refresh`]) {
    for (const type of [
      undefined,
      'application/json',
      'application/x-www-form-urlencoded',
      'text/plain',
      'image/png'
    ]) {
      for (const payload of ['', '{}', ' {}\n']) {
        const headers = { ...asAdmin, ...(type && { 'content-type': type }) }
        const response = await api.inject({ method: 'POST', url, headers, ...(payload && { payload }) })
        t.equal(response.statusCode, 200, `${url} ${type} ${JSON.stringify(payload)}`)
      }
    }
  }
})

t.test('a connection is shown with everything but tokens', async (t) => {
  const { api, records } = await startHttp(t)
  const connection = connectionOf(ACME)
  records.set('acme/desk', {
    ...connection,
    quarantined: true,
    details: {
      ...connection.details,
      zohoUser: '600',
      zohoOrg: '7000',
      failure: { code: 'throttled', count: 2, since: NOW - 9, at: NOW - 5, nextTryAt: NOW + 1000 }
    }
  })
  const response = await api.inject({ url: ONE, headers: asAdmin })
  t.equal(response.statusCode, 200)
  t.strictSame(response.json(), {
    tenant_id: 'acme',
    connection_id: 'desk',
    app: 'desk',
    data_center: 'eu',
    status: 'active',
    quarantined: true,
    generation: 7,
    created_at: '2026-11-24T11:59:00.250Z',
    connected_at: '2026-11-24T11:59:10.250Z',
    status_since: '2026-11-24T11:59:10.250Z',
    access_expires_at: '2026-11-24T12:30:01.150Z',
    scopes: {
      requested: ['Desk.tickets.READ', 'Desk.basic.READ'],
      granted: ['Desk.tickets.READ'],
      missing: ['Desk.basic.READ']
    },
    zoho_user_id: '600',
    org_id: '7000',
    last_error: { code: 'throttled', at: '2026-11-24T12:00:00.245Z', next_try_at: '2026-11-24T12:00:01.250Z' }
  })
})

t.test('members that are not known are absent, not null', async (t) => {
  const { api, records } = await startHttp(t)
  const { access: _, ...pending } = connectionOf(ACME, { status: 'pending', generation: 0 })
  const { connected: __, ...times } = pending.details.times
  records.set('acme/desk', { ...pending, details: { ...pending.details, times } })
  const body = (await api.inject({ url: ONE, headers: asAdmin })).json()
  for (const name of ['access_expires_at', 'connected_at', 'zoho_user_id', 'org_id', 'last_error']) {
    t.notOk(Object.hasOwn(body, name), name)
  }
})

t.test('the list is paged by an opaque cursor', async (t) => {
  const { api, records, calls } = await startHttp(t)
  for (const connection of ['a', 'b', 'c']) {
    records.set(`many/${connection}`, connectionOf({ tenant: 'many', connection }))
  }
  const url = '/v1/tenants/many/connections'
  const first = (await api.inject({ url, query: { limit: '2' }, headers: asAdmin })).json()
  t.strictSame(
    first.connections.map((one: { connection_id: string }) => one.connection_id),
    ['a', 'b']
  )
  const second = (await api.inject({ url, query: { cursor: first.next_cursor }, headers: asAdmin })).json()
  t.strictSame(
    second.connections.map((one: { connection_id: string }) => one.connection_id),
    ['c']
  )
  t.notOk(Object.hasOwn(second, 'next_cursor'))
  t.match(calls, [{ input: { limit: 2 } }, { input: { limit: 50, after: 'b' } }])
})

t.test('an import answers 201 for a new connection and 200 for a known one, and never with the token', async (t) => {
  const { api, calls } = await startHttp(t)
  const url = '/v1/tenants/acme/connections/crm'
  const first = await api.inject({ method: 'PUT', url, headers: asAdmin, payload: IMPORT })
  t.equal(first.statusCode, 201)
  t.equal(first.json().connection_id, 'crm')
  t.equal((await api.inject({ method: 'PUT', url, headers: asAdmin, payload: IMPORT })).statusCode, 200)
  t.match(calls[0], { input: { ref: { connection: 'crm' }, app: 'desk', dataCenter: 'eu' } })
  const input = calls[0]?.input as { refreshToken: { reveal(): string } }
  t.equal(input.refreshToken.reveal(), REFRESH_TOKEN)
  t.notMatch(first.body, REFRESH_TOKEN)
  t.notMatch(JSON.stringify(calls), REFRESH_TOKEN)
})

t.test('a forced refresh answers with the connection', async (t) => {
  const { api, calls } = await startHttp(t)
  const response = await api.inject({ method: 'POST', url: `${ONE}/refresh`, headers: asAdmin })
  t.equal(response.json().generation, 7)
  t.equal(calls[0]?.method, 'forceRefresh')
})

t.test('apps and data centers are shown without secrets, to those who may read everything', async (t) => {
  const { api } = await startHttp(t)
  const apps = await api.inject({ url: '/v1/apps', headers: asAdmin })
  t.strictSame(apps.json(), {
    apps: [
      {
        name: 'desk',
        product: 'desk',
        client_id: '1000.CLIENT',
        scopes: ['Desk.tickets.READ'],
        data_centers: ['eu'],
        start_at: 'eu'
      }
    ]
  })
  const { data_centers: rows } = (await api.inject({ url: '/v1/data-centers', headers: asAdmin })).json()
  t.strictSame(
    rows.find((row: { key: string }) => row.key === 'in'),
    {
      key: 'in',
      accounts: 'https://accounts.zoho.in',
      api: 'https://www.zohoapis.in',
      desk: 'https://desk.zoho.in'
    }
  )
  for (const url of ['/v1/apps', '/v1/data-centers']) {
    t.equal((await api.inject({ url, headers: asService })).json().code, 'ERR_FORBIDDEN')
  }
})

t.test('no answer about a connection holds a token that it should not, whatever its record holds', async (t) => {
  const { api, records } = await startHttp(t)
  const connection = connectionOf(ACME)
  const details = { ...connection.details, refresh_token: REFRESH_TOKEN, access_token: ACCESS_TOKEN }
  records.set('acme/desk', { ...connection, details })
  for (const [method, url] of [
    ['POST', TOKEN_URL],
    ['GET', ONE],
    ['GET', '/v1/tenants/acme/connections'],
    ['POST', `${ONE}/refresh`]
  ] as const) {
    const response = await api.inject({ method, url, headers: asAdmin })
    t.equal(response.statusCode, 200)
    t.notMatch(response.body, REFRESH_TOKEN, url)
    if (url !== TOKEN_URL) t.notMatch(response.body, ACCESS_TOKEN, url)
  }
})

t.test('the reply schemas drop what they do not name', async (t) => {
  const { api } = await startHttp(t)
  const token = (await api.inject({ method: 'POST', url: TOKEN_URL, headers: asAdmin })).json()
  const view = (await api.inject({ url: ONE, headers: asAdmin })).json()
  const app = fastify()
  t.teardown(() => app.close())
  app.get('/token', { schema: { response: { 200: TokenReply } } }, async () => ({
    ...token,
    refresh_token: REFRESH_TOKEN,
    origins: { ...token.origins, refresh_token: REFRESH_TOKEN }
  }))
  app.get('/view', { schema: { response: { 200: ConnectionView } } }, async () => ({ ...view, access_token: 'x' }))
  t.strictSame((await app.inject('/token')).json(), token)
  t.strictSame((await app.inject('/view')).json(), view)
})

t.test('authentication comes before validation, body parsing and everything else', async (t) => {
  const { api, calls } = await startHttp(t)
  const requests = [
    { method: 'POST', url: TOKEN_URL },
    { method: 'POST', url: `${TOKEN_URL}?min_ttl_seconds=none`, payload: 'x'.repeat(20_000) },
    { method: 'POST', url: `/v1/tenants/${'a'.repeat(5000)}/connections/desk/token` },
    { method: 'PUT', url: ONE, payload: '{ not json', headers: { 'content-type': 'application/json' } },
    { method: 'GET', url: '/v1/tenants/__proto__/connections?limit=0' },
    { method: 'GET', url: '/v1/apps' },
    { method: 'GET', url: '/v1/data-centers' }
  ] as const
  for (const request of requests) {
    const response = await api.inject(request)
    t.equal(response.statusCode, 401, request.url.slice(0, 80))
    t.equal(response.json().code, 'ERR_UNAUTHENTICATED')
    t.equal(response.headers['www-authenticate'], 'Bearer')
  }
  t.strictSame(calls, [])
})

t.test('only "Bearer" and a whole known key of at most 512 characters pass', async (t) => {
  const { api } = await startHttp(t)
  const status = async (authorization: string) =>
    (await api.inject({ method: 'POST', url: TOKEN_URL, headers: { authorization } })).statusCode
  t.equal(await status(`Bearer ${SERVICE_KEY}`), 200)
  t.equal(await status(`bearer ${SERVICE_KEY}`), 200)
  const refused = [
    '',
    'Bearer',
    'Bearer ',
    SERVICE_KEY,
    `Basic ${SERVICE_KEY}`,
    `Bearer  ${SERVICE_KEY}`,
    `Bearer ${SERVICE_KEY.slice(0, -1)}`,
    `Bearer ${SERVICE_KEY}x`,
    `Bearer sha256:${hash('sha256', SERVICE_KEY)}`,
    'Bearer __proto__'
  ]
  for (const authorization of refused) t.equal(await status(authorization), 401, authorization)
})

t.test('a key over 512 characters is refused without being hashed', async (t) => {
  const asked: string[] = []
  const consumers = {
    get: (id: string) => {
      asked.push(id)
      return service
    }
  }
  const { api } = await startHttp(t, { consumers })
  const status = async (length: number) =>
    (await api.inject({ method: 'POST', url: TOKEN_URL, headers: { authorization: `Bearer ${'k'.repeat(length)}` } }))
      .statusCode
  t.equal(await status(512), 200)
  t.equal(await status(513), 401)
  t.strictSame(asked, [`sha256:${hash('sha256', 'k'.repeat(512))}`])
})

t.test('a hidden connection and a missing one get the same bytes, apart from the request id', async (t) => {
  const { api, records } = await startHttp(t)
  records.set('other/desk', connectionOf({ tenant: 'other', connection: 'desk' }))
  const ask = async (url: string) => {
    const { body, headers, statusCode } = await api.inject({ method: 'POST', url, headers: asService })
    const { request_id: id } = JSON.parse(body)
    const { ratelimit: _, date: __, ...rest } = headers
    return { id, statusCode, headers: rest, body: body.replace(id, '') }
  }
  const hidden = await ask('/v1/tenants/other/connections/desk/token')
  const missing = await ask('/v1/tenants/other/connections/nope/token')
  t.equal(hidden.statusCode, 404)
  t.not(hidden.id, missing.id)
  t.strictSame({ ...hidden, id: '' }, { ...missing, id: '' })
})

t.test('every error code answers with its status as a whole problem', async (t) => {
  const { api, state } = await startHttp(t)
  for (const [code, status] of Object.entries(STATUS) as [BrokerErrorCode, number][]) {
    state.failWith = new BrokerError(code, `about ${code}`, { cause: new Error('the cause stays inside') })
    for (const [method, url] of [
      ['POST', TOKEN_URL],
      ['GET', ONE]
    ] as const) {
      const response = await api.inject({ method, url, headers: asAdmin })
      t.equal(response.statusCode, status, `${method} ${code}`)
      t.equal(response.headers['content-type'], 'application/problem+json')
      const { request_id: id, ...body } = response.json()
      t.match(id, /^[0-9a-f-]{36}$/)
      t.strictSame(Object.keys(body), ['type', 'title', 'status', 'detail', 'code'])
      t.match(body, { status, code, detail: `about ${code}`, type: /^urn:zoho-token-broker:problem:[a-z-]+$/ })
      t.notOk('retry-after' in response.headers)
    }
  }
})

t.test('Retry-After is whole seconds, rounded up, at least 1', async (t) => {
  const { api, state } = await startHttp(t)
  for (const [retryAfterMs, seconds] of [
    [0, '1'],
    [1, '1'],
    [1000, '1'],
    [1001, '2'],
    [59_999.5, '60']
  ] as const) {
    state.failWith = new BrokerError('ERR_BUSY', 'Busy.', { retryAfterMs })
    const response = await api.inject({ method: 'POST', url: TOKEN_URL, headers: asAdmin })
    t.equal(response.headers['retry-after'], seconds)
  }
})

t.test('an unexpected error tells the caller nothing and the log everything, once', async (t) => {
  const { api, state, faults } = await startHttp(t)
  const unexpected = [
    new Error(`redis said ${REFRESH_TOKEN}`),
    Object.assign(new Error('upstream said 401'), { statusCode: 401, headers: { 'x-leak': 'yes' } }),
    Object.assign(new Error('aborted'), { code: 'ECONNRESET' }),
    'a string',
    undefined,
    null
  ]
  for (const error of unexpected) {
    for (const [method, url] of [
      ['POST', TOKEN_URL],
      ['GET', ONE]
    ] as const) {
      faults.length = 0
      state.failWith = error
      const response = await api.inject({ method, url, headers: asAdmin })
      const body = response.json()
      t.equal(response.statusCode, 500)
      t.match(body, { code: 'ERR_INTERNAL', detail: 'The broker failed. Give its operator the request_id.' })
      t.notOk('x-leak' in response.headers)
      t.strictSame(faults, [{ error, requestId: body.request_id }])
    }
  }
})

t.test('a fault of ours that has a code is reported too, a refusal is not', async (t) => {
  const { api, state, faults } = await startHttp(t)
  for (const [code, times] of [
    ['ERR_SEALED_UNREADABLE', 1],
    ['ERR_STORE_UNAVAILABLE', 0],
    ['ERR_FORBIDDEN', 0]
  ] as const) {
    faults.length = 0
    state.failWith = new BrokerError(code, 'x')
    await api.inject({ method: 'POST', url: TOKEN_URL, headers: asAdmin })
    t.equal(faults.length, times, code)
  }
})

t.test('the request id is ours, whatever the caller sends', async (t) => {
  const { api } = await startHttp(t)
  const headers = { 'x-request-id': 'chosen', 'request-id': 'chosen' }
  const ids = await Promise.all([1, 2].map(async () => (await api.inject({ url: '/nope', headers })).json().request_id))
  t.not(ids[0], 'chosen')
  t.not(ids[0], ids[1])
})

t.test(
  'a connection in a data center that is no longer configured is refused, not given a guessed origin',
  async (t) => {
    const { api, handOuts } = await startHttp(t, { dataCenters: new Map() })
    const response = await api.inject({ method: 'POST', url: TOKEN_URL, headers: asService })
    t.equal(response.json().code, 'ERR_APP_UNKNOWN')
    t.match(handOuts, [{ outcome: 'ERR_APP_UNKNOWN' }])
  }
)

t.test('every hand-out and every refusal is recorded, and never the token', async (t) => {
  const { api, state, handOuts } = await startHttp(t)
  const ask = (url: string) => api.inject({ method: 'POST', url, headers: asService })
  await ask(TOKEN_URL)
  await api.inject({ method: 'POST', url: `${TOKEN_URL}/rejected`, headers: asService, payload: { generation: 1 } })
  await ask('/v1/tenants/other/connections/desk/token')
  state.failWith = new Error('boom')
  await ask(TOKEN_URL)
  const by = { consumer: 'ticket-sync', ref: ACME }
  t.strictSame(handOuts, [
    { ...by, outcome: 'issued', generation: 7, fingerprint: 'f1f1f1f1' },
    { ...by, outcome: 'issued', generation: 7, fingerprint: 'f1f1f1f1' },
    { ...by, ref: { tenant: 'other', connection: 'desk' }, outcome: 'ERR_CONNECTION_NOT_FOUND' },
    { ...by, outcome: 'ERR_INTERNAL' }
  ])
})

t.test('a hand-out that cannot be recorded does not happen', async (t) => {
  const recordHandOut = () => {
    throw new Error('the audit sink is gone')
  }
  const { api, faults } = await startHttp(t, { recordHandOut })
  const response = await api.inject({ method: 'POST', url: TOKEN_URL, headers: asService })
  t.equal(response.statusCode, 500)
  t.notMatch(response.body, ACCESS_TOKEN)
  t.equal(faults.length, 1)
})

t.test('every response to programs carries the constant headers', async (t) => {
  const { http, api, state } = await startHttp(t)
  const answers = [
    await api.inject({ method: 'POST', url: TOKEN_URL, headers: asAdmin }),
    await api.inject({ url: ONE, headers: asAdmin }),
    await api.inject({ url: '/openapi.yaml' }),
    await api.inject({ url: '/nope' }),
    await api.inject({ method: 'DELETE', url: ONE }),
    await api.inject({ url: '/%zz' }),
    await api.inject({ url: ONE }),
    await http.management.inject({ url: '/livez' }),
    await http.management.inject({ url: '/metrics' })
  ]
  state.failWith = new Error('boom')
  answers.push(await api.inject({ url: ONE, headers: asAdmin }))
  for (const { headers, statusCode } of answers) t.match(headers, CONSTANT_HEADERS, String(statusCode))
  t.match(CONSTANT_HEADERS, { 'cache-control': 'no-store', pragma: 'no-cache', 'x-content-type-options': 'nosniff' })
})

t.test('a path that exists for another method answers 405 with what it takes, any other path 404', async (t) => {
  const { api, calls } = await startHttp(t)
  for (const [method, url, allow] of [
    ['GET', TOKEN_URL, 'POST'],
    ['HEAD', TOKEN_URL, 'POST'],
    ['HEAD', ONE, 'GET, PUT, DELETE'],
    ['OPTIONS', ONE, 'GET, PUT, DELETE'],
    ['TRACE', `${ONE}/refresh`, 'POST'],
    ['DELETE', '/openapi.yaml?x=1', 'GET']
  ] as const) {
    const response = await api.inject({ method, url, headers: asAdmin })
    t.equal(response.statusCode, 405, `${method} ${url}`)
    t.equal(response.headers.allow, allow)
    if (method !== 'HEAD') t.equal(response.json().code, 'ERR_ROUTE_NOT_FOUND')
  }
  for (const url of ['/', '/openapiXyaml', '/V1/apps', '/v1/apps/', '//v1/apps', `${TOKEN_URL}/x`]) {
    t.match((await api.inject({ url, headers: asAdmin })).json(), { status: 404, code: 'ERR_ROUTE_NOT_FOUND' }, url)
  }
  t.strictSame(calls, [])
})

t.test('the management listener tells alive, ready and metrics, and nothing of the api', async (t) => {
  let ready = false
  const { http } = await startHttp(t, {
    ready: () => ({ ready, checks: { redis: ready ? 'ok' : 'connecting' } })
  })
  t.strictSame((await http.management.inject('/livez')).json(), { status: 'ok' })
  const before = await http.management.inject('/readyz')
  t.equal(before.statusCode, 503)
  t.strictSame(before.json(), { status: 'not ready', checks: { redis: 'connecting' } })
  ready = true
  const after = await http.management.inject('/readyz')
  t.equal(after.statusCode, 200)
  t.strictSame(after.json(), { status: 'ready', checks: { redis: 'ok' } })
  const metrics = await http.management.inject('/metrics')
  t.equal(metrics.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8')
  t.match(metrics.body, /^up 1$/m)
  t.equal((await http.management.inject({ url: '/v1/apps', headers: asAdmin })).statusCode, 404)
  t.equal((await http.api.inject('/livez')).statusCode, 404)
})
