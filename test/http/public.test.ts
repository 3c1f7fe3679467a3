import { hash } from 'node:crypto'
import type { InjectOptions } from 'fastify'
import { Redis } from 'ioredis'
import t from 'tap'
import type { CallbackRefusal, LinkRefusal } from '../../src/domain/connect-broker.ts'
import { BrokerError } from '../../src/domain/errors.ts'
import { Secret } from '../../src/domain/secret.ts'
import { STYLE_SOURCE } from '../../src/http/public/document.ts'
import { REFUSALS } from '../../src/http/public/refusal-messages.ts'
import { RESULT_CODES } from '../../src/http/public/result-messages.ts'
import type { HttpDeps } from '../../src/http/servers.ts'
import { startTcpProxy, testRedis } from '../helpers/redis.ts'
import { CONSENT_URL, FLOW_ID, LINK_TOKEN, PUBLIC_URL, refusedCallback, STATE } from './connect-fakes.ts'
import { exchange, listen, startHttp } from './harness.ts'

const LINK = `/connect/${LINK_TOKEN}`
const RESULT = `/connect/result/${FLOW_ID}`
const CALLBACK = `/oauth/callback?state=${STATE}&code=1000.c0de&location=eu&accounts-server=https%3A%2F%2Faccounts.zoho.eu`
const OURS = { origin: PUBLIC_URL }
const FORM = { 'content-type': 'application/x-www-form-urlencoded' }
const COOKIE = 'c'.repeat(43)
const MARKER = 'zQmArKeRq'

const csp = (formAction: string) =>
  `default-src 'none';style-src ${STYLE_SOURCE};form-action ${formAction};frame-ancestors 'none';base-uri 'none'`

/** The code that a page shows. */
const codeOf = (page: string) => /<dt>Code<\/dt><dd><code>([a-z_]+)<\/code>/.exec(page)?.[1]

/** The cookie of an answer: its name, its value and its attributes, sorted. */
function cookieOf(header: unknown) {
  const [pair = '', ...attributes] = String(header).split('; ')
  const [name, value = ''] = pair.split('=')
  return { name, value, attributes: attributes.sort() }
}

t.test('a link page is served as it is told, changes nothing and sets no cookie', async (t) => {
  const { web, pageCalls } = await startHttp(t)
  const response = await web.inject(LINK)
  t.equal(response.statusCode, 200)
  t.equal(response.headers['content-type'], 'text/html; charset=utf-8')
  t.match(response.body, 'Connect Zoho for <bdi>Acme Support</bdi>')
  t.match(response.body, 'connect.example.com')
  t.notOk('set-cookie' in response.headers)
  t.notMatch(response.body, LINK_TOKEN)
  t.strictSame(
    pageCalls.map(({ method, input }) => [method, input]),
    [
      ['look', LINK_TOKEN],
      ['formTargets', LINK_TOKEN]
    ]
  )
})

t.test('every answer of the public listener has the headers of a page, refused ones too', async (t) => {
  const { web, answers } = await startHttp(t, { publicLimit: { perMinute: 9, limiter: undefined, prefix: 'ztb' } })
  const seen: Record<string, unknown>[] = []
  const take = async (status: number, request: InjectOptions | string) => {
    const response = await web.inject(request)
    t.equal(response.statusCode, status)
    seen.push(response.headers)
  }
  await take(200, RESULT)
  await take(404, '/nowhere')
  await take(303, { method: 'POST', url: LINK, headers: OURS })
  await take(403, { method: 'POST', url: LINK })
  await take(303, CALLBACK)
  await take(400, '/oauth/callback')
  answers.refused = 'link_expired'
  await take(410, LINK)
  answers.failWith = new Error('boom')
  await take(500, RESULT)
  answers.failWith = new BrokerError('ERR_STORE_UNAVAILABLE', 'x', { retryAfterMs: 1000 })
  await take(503, RESULT)
  await take(429, RESULT)
  for (const headers of seen) {
    t.match(headers, {
      'content-security-policy': csp("'none'"),
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
      pragma: 'no-cache',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'strict-transport-security': 'max-age=31536000',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      'permissions-policy': /camera=\(\)/
    })
    t.notOk('x-powered-by' in headers)
  }
})

t.test('the form of the link page may lead to us, to Zoho and to the return URL, and to nobody else', async (t) => {
  const { web } = await startHttp(t)
  const { headers } = await web.inject(LINK)
  t.equal(
    headers['content-security-policy'],
    csp('https://connect.example.com https://accounts.zoho.eu https://app.example.com')
  )
  // With `no-referrer` browsers would send the form with `Origin: null`.
  t.equal(headers['referrer-policy'], 'same-origin')
  t.match(headers, { 'cache-control': 'no-store', 'x-frame-options': 'DENY' })
})

t.test('on plain http nothing is promised about https', async (t) => {
  const { web } = await startHttp(t, { publicUrl: 'http://127.0.0.1:8080' })
  const { headers } = await web.inject(LINK)
  t.notOk('strict-transport-security' in headers)
  t.match(headers['content-security-policy'], 'form-action http://127.0.0.1:8080 https://accounts.zoho.eu')
})

t.test('the button leads to Zoho with a cookie whose hash the flow knows', async (t) => {
  const { web, pageCalls } = await startHttp(t)
  const response = await web.inject({ method: 'POST', url: LINK, headers: { ...OURS, ...FORM }, payload: '' })
  t.equal(response.statusCode, 303)
  t.equal(response.headers.location, CONSENT_URL)
  t.equal(response.body, '')
  const cookie = cookieOf(response.headers['set-cookie'])
  t.equal(cookie.name, '__Host-ztb-connect')
  t.match(cookie.value, /^[A-Za-z0-9_-]{43}$/)
  t.strictSame(cookie.attributes, ['HttpOnly', 'Max-Age=600', 'Path=/', 'SameSite=Lax', 'Secure'])
  t.strictSame(pageCalls, [
    { method: 'start', input: { linkToken: LINK_TOKEN, cookieHash: hash('sha256', cookie.value) } }
  ])
})

t.test('on a loopback http address the cookie is one that browsers keep there', async (t) => {
  const { web } = await startHttp(t, { publicUrl: 'http://127.0.0.1:8080' })
  const headers = { origin: 'http://127.0.0.1:8080' }
  const response = await web.inject({ method: 'POST', url: LINK, headers })
  const cookie = cookieOf(response.headers['set-cookie'])
  t.equal(cookie.name, 'ztb-connect')
  t.strictSame(cookie.attributes, ['HttpOnly', 'Max-Age=600', 'Path=/', 'SameSite=Lax'])
})

t.test('two tabs share the cookie, which lives for ten more minutes; a malformed one is replaced', async (t) => {
  const { web, pageCalls } = await startHttp(t)
  const start = async (cookie?: string) => {
    const response = await web.inject({ method: 'POST', url: LINK, headers: { ...OURS, ...(cookie && { cookie }) } })
    return cookieOf(response.headers['set-cookie'])
  }
  const first = await start()
  const second = await start(`other=1; __Host-ztb-connect=${first.value};last=2`)
  t.equal(second.value, first.value)
  t.ok(second.attributes.includes('Max-Age=600'))
  t.equal(new Set(pageCalls.map(({ input }) => (input as { cookieHash: string }).cookieHash)).size, 1)
  for (const bad of ['', 'short', 'x'.repeat(44), 'é'.repeat(43), `${'x'.repeat(42)}=`]) {
    const fresh = await start(`__Host-ztb-connect=${bad}`)
    t.match(fresh.value, /^[A-Za-z0-9_-]{43}$/)
    t.not(fresh.value, first.value)
  }
  t.not((await start(`ztb-connect=${COOKIE}`)).value, COOKIE, 'a cookie that any subdomain could set does not count')
})

t.test('only our own page starts a flow', async (t) => {
  const { web, pageCalls } = await startHttp(t)
  const start = (headers: Record<string, string>) => web.inject({ method: 'POST', url: LINK, headers })
  for (const headers of [
    {},
    { origin: 'null' },
    { origin: 'https://evil.example' },
    { origin: `${PUBLIC_URL}.evil.example` },
    { origin: `${PUBLIC_URL}:8443` },
    { origin: 'http://connect.example.com' },
    { origin: 'https://evil.example', 'sec-fetch-site': 'same-origin' },
    { origin: 'null', 'sec-fetch-site': 'same-origin' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'none' },
    { host: 'evil.example', origin: 'https://evil.example' },
    { referer: `${PUBLIC_URL}${LINK}` }
  ] as Record<string, string>[]) {
    const response = await start(headers)
    t.equal(response.statusCode, 403, JSON.stringify(headers))
    t.equal(codeOf(response.body), 'foreign_origin')
    t.notOk('set-cookie' in response.headers)
  }
  t.strictSame(pageCalls, [])
  t.equal((await start({ 'sec-fetch-site': 'same-origin' })).statusCode, 303)
  t.equal((await start({ ...OURS, 'sec-fetch-site': 'same-origin', host: 'inside:8080' })).statusCode, 303)
})

t.test('what is in the form counts for nothing; what is no form or too large is refused', async (t) => {
  const { web, pageCalls } = await startHttp(t)
  const start = (type: string | undefined, payload: string) =>
    web.inject({ method: 'POST', url: LINK, headers: { ...OURS, ...(type && { 'content-type': type }) }, payload })
  const form = FORM['content-type']
  t.equal((await start(form, 'a=1&__proto__=2&%zz')).statusCode, 303)
  t.equal((await start(`${form}; charset=UTF-8`, '')).statusCode, 303)
  t.equal((await start(undefined, '')).statusCode, 303)
  pageCalls.length = 0
  for (const [type, payload, status] of [
    ['application/json', '{}', 415],
    ['text/plain', 'a=1', 415],
    ['multipart/form-data; boundary=x', '--x--', 415],
    [form, 'x'.repeat(1025), 413]
  ] as const) {
    const response = await start(type, payload)
    t.equal(response.statusCode, status, type)
    t.equal(codeOf(response.body), 'bad_request')
  }
  t.strictSame(pageCalls, [])
})

t.test('every refusal of a link has its own page, looked at or started', async (t) => {
  const { web, answers } = await startHttp(t)
  const statuses: Record<LinkRefusal, number> = {
    link_unknown: 404,
    link_expired: 410,
    link_spent: 410,
    link_revoked: 410,
    too_many_starts: 410,
    app_unknown: 410
  }
  for (const [refused, status] of Object.entries(statuses) as [LinkRefusal, number][]) {
    answers.refused = refused
    for (const response of [
      await web.inject(LINK),
      await web.inject({ method: 'POST', url: LINK, headers: { ...OURS, ...FORM } })
    ]) {
      t.equal(response.statusCode, status, refused)
      t.equal(codeOf(response.body), refused)
      t.match(response.body, REFUSALS[refused].title)
      t.notOk('location' in response.headers)
    }
  }
})

t.test('what cannot be a link or a flow is unknown without a look into the store', async (t) => {
  const { web, pageCalls } = await startHttp(t)
  for (const token of ['a.b', 'a%2fb', '%00', '%3Cscript%3E', 'a%0d%0ab', 'x'.repeat(129), 'x'.repeat(9000)]) {
    for (const method of ['GET', 'POST'] as const) {
      const response = await web.inject({ method, url: `/connect/${token}`, headers: OURS })
      t.equal(response.statusCode, 404, token.slice(0, 20))
      t.equal(codeOf(response.body), 'link_unknown')
    }
  }
  for (const id of ['x', FLOW_ID.toUpperCase(), `${FLOW_ID}0`, '%00', '..%2f', '__proto__']) {
    const response = await web.inject(`/connect/result/${id}`)
    t.equal(response.statusCode, 404, id)
    t.equal(codeOf(response.body), 'flow_unknown')
  }
  t.strictSame(pageCalls, [])
})

t.test('HEAD and every other method that no page takes is 404 and reaches nothing', async (t) => {
  const { web, pageCalls } = await startHttp(t)
  for (const url of [LINK, RESULT, CALLBACK, '/', '/connect', '/connect/']) {
    const response = await web.inject({ method: 'HEAD', url, headers: OURS })
    t.equal(response.statusCode, 404, url)
    t.equal(response.body, '')
  }
  for (const [method, url] of [
    ['POST', CALLBACK],
    ['PUT', LINK],
    ['DELETE', LINK],
    ['OPTIONS', LINK],
    ['POST', RESULT],
    ['GET', `${LINK}/`],
    ['GET', '/Connect/x'],
    ['GET', '/v1/apps'],
    ['GET', '/livez'],
    ['GET', '/openapi.yaml']
  ] as const) {
    const response = await web.inject({ method, url, headers: OURS })
    t.equal(response.statusCode, 404, `${method} ${url}`)
    t.equal(codeOf(response.body), 'not_found')
    t.notOk('allow' in response.headers)
  }
  t.strictSame(pageCalls, [])
})

t.test('a callback goes on in the form in which Zoho sends it', async (t) => {
  const { web, pageCalls } = await startHttp(t)
  const cookie = `__Host-ztb-connect=${COOKIE}`
  const ask = async (url: string, headers = {}) => {
    pageCalls.length = 0
    const response = await web.inject({ url, headers })
    t.equal(response.statusCode, 303, url)
    return pageCalls[0]?.input as Record<string, unknown>
  }
  const expected = { state: STATE, location: 'eu', accountsServer: 'https://accounts.zoho.eu' }
  const cookieHash = hash('sha256', COOKIE)
  for (const url of [CALLBACK, `${CALLBACK}&`, `${CALLBACK}&other=1&other=2&accounts_server=x&__proto__=y`]) {
    const { code, ...rest } = await ask(url, { cookie })
    t.strictSame(rest, { ...expected, cookieHash })
    t.ok(code instanceof Secret && code.equals(new Secret('1000.c0de')))
  }
  t.strictSame(await ask(`/oauth/callback?state=${STATE}&error=access_denied`), {
    state: STATE,
    cookieHash: undefined,
    error: 'access_denied'
  })
  t.strictSame(
    await ask(`${CALLBACK}&error=Invalid%20Client`),
    { ...expected, cookieHash: undefined, error: 'Invalid Client' },
    'beside an error no code is handed on'
  )
  const underscore = await ask(`/oauth/callback?state=${STATE}&code=c&accounts_server=https://accounts.zoho.eu`)
  t.notOk('accountsServer' in underscore)
  for (const bad of ['', 'x', `${COOKIE}x`]) {
    const input = await ask(CALLBACK, { cookie: `__Host-ztb-connect=${bad}` })
    t.equal(input.cookieHash, undefined)
  }
})

t.test('a callback without its form is a 400 page, and nobody is asked', async (t) => {
  const { web, pageCalls } = await startHttp(t)
  const long = (length: number) => 'x'.repeat(length)
  for (const query of [
    '',
    '&',
    `state=${STATE}`,
    'code=c',
    `state=&code=c`,
    `state=${STATE}&code=`,
    `state=${STATE}&error=`,
    `state=${STATE}&code=a&code=b`,
    `state=${STATE}&code=a&code=a`,
    `state=${STATE}&state=${STATE}&code=c`,
    `state[]=${STATE}&code=c`,
    `state=${STATE}&code[]=c`,
    `state=${STATE}x&code=c`,
    `state=${STATE.slice(1)}&code=c`,
    `state=${STATE.slice(1)}%7C&code=c`,
    `state=${STATE}%0a&code=c`,
    `state=${long(8192)}&code=c`,
    `state=${STATE}&code=${long(2049)}`,
    `state=${STATE}&code=a%20b`,
    `state=${STATE}&code=a%0d%0ab`,
    `state=${STATE}&code=%C3%A9`,
    `state=${STATE}&error=a&error=b`,
    `state=${STATE}&error=${long(257)}`,
    `state=${STATE}&code=c&location=eu&location=us`,
    `state=${STATE}&code=c&accounts-server=a&accounts-server=b`,
    `state=${STATE}&code=c&accounts-server=${long(257)}`
  ]) {
    const response = await web.inject(`/oauth/callback?${query}`)
    t.equal(response.statusCode, 400, query.slice(0, 80))
    t.equal(codeOf(response.body), 'callback_invalid')
    t.notOk('location' in response.headers)
  }
  t.strictSame(pageCalls, [])
})

t.test('a refused callback is a 400 page of its own', async (t) => {
  const { web, answers } = await startHttp(t)
  for (const why of ['state_unknown', 'browser_mismatch', 'data_center_mismatch'] satisfies CallbackRefusal[]) {
    answers.callback = refusedCallback(why)
    const response = await web.inject(CALLBACK)
    t.equal(response.statusCode, 400)
    t.equal(codeOf(response.body), why)
  }
})

t.test('an ended flow leads to its page, or to the return URL with what is registered kept as it is', async (t) => {
  const { web, answers } = await startHttp(t)
  const target = async (returnUrl?: string) => {
    answers.callback = { kind: 'ended', flowId: FLOW_ID, result: 'access_denied', ...(returnUrl && { returnUrl }) }
    const response = await web.inject(CALLBACK)
    t.equal(response.statusCode, 303)
    t.equal(response.body, '')
    t.notOk('set-cookie' in response.headers, 'other tabs still need the cookie')
    return response.headers.location
  }
  const added = `connect_flow=${FLOW_ID}&result=access_denied`
  for (const [returnUrl, location] of [
    [undefined, RESULT],
    ['https://app.example.com/zoho', `https://app.example.com/zoho?${added}`],
    ['https://app.example.com', `https://app.example.com/?${added}`],
    ['https://app.example.com/zoho?', `https://app.example.com/zoho?${added}`],
    ['https://app.example.com/zoho?a=b%20c&d', `https://app.example.com/zoho?a=b%20c&d&${added}`],
    ['https://app.example.com/#/zoho?x=1', `https://app.example.com/?${added}#/zoho?x=1`]
  ] as const) {
    t.equal(await target(returnUrl), location)
  }
})

t.test('every result has its page with 200, an unknown flow is 404', async (t) => {
  const { web, answers } = await startHttp(t)
  for (const result of RESULT_CODES) {
    answers.result = { status: result === 'connected' ? 'done' : 'failed', result }
    const response = await web.inject(RESULT)
    t.equal(response.statusCode, 200)
    t.equal(codeOf(response.body), result)
  }
  answers.result = { status: 'exchanging' }
  t.match((await web.inject(RESULT)).body, /http-equiv="refresh"/)
  answers.result = undefined
  const unknown = await web.inject(RESULT)
  t.equal(unknown.statusCode, 404)
  t.equal(codeOf(unknown.body), 'flow_unknown')
  t.notMatch(unknown.body, FLOW_ID)
})

t.test('with the store away every page says to try the link again', async (t) => {
  const { web, answers, faults } = await startHttp(t)
  answers.failWith = new BrokerError('ERR_STORE_UNAVAILABLE', MARKER, { retryAfterMs: 1500 })
  for (const request of [LINK, { method: 'POST', url: LINK, headers: OURS } as const, CALLBACK, RESULT]) {
    const response = await web.inject(request)
    t.equal(response.statusCode, 503)
    t.equal(codeOf(response.body), 'store_unavailable')
    t.match(response.body, /try the link again/)
    t.equal(response.headers['retry-after'], '2')
    t.notMatch(response.body, MARKER)
  }
  t.strictSame(faults, [])
})

t.test('a fault of ours is a 500 page that tells only its reference, and is reported with it', async (t) => {
  const { web, answers, faults } = await startHttp(t)
  for (const error of [new Error(MARKER), new BrokerError('ERR_SEALED_UNREADABLE', MARKER)]) {
    faults.length = 0
    answers.failWith = error
    const response = await web.inject(CALLBACK)
    t.equal(response.statusCode, 500)
    t.equal(codeOf(response.body), 'internal_error')
    t.notMatch(response.body, MARKER)
    t.match(response.body, faults[0]?.requestId)
    t.strictSame(faults, [{ error, requestId: faults[0]?.requestId }])
  }
})

t.test('nothing that the browser sends is in any answer', async (t) => {
  const { web, answers } = await startHttp(t)
  const hostile = `${MARKER}%3Cb%3E%22`
  const headers = {
    ...OURS,
    host: `${MARKER}.example`,
    cookie: `${MARKER}=1; __Host-ztb-connect=${MARKER}`,
    'x-forwarded-host': `${MARKER}.example`,
    'user-agent': MARKER,
    'x-request-id': MARKER,
    referer: `https://${MARKER}.example/`
  }
  const state = MARKER.padEnd(43, 'a')
  const urls = [
    `/connect/${MARKER}?${hostile}=${hostile}`,
    `/connect/${hostile}`,
    `/connect/result/${hostile}`,
    `/${hostile}?${hostile}`,
    `/oauth/callback?${hostile}=1`,
    `/oauth/callback?state=${hostile}&code=${hostile}`,
    `/oauth/callback?state=${state}&code=${MARKER}&location=${hostile}&accounts-server=${hostile}&${hostile}=${hostile}`,
    `/oauth/callback?state=${state}&error=${hostile}&error_description=${hostile}`,
    `/%zz${hostile}`
  ]
  for (const refused of [false, true]) {
    answers.callback = refused
      ? refusedCallback('data_center_mismatch')
      : { kind: 'ended', flowId: FLOW_ID, result: 'authorization_failed' }
    for (const url of urls) {
      for (const method of ['GET', 'POST', 'PUT'] as const) {
        const payload = method === 'GET' ? undefined : `${hostile}=${hostile}`
        const response = await web.inject({
          method,
          url,
          headers: { ...headers, ...FORM },
          ...(payload && { payload })
        })
        t.notMatch(`${response.body}\n${JSON.stringify(response.headers)}`, MARKER, `${method} ${url}`)
      }
    }
  }
})

t.test('what never becomes a request is refused without a page', async (t) => {
  const { web } = await startHttp(t)
  const bad = await web.inject('/connect/%zz')
  t.match(bad.json(), { code: 'ERR_INVALID_REQUEST', status: 400 })
  t.match(bad.headers, { 'cache-control': 'no-store', 'content-security-policy': /default-src 'none'/ })
  const port = await listen(web)
  const answer = await exchange(port, `GET ${LINK} HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`)
  t.match(answer, /^HTTP\/1\.1 431 /)
})

t.test('requests are limited per address, as a trusted proxy tells it and as no stranger can', async (t) => {
  const redis = await testRedis(t)
  const limit = (changes: Partial<HttpDeps>) =>
    startHttp(t, {
      publicLimit: { perMinute: 2, limiter: redis.client({ maxRetriesPerRequest: 0 }), prefix: redis.prefix },
      ...changes
    })
  const one = await limit({ trustProxy: ['10.0.0.0/8', '192.0.2.1'] })
  const two = await limit({ trustProxy: ['10.0.0.0/8'] })
  const ask = (web: typeof one.web, remoteAddress: string, forwarded: string, url = RESULT) =>
    web.inject({ url, remoteAddress, headers: { 'x-forwarded-for': forwarded } })

  t.equal((await ask(one.web, '10.1.2.3', '203.0.113.1')).statusCode, 200)
  t.equal(
    (await ask(two.web, '::ffff:10.9.9.9', '203.0.113.1', '/nowhere')).statusCode,
    404,
    'all addresses of all processes'
  )
  const refused = await ask(one.web, '10.1.2.3', '198.51.100.9, 203.0.113.1')
  t.equal(refused.statusCode, 429, 'what stands before the address that the proxy saw counts for nothing')
  t.equal(codeOf(refused.body), 'too_many_requests')
  t.equal(refused.headers['ratelimit-policy'], '"public";q=2;w=60')
  const wait = Number(refused.headers['retry-after'])
  t.ok(wait >= 1 && wait <= 60)
  t.equal(one.pageCalls.length, 1)
  t.equal((await ask(one.web, '10.1.2.3', '203.0.113.2')).statusCode, 200, 'another address counts alone')

  const stranger = async (n: number) => (await ask(one.web, '203.0.113.77', `198.51.100.${n}`)).statusCode
  t.strictSame([await stranger(1), await stranger(2), await stranger(3)], [200, 200, 429], 'a stranger is one address')

  const keys = await redis.client().keys(`${redis.prefix}:*`)
  t.equal(keys.length, 3)
  for (const key of keys) t.match(key.slice(redis.prefix.length), /^:public-limit:[0-9a-f]{32}$/)
})

t.test('with the store of the limit away no page is served, fast, and it heals by itself', async (t) => {
  const redis = await testRedis(t)
  const proxy = await startTcpProxy(t, redis.url)
  const limiter = new Redis(proxy.url, {
    enableOfflineQueue: false,
    commandTimeout: 200,
    maxRetriesPerRequest: 0,
    retryStrategy: () => 20
  })
  limiter.on('error', () => {})
  t.teardown(() => limiter.disconnect())
  const { web, pageCalls } = await startHttp(t, { publicLimit: { perMinute: 100_000, limiter, prefix: redis.prefix } })
  const healthy = async () => {
    const deadline = Date.now() + 5000
    while ((await web.inject(RESULT)).statusCode !== 200) {
      if (Date.now() > deadline) throw new Error('the limiter did not come back')
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  await healthy()
  await proxy.freeze()
  pageCalls.length = 0
  const response = await web.inject(CALLBACK)
  t.equal(response.statusCode, 503)
  t.equal(codeOf(response.body), 'store_unavailable')
  t.equal(response.headers['retry-after'], '1')
  t.strictSame(pageCalls, [])
  await proxy.thaw()
  await healthy()
})
