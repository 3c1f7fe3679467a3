import { connect } from 'node:net'
import t from 'tap'
import { CONSTANT_HEADERS } from '../../src/http/headers.ts'
import { ADMIN_KEY, asAdmin, exchange, listen, REFRESH_TOKEN, startHttp, TOKEN_URL } from './harness.ts'

const ONE = '/v1/tenants/acme/connections/desk'
const JSON_TYPE = { 'content-type': 'application/json' }
const AUTH = `Authorization: Bearer ${ADMIN_KEY}\r\n`

/** The problem in a raw HTTP answer, with its status and the headers. */
function parse(answer: string) {
  const [head = '', body = ''] = answer.split('\r\n\r\n', 2)
  const [first = '', ...lines] = head.split('\r\n')
  const headers = Object.fromEntries(lines.map((line) => line.toLowerCase().split(/: (.*)/s, 2)))
  return { status: Number(first.split(' ')[1]), headers, problem: JSON.parse(body) }
}

t.test('a malformed id is refused with what an id may be, and the broker is not asked', async (t) => {
  const { api, calls } = await startHttp(t)
  const bad = [
    '%2f',
    'a%2fb',
    '%5c',
    '__proto__',
    'constructor%00',
    '%00',
    'a%0a',
    'a%20b',
    'a:b',
    'a*',
    '*',
    '{a}',
    '-a',
    '%C3%A9',
    'a'.repeat(129),
    'a'.repeat(10_000)
  ]
  for (const id of bad) {
    for (const [method, url] of [
      ['POST', `/v1/tenants/${id}/connections/desk/token`],
      ['GET', `/v1/tenants/acme/connections/${id}`],
      ['GET', `/v1/tenants/${id}/connections`]
    ] as const) {
      const response = await api.inject({ method, url, headers: asAdmin })
      t.equal(response.statusCode, 400, `${method} ${url.slice(0, 60)}`)
      t.match(response.json(), {
        code: 'ERR_INVALID_REQUEST',
        detail: /"(tenant|connection)_id" in the path.*1 to 128/
      })
    }
  }
  t.strictSame(calls, [])
})

t.test('dots are ids like any other to the router: refused, never walked', async (t) => {
  const { api, calls } = await startHttp(t)
  const port = await listen(api)
  for (const id of ['..', '.', '%2e%2e', '%2E', '..%2f..', '...']) {
    for (const path of [`/v1/tenants/${id}/connections`, `/v1/tenants/${id}/../v1/tenants/acme/connections`]) {
      const answer = await exchange(port, `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${AUTH}\r\n`)
      const { status, problem } = parse(answer)
      t.ok(status === 400 || status === 404, `${path} ${status}`)
      t.match(problem.code, path.endsWith(`${id}/connections`) ? 'ERR_INVALID_REQUEST' : 'ERR_ROUTE_NOT_FOUND')
    }
  }
  t.strictSame(calls, [])
})

t.test('ids at the edges of the pattern pass', async (t) => {
  const { api } = await startHttp(t)
  for (const id of ['a', '0', 'constructor', 'toString', 'a'.repeat(128), 'A.b_c~d-e', '%61']) {
    const response = await api.inject({ url: `/v1/tenants/${id}/connections`, headers: asAdmin })
    t.equal(response.statusCode, 200, id)
  }
})

t.test('a path that does not decode is a problem like any other', async (t) => {
  const { api } = await startHttp(t)
  for (const url of ['/v1/tenants/%zz/connections', '/v1/tenants/%ff%fe/connections', '/v1/tenants/%/connections']) {
    const response = await api.inject({ url, headers: asAdmin })
    t.equal(response.statusCode, 400, url)
    t.match(response.json(), { code: 'ERR_INVALID_REQUEST', status: 400, request_id: String })
    t.notMatch(response.body, 'tenants')
  }
})

t.test('a body that is not what the schema says is refused with the field and what is allowed', async (t) => {
  const { api, calls } = await startHttp(t)
  const good = { app: 'desk', data_center: 'eu', refresh_token: REFRESH_TOKEN }
  const cases: [body: string, detail: RegExp][] = [
    ['null', /Send a JSON object as the body\. Allowed: app, data_center, refresh_token/],
    ['[]', /Send a JSON object as the body/],
    ['[{"app":"desk"}]', /Send a JSON object as the body/],
    ['7', /Send a JSON object as the body/],
    ['"text"', /Send a JSON object as the body/],
    ['true', /Send a JSON object as the body/],
    ['{}', /Missing "app" in the body: the name of a configured app/],
    ['', /not a valid JSON object/],
    ['{', /not a valid JSON object/],
    [`{"refresh_token": ${REFRESH_TOKEN}}`, /not a valid JSON object/],
    ['{"__proto__": {"app": "desk"}}', /not a valid JSON object/],
    ['{"constructor": {"prototype": {"app": "desk"}}}', /not a valid JSON object/],
    [JSON.stringify({ ...good, extra: 1 }), /Unknown "extra" in the body\. Allowed: app, data_center, refresh_token/],
    [JSON.stringify({ ...good, app: null }), /"app" in the body/],
    [JSON.stringify({ ...good, app: ['desk'] }), /"app" in the body/],
    [JSON.stringify({ ...good, app: 7 }), /"app" in the body/],
    [JSON.stringify({ ...good, app: '' }), /"app" in the body/],
    [JSON.stringify({ ...good, app: 'a'.repeat(129) }), /"app" in the body/],
    [JSON.stringify({ ...good, data_center: '../us' }), /"data_center" in the body.*the key of the data center/],
    [JSON.stringify({ ...good, refresh_token: 'with space' }), /"refresh_token" in the body/],
    [JSON.stringify({ ...good, refresh_token: `${REFRESH_TOKEN}\n` }), /"refresh_token" in the body/],
    [JSON.stringify({ ...good, refresh_token: 'x'.repeat(2049) }), /"refresh_token" in the body/],
    [JSON.stringify({ ...good, ['k'.repeat(300)]: 1 }), /Unknown "k{64}" in the body/]
  ]
  for (const [payload, detail] of cases) {
    const response = await api.inject({ method: 'PUT', url: ONE, headers: { ...asAdmin, ...JSON_TYPE }, payload })
    t.equal(response.statusCode, 400, payload.slice(0, 60))
    t.match(response.json(), { code: 'ERR_INVALID_REQUEST', detail })
    t.notMatch(response.body, REFRESH_TOKEN, 'the value is not repeated')
  }
  t.strictSame(calls, [])
})

t.test('a generation is an integer and nothing that looks like one', async (t) => {
  const { api, calls } = await startHttp(t)
  const url = `${TOKEN_URL}/rejected`
  for (const generation of ['"7"', 'null', '[7]', '7.5', '-1', '1e400', '9007199254740992', 'true', '{}']) {
    const payload = `{"generation": ${generation}}`
    const response = await api.inject({ method: 'POST', url, headers: { ...asAdmin, ...JSON_TYPE }, payload })
    t.equal(response.statusCode, 400, generation)
    t.match(response.json().detail, /"generation" in the body/)
  }
  t.strictSame(calls, [])
})

t.test('JSON routes take application/json only', async (t) => {
  const { api, calls } = await startHttp(t)
  const payload = JSON.stringify({ app: 'desk', data_center: 'eu', refresh_token: REFRESH_TOKEN })
  const send = (type: string) =>
    api.inject({ method: 'PUT', url: ONE, headers: { ...asAdmin, 'content-type': type }, payload })
  for (const type of [
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data',
    'application/json5',
    'text/json',
    'application/merge-patch+json',
    'json',
    '*/*'
  ]) {
    const response = await send(type)
    t.equal(response.statusCode, 415, type)
    t.match(response.json(), { code: 'ERR_INVALID_REQUEST', status: 415, detail: /application\/json/ })
  }
  t.strictSame(calls, [])
  t.equal((await send('application/json; charset=utf-8')).statusCode, 200)
})

t.test('a route that takes no body refuses any other', async (t) => {
  const { api, calls } = await startHttp(t)
  for (const url of [TOKEN_URL, `${ONE}/refresh`]) {
    for (const payload of ['null', '[]', '7', '{"min_ttl_seconds":5}', '{"a"', 'x', `{}${'\n'.repeat(9)}{}`]) {
      for (const type of ['application/json', 'text/plain', 'application/x-www-form-urlencoded']) {
        const headers = { ...asAdmin, 'content-type': type }
        const response = await api.inject({ method: 'POST', url, headers, payload })
        t.equal(response.statusCode, 400, `${type} ${payload}`)
        t.match(response.json(), { code: 'ERR_INVALID_REQUEST', detail: /takes no body/ })
      }
    }
  }
  t.strictSame(calls, [])
})

t.test('a body over 16 KiB is refused, announced or not', async (t) => {
  const { api, calls } = await startHttp(t)
  const port = await listen(api)
  const big = 'x'.repeat(16 * 1024 + 1)
  for (const [method, url] of [
    ['PUT', ONE],
    ['POST', TOKEN_URL],
    ['POST', `${TOKEN_URL}/rejected`]
  ] as const) {
    const response = await api.inject({ method, url, headers: { ...asAdmin, ...JSON_TYPE }, payload: big })
    t.equal(response.statusCode, 413)
    t.match(response.json(), { code: 'ERR_INVALID_REQUEST', status: 413, detail: /16384 bytes/ })
    const chunked = await exchange(
      port,
      `${method} ${url} HTTP/1.1\r\nHost: a\r\n${AUTH}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${big.length.toString(16)}\r\n${big}\r\n0\r\n\r\n`
    )
    t.match(parse(chunked), { status: 413, problem: { code: 'ERR_INVALID_REQUEST' } })
  }
  t.strictSame(calls, [])
})

t.test('query values are exact: no coercion, no doubles, no unknown names', async (t) => {
  const { api, calls } = await startHttp(t)
  const wishes = [
    '0',
    '-1',
    '1801',
    '9999',
    '1.5',
    '1e2',
    '0x10',
    '',
    '%2010',
    '10%20',
    '01',
    'NaN',
    '10&min_ttl_seconds=20'
  ]
  for (const wish of wishes) {
    const url = `${TOKEN_URL}?min_ttl_seconds=${wish}`
    const response = await api.inject({ method: 'POST', url, headers: asAdmin })
    t.equal(response.statusCode, 400, wish)
    t.match(response.json().detail, /"min_ttl_seconds" in the query\. Allowed: a whole number from 1 to 1800/)
  }
  for (const limit of ['0', '201', '1000', '5x', '']) {
    const response = await api.inject({ url: `/v1/tenants/acme/connections?limit=${limit}`, headers: asAdmin })
    t.equal(response.statusCode, 400, limit)
  }
  for (const cursor of ['', '%00', 'AAAA', 'a/b', 'a'.repeat(401)]) {
    const response = await api.inject({ url: `/v1/tenants/acme/connections?cursor=${cursor}`, headers: asAdmin })
    t.equal(response.statusCode, 400, cursor.slice(0, 20))
    t.match(response.json().detail, /"cursor" in the query/)
  }
  for (const [method, url] of [
    ['POST', `${TOKEN_URL}?min_ttl=5`],
    ['POST', `${TOKEN_URL}?__proto__=1`],
    ['GET', `${ONE}?x=1`],
    ['GET', '/v1/apps?x=1'],
    ['GET', '/openapi.yaml?x=1']
  ] as const) {
    const response = await api.inject({ method, url, headers: asAdmin })
    t.match(response.json(), { status: 400, detail: /^Unknown ".+" in the query\./ }, url)
  }
  t.strictSame(calls, [])
})

t.test('every whole number of the ranges passes', async (t) => {
  const { api, calls } = await startHttp(t)
  for (const wish of [1, 9, 10, 99, 100, 999, 1000, 1699, 1700, 1799, 1800]) {
    await api.inject({ method: 'POST', url: `${TOKEN_URL}?min_ttl_seconds=${wish}`, headers: asAdmin })
    t.match(calls.pop(), { input: { minTtlMs: wish * 1000 } })
  }
  for (const limit of [1, 9, 10, 99, 100, 199, 200]) {
    await api.inject({ url: `/v1/tenants/acme/connections?limit=${limit}`, headers: asAdmin })
    t.match(calls.pop(), { input: { limit } })
  }
})

t.test('what is no HTTP gets a problem and a closed connection', async (t) => {
  const { api, calls } = await startHttp(t)
  const port = await listen(api)
  const cases: [name: string, bytes: string, status: number][] = [
    ['not HTTP', 'hello\r\n\r\n', 400],
    ['an unknown method', `BREW ${TOKEN_URL} HTTP/1.1\r\nHost: a\r\n\r\n`, 400],
    ['a header with a line feed', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\nb\r\n\r\n', 400],
    ['two lengths', `POST ${TOKEN_URL} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx`, 400],
    [
      'length and chunks',
      `POST ${TOKEN_URL} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      400
    ],
    ['headers over 16 KiB', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
    ['a URL over 16 KiB', `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 431]
  ]
  for (const [name, bytes, status] of cases) {
    const { headers, problem, ...answer } = parse(await exchange(port, bytes))
    t.equal(answer.status, status, name)
    t.match(problem, { status, code: 'ERR_INVALID_REQUEST', request_id: /^[0-9a-f-]{36}$/ })
    t.match(headers, { ...CONSTANT_HEADERS, 'content-type': 'application/problem+json', connection: 'close' })
  }
  t.strictSame(calls, [])
})

t.test('TRACE, CONNECT and OPTIONS * reach nothing', async (t) => {
  const { api, calls } = await startHttp(t)
  const port = await listen(api)
  const close = 'Host: a\r\nConnection: close\r\n'
  const trace = parse(await exchange(port, `TRACE ${TOKEN_URL} HTTP/1.1\r\n${close}${AUTH}\r\n`))
  t.equal(trace.status, 405)
  t.notMatch(JSON.stringify(trace), ADMIN_KEY)
  const options = parse(await exchange(port, `OPTIONS * HTTP/1.1\r\n${close}\r\n`))
  t.match(options, { status: 404, problem: { code: 'ERR_ROUTE_NOT_FOUND' } })
  t.equal(await exchange(port, `CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n`), '')
  t.strictSame(calls, [])
})

t.test('a body that does not arrive in time gets 408 and the broker is not asked', async (t) => {
  const { api, calls, faults } = await startHttp(t, { requestTimeoutMs: 200 })
  const port = await listen(api)
  const head = `POST ${TOKEN_URL} HTTP/1.1\r\nHost: a\r\n${AUTH}Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{`
  const { status, problem } = parse(await exchange(port, head))
  t.equal(status, 408)
  t.match(problem, { code: 'ERR_INVALID_REQUEST', status: 408 })
  t.strictSame(calls, [])
  t.strictSame(faults, [])
})

t.test('headers that do not arrive in time get 408', async (t) => {
  const { api } = await startHttp(t, { requestTimeoutMs: 200 })
  const port = await listen(api)
  t.equal(parse(await exchange(port, 'GET / HTTP/1.1\r\nHost: a\r\n')).status, 408)
})

t.test('a caller who goes away in the middle of a body is no fault of ours', async (t) => {
  const { api, calls, faults } = await startHttp(t)
  const port = await listen(api)
  const gone = new Promise<void>((resolve) => api.server.once('connection', (socket) => socket.once('close', resolve)))
  const socket = connect(port, '127.0.0.1', () => {
    socket.write(
      `PUT ${ONE} HTTP/1.1\r\nHost: a\r\n${AUTH}Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{`
    )
    api.server.once('request', () => socket.resetAndDestroy())
  })
  await gone
  t.equal((await api.inject({ url: '/v1/apps', headers: asAdmin })).statusCode, 200)
  t.strictSame(faults, [])
  t.strictSame(calls, [])
})

t.test('while it drains, a request on a busy connection is answered and the connection ends', async (t) => {
  const { api, broker } = await startHttp(t)
  let answer = () => {}
  const asked = new Promise<void>((resolve) => {
    const issue = broker.issue
    broker.issue = async (input) => {
      resolve()
      await new Promise<void>((go) => {
        answer = go
      })
      return issue(input)
    }
  })
  const port = await listen(api)
  const request = `POST ${TOKEN_URL} HTTP/1.1\r\nHost: a\r\n${AUTH}Content-Length: 0\r\n\r\n`
  const answered = exchange(port, request)
  await asked
  const closed = api.close()
  answer()
  t.match(await answered, /^HTTP\/1\.1 200 /)
  await closed
})
