import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import t from 'tap'
import type { SimulatorOptions } from '../../src/simulator/server.ts'
import { createTestSimulator } from '../helpers/simulator.ts'
import { untilCalls, untilHeld } from '../helpers/simulator-control.ts'

const CLIENT = { id: '1000.TESTCLIENT', secret: 'a-secret' }
const TOKEN = /^1000\.[0-9a-f]{32}\.[0-9a-f]{32}$/

/** A simulator with a clock that the test moves, and one grant in us. */
async function setup(t: Test, options: SimulatorOptions = {}) {
  let nowMs = Date.now()
  const test = await createTestSimulator(t, { clients: [CLIENT], now: () => nowMs, ...options })
  const { control, dataCenters } = test
  const us = dataCenters.us ?? ''
  const eu = dataCenters.eu ?? ''
  const grant = await control.createGrant({ data_center: 'us', user: 'ann' })
  const refresh = (refreshToken = grant.refresh_token, more: Form = {}, origin = us) =>
    postForm(`${origin}/oauth/v2/token`, {
      grant_type: 'refresh_token',
      refresh_token: refreshToken,
      client_id: CLIENT.id,
      client_secret: CLIENT.secret,
      ...more
    })
  const accessToken = async (refreshToken?: string) => (await refresh(refreshToken)).body.access_token as string
  const tickets = (token: string | undefined, headers: Form = {}, path = '/api/v1/tickets', origin = us) =>
    read(
      fetch(`${origin}${path}`, {
        headers: { ...(token ? { authorization: `Zoho-oauthtoken ${token}` } : {}), ...headers }
      })
    )
  const advance = (ms: number) => {
    nowMs += ms
  }
  return { ...test, us, eu, grant, refresh, accessToken, tickets, advance }
}

type Test = Parameters<typeof createTestSimulator>[0]
type Form = Record<string, string>

const postForm = (url: string, form: Form, headers: Form = {}) =>
  read(fetch(url, { method: 'POST', body: new URLSearchParams(form), headers, redirect: 'manual' }))

async function read(answer: Promise<Response>) {
  const response = await answer
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.startsWith('application/json') && text.endsWith('}')
  return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : {} }
}

t.test('a refresh answers as Zoho does: an access token, no refresh token', async (t) => {
  const { refresh, us } = await setup(t)
  const { status, headers, body } = await refresh()
  t.equal(status, 200)
  t.match(body.access_token, TOKEN)
  t.strictSame(
    { ...body, access_token: '' },
    {
      access_token: '',
      scope: 'Desk.tickets.READ Desk.basic.READ ZohoCRM.users.READ AaaServer.profile.READ',
      api_domain: us,
      token_type: 'Bearer',
      expires_in: 3600
    }
  )
  t.equal(headers.get('server'), 'ZGS')
  t.equal(headers.get('content-type'), 'application/json;charset=UTF-8')
  t.equal(headers.getSetCookie().length, 3)
  t.match(headers.getSetCookie().join('\n'), /^iamcsr=.*^_zcsr_tmp=/ms)
})

t.test('parameters are read from query, form, multipart and Basic', async (t) => {
  const { grant, us, control } = await setup(t)
  const url = `${us}/oauth/v2/token`
  const short = { grant_type: 'refresh_token', refresh_token: grant.refresh_token }
  const all = { ...short, client_id: CLIENT.id, client_secret: CLIENT.secret }
  const multipart = new FormData()
  for (const [name, value] of Object.entries(all)) multipart.set(name, value)
  const basic = { authorization: `Basic ${btoa(`${CLIENT.id}:${CLIENT.secret}`)}` }
  const answers = [
    await read(fetch(`${url}?${new URLSearchParams(all)}`, { method: 'POST' })),
    await postForm(url, all),
    await read(fetch(url, { method: 'POST', body: multipart })),
    await postForm(url, short, basic),
    await read(fetch(`${url}?${new URLSearchParams(short)}`, { method: 'POST', headers: basic }))
  ]
  for (const { body } of answers) t.match(body.access_token, TOKEN)
  const { entries } = await control.ledger()
  t.strictSame(
    entries.map(({ placement }) => placement),
    [['query'], ['body'], ['body'], ['body', 'basic'], ['query', 'basic']]
  )
})

t.test('refused refreshes are errors inside HTTP 200', async (t) => {
  const { refresh, grant, control, eu } = await setup(t)
  await control.createClient({ client_id: 'other', secret: 'other-secret' })
  await control.createClient({ client_id: 'only-eu', secrets: { eu: 'eu-secret' } })
  const other = { client_id: 'other', client_secret: 'other-secret' }
  const cases: [string, string, ReturnType<typeof refresh>][] = [
    ['unknown client', 'invalid_client', refresh(undefined, { client_id: 'nobody' })],
    ['wrong data center', 'invalid_client', refresh(undefined, {}, eu)],
    ['data center not enabled', 'invalid_client', refresh(undefined, { client_id: 'only-eu' })],
    ['unknown grant type', 'invalid_client', refresh(undefined, { grant_type: 'password' })],
    ['wrong secret', 'invalid_client_secret', refresh(undefined, { client_secret: 'no' })],
    ['no secret', 'invalid_client_secret', refresh(undefined, { client_secret: '' })],
    ['unknown token', 'invalid_code', refresh('1000.x.y')],
    ['token of another client', 'invalid_code', refresh(grant.refresh_token, other)],
    ['a code that was never made', 'invalid_code', refresh('', { grant_type: 'authorization_code', code: 'x' })]
  ]
  for (const [name, error, answer] of cases) {
    const { status, body } = await answer
    t.strictSame({ status, body }, { status: 200, body: { error } }, name)
  }
})

t.test('a wrong method or a missing grant_type is a plain 400', async (t) => {
  const { us } = await setup(t)
  t.equal((await read(fetch(`${us}/oauth/v2/token?grant_type=refresh_token`))).status, 400)
  const { status, text } = await postForm(`${us}/oauth/v2/token`, { client_id: CLIENT.id })
  t.equal(status, 400)
  t.notMatch(text, /error"/)
  t.equal((await read(fetch(`${us}/elsewhere`))).status, 404)
})

t.test('a secret may differ per data center', async (t) => {
  const { refresh, control, eu } = await setup(t, {
    clients: [{ id: CLIENT.id, secrets: { us: CLIENT.secret, eu: 'eu-secret' } }]
  })
  const inEu = await control.createGrant({ data_center: 'eu' })
  t.equal((await refresh(inEu.refresh_token, {}, eu)).body.error, 'invalid_client_secret')
  t.match((await refresh(inEu.refresh_token, { client_secret: 'eu-secret' }, eu)).body.access_token, TOKEN)
})

t.test('the eleventh access token in ten minutes is throttled, and further calls keep it shut', async (t) => {
  const { refresh, advance, control } = await setup(t)
  for (let n = 0; n < 10; n += 1) t.equal((await refresh()).status, 200)
  const { status, body } = await refresh()
  t.equal(status, 400)
  t.strictSame(body, {
    error_description: 'You have made too many requests continuously. Please try again after some time.',
    error: 'Access Denied',
    status: 'failure'
  })
  advance(9 * 60_000)
  await control.setKnobs({ throttle_status: 200, throttle_error: '拒绝访问', throttle_description: '请稍后再试。' })
  const again = await refresh(undefined, { client_secret: 'the limiter does not look at it' })
  t.equal(again.status, 200)
  t.strictSame(again.body, { error_description: '请稍后再试。', error: '拒绝访问', status: 'failure' })
  advance(9 * 60_000)
  t.equal((await refresh()).body.status, 'failure', 'the call before kept it shut')
  advance(10 * 60_000)
  t.match((await refresh()).body.access_token, TOKEN)
})

t.test('one more live access token than the cap kills the oldest', async (t) => {
  const { accessToken, tickets } = await setup(t, { knobs: { throttle_mints: 100 } })
  const tokens: string[] = []
  for (let n = 0; n < 16; n += 1) tokens.push(await accessToken())
  const answers = await Promise.all(tokens.map((token) => tickets(token)))
  t.strictSame(
    answers.map(({ status }) => status),
    [401, ...Array(15).fill(200)]
  )
})

t.test('the 21st refresh token of a user and client kills the first and its access tokens', async (t) => {
  const { accessToken, refresh, tickets, control, grant } = await setup(t)
  const token = await accessToken()
  const more = []
  for (let n = 0; n < 20; n += 1) more.push(await control.createGrant({ data_center: 'us', user: 'ann' }))
  t.equal((await refresh()).body.error, 'invalid_code')
  t.equal((await tickets(token)).body.errorCode, 'INVALID_OAUTH')
  t.match((await refresh(more[0]?.refresh_token)).body.access_token, TOKEN)
  const { grants } = await control.listGrants({ grant: grant.grant })
  t.equal(grants[0]?.state, 'evicted')
  t.equal((await control.listGrants({ user: 'ann', state: 'live' })).grants.length, 20)
})

t.test('revoking a refresh token kills its access tokens; the second time is 400', async (t) => {
  const { accessToken, refresh, tickets, grant, us, eu } = await setup(t)
  const token = await accessToken()
  const form = { token: grant.refresh_token }
  t.equal((await postForm(`${eu}/oauth/v2/token/revoke`, form)).status, 400, 'other data center')
  const { status, body } = await postForm(`${us}/oauth/v2/token/revoke`, form)
  t.strictSame({ status, body }, { status: 200, body: { status: 'success' } })
  t.equal((await tickets(token)).status, 401)
  t.equal((await refresh()).body.error, 'invalid_code')
  t.equal((await postForm(`${us}/oauth/v2/token/revoke`, form)).status, 400)
  t.equal((await postForm(`${us}/oauth/v2/token/revoke?token=unknown`, {})).status, 400)
})

t.test('revoking an access token spares its grant', async (t) => {
  const { accessToken, tickets, us } = await setup(t)
  const [first, second] = [await accessToken(), await accessToken()]
  t.equal((await postForm(`${us}/oauth/v2/token/revoke?token=${first}`, {})).status, 200)
  t.equal((await tickets(first)).status, 401)
  t.equal((await tickets(second)).status, 200)
})

t.test('the newer revoke wants Basic, the right type and its own client', async (t) => {
  const { grant, us, control, accessToken } = await setup(t)
  await control.createClient({ client_id: 'other', secret: 'other-secret' })
  const url = `${us}/oauth/v2/revoke/token`
  const form = { token: grant.refresh_token, token_type: 'refresh_token' }
  const basic = (id: string, secret: string) => ({ authorization: `Basic ${btoa(`${id}:${secret}`)}` })
  const own = basic(CLIENT.id, CLIENT.secret)
  const access = { token: await accessToken(), token_type: 'access_token' }
  t.equal((await postForm(url, form)).status, 400, 'no Basic')
  t.equal((await postForm(url, form, basic(CLIENT.id, 'no'))).status, 400, 'wrong secret')
  t.equal((await postForm(url, form, basic('other', 'other-secret'))).status, 400, 'not this client')
  t.equal((await postForm(url, { ...form, token_type: 'access_token' }, own)).status, 400, 'wrong type')
  t.equal((await postForm(url, access, own)).status, 200)
  t.equal((await postForm(url, form, own)).status, 200)
  t.equal((await postForm(url, form, own)).status, 400, 'again')
})

t.test('Desk knows live tokens, scopes and the portal', async (t) => {
  const { accessToken, tickets, control, grant, eu } = await setup(t)
  const token = await accessToken()
  t.equal((await tickets(token)).status, 200)
  t.equal((await tickets(token, { orgId: grant.org_id })).status, 200)
  const organizations = await tickets(token, {}, '/api/v1/organizations')
  t.equal(organizations.body.data[0].id, grant.org_id)
  const narrow = await control.createGrant({ data_center: 'us', scopes: ['Desk.basic.READ'] })
  const cases: [number, string, ReturnType<typeof tickets>][] = [
    [401, 'UNAUTHORIZED', tickets(undefined)],
    [401, 'INVALID_OAUTH', tickets('1000.x.y')],
    [401, 'INVALID_OAUTH', tickets(token, {}, '/api/v1/tickets', eu)],
    [403, 'OAUTH_ORG_MISMATCH', tickets(token, { orgId: '1' })],
    [403, 'SCOPE_MISMATCH', tickets(await accessToken(narrow.refresh_token))]
  ]
  for (const [expected, code, answer] of cases) {
    const { status, body } = await answer
    t.equal(status, expected, code)
    t.equal(body.errorCode, code)
    t.type(body.message, 'string')
  }
})

t.test('CRM says INVALID_TOKEN for a token that is dead or of another data center', async (t) => {
  const { accessToken, tickets, advance, eu } = await setup(t)
  const token = await accessToken()
  const invalid = { code: 'INVALID_TOKEN', details: {}, message: 'invalid oauth token', status: 'error' }
  t.equal((await tickets(token, {}, '/crm/v8/users')).body.users.length, 1)
  t.strictSame((await tickets(token, {}, '/crm/v8/users', eu)).body, invalid)
  t.equal((await tickets(undefined, {}, '/crm/v8/users')).body.code, 'AUTHENTICATION_FAILURE')
  advance(3_600_000)
  const expired = await tickets(token, {}, '/crm/v8/users')
  t.strictSame({ status: expired.status, body: expired.body }, { status: 401, body: invalid })
})

t.test('removing the app, deactivating the user and deleting the client each end what they end', async (t) => {
  const { refresh, accessToken, tickets, control } = await setup(t)
  const app = { data_center: 'us', user: 'ann', client_id: CLIENT.id }
  const token = await accessToken()
  await control.deactivateUser({ data_center: 'us', user: 'ann' })
  t.equal((await refresh()).body.error, 'invalid_code')
  t.equal((await tickets(token)).status, 401)
  await control.setKnobs({ deactivated_user: 'works' })
  const dead = await accessToken()
  t.match(dead, TOKEN)
  t.equal((await tickets(dead)).status, 401, 'the resource refuses either way')
  await control.deactivateUser({ data_center: 'us', user: 'ann', active: true })
  t.equal((await tickets(token)).status, 200)
  t.strictSame(await control.removeConnectedApp(app), { ended: 1 })
  t.equal((await refresh()).body.error, 'invalid_code')
  t.equal((await tickets(token)).status, 401)
  const next = await control.createGrant({ data_center: 'us', user: 'ann' })
  t.strictSame(await control.deleteClient({ client_id: CLIENT.id }), { ended: 1 })
  t.equal((await refresh(next.refresh_token)).body.error, 'invalid_client')
})

t.test('a rotated secret is refused at once, in one data center or all', async (t) => {
  const { refresh, control, eu } = await setup(t)
  const inEu = await control.createGrant({ data_center: 'eu' })
  const { secret } = await control.rotateSecret({ client_id: CLIENT.id, data_center: 'us' })
  t.match(secret, /^[0-9a-f]{42}$/)
  t.equal((await refresh()).body.error, 'invalid_client_secret')
  t.match((await refresh(undefined, { client_secret: secret })).body.access_token, TOKEN)
  t.match((await refresh(inEu.refresh_token, {}, eu)).body.access_token, TOKEN)
})

t.test('the shape of a token answer follows the knobs', async (t) => {
  const { refresh, control, us } = await setup(t)
  await control.setKnobs({ access_life_ms: 2500, expires_in: 's', scope: 'comma' })
  t.match((await refresh()).body, { expires_in: 2, api_domain: us, scope: /READ,Desk/ })
  await control.setKnobs({ expires_in: 'ms', api_domain: 'foreign', scope: 'space' })
  t.match((await refresh()).body, { expires_in: 2500, api_domain: 'https://www.zohoapis.example', scope: /READ Desk/ })
  await control.setKnobs({ expires_in: 'both', api_domain: 'absent', scope: 'absent' })
  const { body } = await refresh()
  t.strictSame(Object.keys(body), ['access_token', 'token_type', 'expires_in_sec', 'expires_in'])
  t.match(body, { expires_in_sec: 2, expires_in: 2500 })
})

t.test('faults that break the reply', async (t) => {
  const { refresh, control, grant } = await setup(t, { knobs: { throttle_mints: 100 } })
  const next = (fault: Parameters<typeof control.setFault>[0]) => control.setFault({ ...fault, calls: 1 })
  const minted = async () => (await control.listAccessTokens({ grant: grant.grant })).access_tokens.length

  await next({ kind: 'html_502' })
  t.match(await refresh(), { status: 502, text: /<html>/ })
  await next({ kind: 'status', status: 500 })
  t.equal((await refresh()).status, 500)
  await next({ kind: 'empty' })
  t.match(await refresh(), { status: 200, text: /^$/ })
  await next({ kind: 'raw', body: '{"access_token":1', content_type: 'text/plain', status: 203 })
  t.match(await refresh(), { status: 203, text: '{"access_token":1' })
  await next({ kind: 'reset' })
  await t.rejects(refresh())
  t.equal(await minted(), 0, 'none of them did the work')

  await next({ kind: 'truncated_json' })
  const { text } = await refresh()
  t.throws(() => JSON.parse(text))
  await next({ kind: 'big_body', bytes: 3_000_000 })
  const big = await refresh()
  t.equal(big.text.length, 3_000_000)
  t.match(big.body.access_token, TOKEN)
  await next({ kind: 'redirect', status: 303, location: 'https://elsewhere.example/' })
  const redirect = await refresh()
  t.match(redirect, { status: 303, body: { access_token: TOKEN } })
  t.equal(redirect.headers.get('location'), 'https://elsewhere.example/')
  await next({ kind: 'reset', after: true })
  await t.rejects(refresh())
  t.equal(await minted(), 4, 'all of them did')

  t.match((await refresh()).body.access_token, TOKEN, 'each was for one call')
  const { entries } = await control.ledger()
  t.strictSame(
    entries.map(({ fault, outcome }) => [fault, outcome]),
    [
      ...['html_502', 'status', 'empty', 'raw', 'reset'].map((kind) => [kind, 'fault']),
      ...['truncated_json', 'big_body', 'redirect', 'reset'].map((kind) => [kind, 'ok']),
      [null, 'ok']
    ]
  )
})

t.test('calls hang before the headers or in the body until the caller goes', async (t) => {
  const { us, control, grant } = await setup(t)
  const form = { grant_type: 'refresh_token', refresh_token: grant.refresh_token }
  const client = { client_id: CLIENT.id, client_secret: CLIENT.secret }
  const body = () => new URLSearchParams({ ...form, ...client })
  const call = () => {
    const leaving = new AbortController()
    const response = fetch(`${us}/oauth/v2/token`, { method: 'POST', body: body(), signal: leaving.signal })
    return { response, leave: () => leaving.abort() }
  }

  await control.setFault({ kind: 'hang', calls: 1 })
  const silent = call()
  await untilCalls(control, { fault: 'hang', outcome: 'fault' }, 1)
  silent.leave()
  await t.rejects(silent.response)

  await control.setFault({ kind: 'hang_body', calls: 1 })
  const half = call()
  const reader = (await half.response).body?.getReader()
  t.match(Buffer.from((await reader?.read())?.value ?? []).toString(), /^{"access_token":"1000/)
  half.leave()
  await t.rejects(async () => void (await reader?.read()))

  await control.setFault({ kind: 'latency', ms: 60_000, after: true, calls: 1 })
  const late = call()
  await untilCalls(control, { outcome: 'ok' }, 2)
  late.leave()
  await t.rejects(late.response)

  await control.setFault({ kind: 'latency', ms: 1 })
  t.equal((await call().response).status, 200)
})

t.test('faults aim at a data center and an endpoint until cleared', async (t) => {
  const { refresh, control, us, eu, grant } = await setup(t)
  const inEu = await control.createGrant({ data_center: 'eu' })
  await control.setFault({ kind: 'html_502', data_center: 'eu' })
  await control.setFault({ kind: 'status', endpoint: 'revoke', calls: 2 })
  t.equal((await refresh(inEu.refresh_token, {}, eu)).status, 502)
  t.equal((await refresh(inEu.refresh_token, {}, eu)).status, 502)
  t.equal((await refresh()).status, 200)
  t.equal((await postForm(`${us}/oauth/v2/token/revoke`, { token: grant.refresh_token })).status, 503)
  t.match(await control.listFaults(), { faults: [{ kind: 'html_502' }, { kind: 'status', calls: 1 }] })
  await control.clearFaults({ data_center: 'eu' })
  t.equal((await refresh(inEu.refresh_token, {}, eu)).status, 200)
  t.match(await control.clearFaults(), { faults: [] })
})

t.test('held calls have arrived, wait, and go on when released', async (t) => {
  const { refresh, control, grant } = await setup(t)
  await control.hold({ data_center: 'us' })
  const calls = [refresh(), refresh(), refresh()]
  await untilHeld(control, 'us', 3)
  t.equal((await control.countCalls({ outcome: 'arrived', refresh_token: grant.grant })).count, 3)
  t.equal((await control.listAccessTokens()).access_tokens.length, 0)
  t.strictSame(await control.release({ data_center: 'us', count: 1 }), { released: 1 })
  t.equal((await Promise.race(calls)).status, 200)
  t.match(await control.waiters(), { count: 2 })
  t.strictSame(await control.release(), { released: 2 })
  t.strictSame(
    (await Promise.all(calls)).map(({ status }) => status),
    [200, 200, 200]
  )
  t.equal((await refresh()).status, 200, 'the gate is open')
})

t.test('a call held at its reply has done its work; a held caller that goes is not served', async (t) => {
  const { refresh, control, us } = await setup(t)
  await control.hold({ data_center: 'us', at: 'reply', calls: 1 })
  const held = refresh()
  await untilHeld(control, 'us', 1)
  t.equal((await control.listAccessTokens()).access_tokens.length, 1)
  t.equal((await refresh()).status, 200, 'only one call was to be held')
  await control.release()
  t.equal((await held).status, 200)

  await control.hold({ data_center: 'us' })
  const leaving = new AbortController()
  const left = fetch(`${us}/oauth/v2/token`, { method: 'POST', signal: leaving.signal })
  await untilHeld(control, 'us', 1)
  leaving.abort()
  await t.rejects(left)
  await untilCalls(control, { outcome: 'abandoned' }, 1)
  t.match(await control.waiters(), { count: 0 })
})

t.test('the ledger holds every call in order, without a token', async (t) => {
  const { refresh, accessToken, tickets, control, grant, us } = await setup(t)
  const token = await accessToken()
  await tickets(token)
  await tickets('dead-token')
  await refresh(undefined, { client_secret: 'wrong-secret' })
  await postForm(`${us}/oauth/v2/token/revoke`, { token: grant.refresh_token }, { 'user-agent': 'a-test' })
  const { entries } = await control.ledger()
  t.strictSame(
    entries.map(({ seq, path, outcome, status }) => [seq, path, outcome, status]),
    [
      [1, '/oauth/v2/token', 'ok', 200],
      [2, '/api/v1/tickets', 'ok', 200],
      [3, '/api/v1/tickets', 'INVALID_OAUTH', 401],
      [4, '/oauth/v2/token', 'invalid_client_secret', 200],
      [5, '/oauth/v2/token/revoke', 'ok', 200]
    ]
  )
  const [minted, used, , , revoked] = entries
  t.match(minted, { method: 'POST', data_center: 'us', grant_type: 'refresh_token', client_id: CLIENT.id })
  t.equal(minted?.refresh_token, grant.grant)
  t.equal(minted?.access_token, used?.access_token)
  t.match(revoked, { user_agent: 'a-test', refresh_token: grant.grant })
  const { secrets } = await control.secrets()
  for (const secret of [token, grant.refresh_token, CLIENT.secret]) t.ok(secrets.includes(secret))
  for (const secret of secrets) t.notOk(JSON.stringify(entries).includes(secret))
  t.equal((await control.countCalls({ path: '/oauth/v2/token', after_seq: 1 })).count, 1)
  await control.clearLedger()
  t.equal((await control.countCalls()).count, 0)
})

t.test('bad control input is a 400 with a sentence and changes nothing', async (t) => {
  const { simulator, control } = await setup(t)
  const before = await control.knobs()
  const cases: [string, string, RegExp][] = [
    ['/set-knobs', '{"access_life_ms":0}', /^access_life_ms: .*1000/],
    ['/set-knobs', '{"acess_life_ms":5000}', /^acess_life_ms: /],
    ['/set-knobs', '[]', /^body: /],
    ['/set-knobs', '{', /JSON/],
    ['/set-fault', '{"kind":"earthquake"}', /^kind: must be one of latency, hang/],
    ['/set-fault', '{"kind":"hang","bytes":3}', /^bytes: /],
    ['/set-fault', '{"kind":"hang","data_center":"mars"}', /no data center mars/],
    ['/create-grant', '{"data_center":"us","client_id":"x"}', /no client x/],
    ['/deactivate-user', '{"data_center":"us","user":"bob"}', /no user bob/],
    ['/create-client', `{"client_id":"${CLIENT.id}"}`, /already/]
  ]
  for (const [path, body, sentence] of cases) {
    const answer = await read(fetch(`${simulator.control}${path}`, { method: 'POST', body }))
    t.equal(answer.status, 400, body)
    t.match(answer.body.error, sentence)
  }
  t.strictSame(await control.knobs(), before)
  t.strictSame(await control.listFaults(), { faults: [] })
  t.equal((await read(fetch(`${simulator.control}/nothing`))).status, 404)
  t.equal((await read(fetch(`${simulator.control}/knobs`, { method: 'PUT' }))).status, 405)
  t.match((await read(fetch(`${simulator.control}/`))).body.controls, ['/create-grant'])
})

t.test('3 000 grants and a burst of 1 000 refreshes are no problem', async (t) => {
  const { simulator, refresh, control } = await setup(t)
  const grants = Array.from({ length: 3000 }, () => simulator.controls.createGrant({ data_center: 'us' }))
  const answers = await Promise.all(grants.slice(0, 1000).map((grant) => refresh(grant.refresh_token)))
  t.equal(new Set(answers.map(({ body }) => body.access_token)).size, 1000)
  t.equal((await control.listGrants()).grants.length, 3001)
})

t.test('the command prints its addresses as one line of JSON and ends with 0 on SIGTERM', async (t) => {
  const args = ['--port-us', '0', '--port-eu', '0', '--control-port', '0', '--client', 'an-id:a:secret']
  const child = startCommand(args)
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
  const { simulator } = JSON.parse(line)
  t.strictSame(Object.keys(simulator.data_centers), ['us', 'eu'])
  const clients = await read(fetch(`${simulator.control}/list-clients`))
  t.strictSame(clients.body.clients, [
    { client_id: 'an-id', secrets: { us: 'a:secret', eu: 'a:secret' }, redirect_uris: [] }
  ])
  child.kill('SIGTERM')
  t.strictSame(await once(child, 'exit'), [0, null])
})

t.test('the command runs any data centers, and its clients have the redirect URIs that it was given', async (t) => {
  const uris = ['https://a.example/oauth/callback', 'https://b.example/oauth/callback']
  const args = ['--data-center', 'in:0', '--data-center', 'eu:1', '--port-eu', '0', '--control-port', '0']
  const child = startCommand([...args, ...uris.flatMap((uri) => ['--redirect-uri', uri])])
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
  const { simulator } = JSON.parse(line)
  t.strictSame(Object.keys(simulator.data_centers), ['in', 'eu'])
  const clients = await read(fetch(`${simulator.control}/list-clients`))
  t.match(clients.body.clients, [{ secrets: { in: String, eu: String }, redirect_uris: uris }])
  const users = await read(fetch(`${simulator.control}/list-users`))
  t.match(users.body.users, [{ data_center: 'in', user: 'sam' }, { user: 'anna' }, { user: 'emil' }])
  child.kill('SIGTERM')
  t.strictSame(await once(child, 'exit'), [0, null])
})

t.test('the command refuses bad flags with one sentence and exit 1', async (t) => {
  const twice = ['--data-center', 'us:0', '--data-center', 'us:0']
  const bad = [['--port-us', 'x'], ['--client', 'hush'], ['--nonsense'], ['--data-center', 'us'], twice]
  for (const args of bad) {
    const child = startCommand(args)
    const [[code], [line]] = await Promise.all([once(child, 'exit'), once(createInterface(child.stderr), 'line')])
    t.equal(code, 1)
    t.match(line, /^simulator: /)
    t.notMatch(line, /hush/)
  }
})

function startCommand(args: string[]) {
  const command = new URL('../../src/commands/simulator.ts', import.meta.url).href
  const program = `import { simulatorCommand } from ${JSON.stringify(command)}
    process.exitCode = await simulatorCommand(${JSON.stringify(args)})`
  return spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'pipe'] })
}
