import { createHash } from 'node:crypto'
import t from 'tap'
import type { SimulatorOptions } from '../../src/simulator/server.ts'
import { createTestSimulator } from '../helpers/simulator.ts'

const CLIENT = { id: '1000.TESTCLIENT', secret: 'a-secret' }
const CALLBACK = 'https://broker.example/oauth/callback'
const TOKEN = /^1000\.[0-9a-f]{32}\.[0-9a-f]{32}$/
const VERIFIER = 'a-verifier.of_sufficient~length-and-more-0123456789'
const SCOPE = 'Desk.tickets.READ,Desk.basic.READ,AaaServer.profile.READ'

type Test = Parameters<typeof createTestSimulator>[0]
type Form = Record<string, string>

/** A simulator with a clock that the test moves, and one client that registered one callback. */
async function setup(t: Test, options: SimulatorOptions = {}) {
  let nowMs = Date.now()
  const clients = [{ ...CLIENT, redirectUris: [CALLBACK] }]
  const test = await createTestSimulator(t, { clients, now: () => nowMs, ...options })
  const { control, dataCenters } = test
  const us = dataCenters.us ?? ''
  const eu = dataCenters.eu ?? ''
  const authorizeUrl = (more: Record<string, string | undefined> = {}, origin = us) =>
    `${origin}/oauth/v2/auth?${parametersOf({
      client_id: CLIENT.id,
      response_type: 'code',
      redirect_uri: CALLBACK,
      scope: SCOPE,
      access_type: 'offline',
      prompt: 'consent',
      state: 'a-state',
      ...more
    })}`
  /** What the callback would receive after ada of us pressed a button. */
  const consent = async (more: Record<string, string | undefined> = {}, who: Partial<Who> = {}) => {
    const { location } = await control.consent({ authorize_url: authorizeUrl(more), user: 'ada', ...who })
    return new URL(location).searchParams
  }
  const codeOf = async (...input: Parameters<typeof consent>) => (await consent(...input)).get('code') ?? ''
  const exchange = (code: string, more: Form = {}, origin = us) =>
    postForm(`${origin}/oauth/v2/token`, {
      grant_type: 'authorization_code',
      code,
      redirect_uri: CALLBACK,
      client_id: CLIENT.id,
      client_secret: CLIENT.secret,
      ...more
    })
  const advance = (ms: number) => {
    nowMs += ms
  }
  return { ...test, us, eu, authorizeUrl, consent, codeOf, exchange, advance }
}

interface Who {
  readonly user: string
  readonly data_center: string
  readonly org_id: string
  readonly decision: 'accept' | 'reject'
}

function parametersOf(values: Record<string, string | undefined>): URLSearchParams {
  return new URLSearchParams(Object.entries(values).filter((pair): pair is [string, string] => pair[1] !== undefined))
}

const postForm = (url: string, form: Form, headers: Form = {}) =>
  read(fetch(url, { method: 'POST', body: new URLSearchParams(form), headers, redirect: 'manual' }))

const get = (url: string, headers: Form = {}) => read(fetch(url, { headers, redirect: 'manual' }))

async function read(answer: Promise<Response>) {
  const response = await answer
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.startsWith('application/json')
  const location = response.headers.get('location') ?? ''
  return { status: response.status, headers: response.headers, text, location, body: isJson ? JSON.parse(text) : {} }
}

t.test('accept leads to the callback with a code, and the code to tokens', async (t) => {
  const { control, authorizeUrl, exchange, us } = await setup(t)
  const state = 'sta te&=?#%2F+ü'
  const { location, screen } = await control.consent({ authorize_url: authorizeUrl({ state }), user: 'ada' })
  t.equal(screen, true)
  const [, sentState, code, server] =
    /^https:\/\/broker\.example\/oauth\/callback\?state=([^&]+)&code=([^&]+)&location=us&accounts-server=([^&]+)&$/.exec(
      location
    ) ?? []
  t.equal(decodeURIComponent(sentState ?? ''), state)
  t.match(code, TOKEN)
  t.equal(server, encodeURIComponent(us))
  const { status, headers, body } = await exchange(code ?? '')
  t.equal(status, 200)
  t.equal(headers.get('server'), 'ZGS')
  t.match(body.refresh_token, TOKEN)
  t.match(body.access_token, TOKEN)
  t.strictSame(
    { ...body, access_token: '', refresh_token: '' },
    {
      access_token: '',
      refresh_token: '',
      scope: SCOPE.replaceAll(',', ' '),
      api_domain: us,
      token_type: 'Bearer',
      expires_in: 3600
    }
  )
  t.strictSame((await exchange(code ?? '')).body, { error: 'invalid_code' }, 'a code is good once')
  const again = await exchange('', { grant_type: 'refresh_token', refresh_token: body.refresh_token })
  t.match(again.body.access_token, TOKEN)
})

t.test('reject leads to the callback with access_denied and the state', async (t) => {
  const { control, authorizeUrl } = await setup(t)
  const reject = (url: string) => control.consent({ authorize_url: url, user: 'ada', decision: 'reject' })
  t.equal((await reject(authorizeUrl())).location, `${CALLBACK}?error=access_denied&state=a-state`)
  t.equal((await reject(authorizeUrl({ state: undefined }))).location, `${CALLBACK}?error=access_denied`)
})

t.test('a request that Zoho does not take ends on its own page, never at the callback', async (t) => {
  const { authorizeUrl, control, us, eu } = await setup(t)
  await control.createClient({ client_id: 'only-eu', secrets: { eu: 'eu-secret' } })
  const cases: [string, Record<string, string | undefined>][] = [
    ['Invalid response type', { client_id: undefined }],
    ['Invalid response type', { response_type: undefined }],
    ['Invalid Client', { client_id: 'nobody' }],
    ['Invalid Client', { client_id: 'only-eu' }],
    ['Invalid Client', { response_type: 'token' }],
    ['An error occurred', { response_type: 'Code' }],
    ['Invalid OAuth scope', { scope: undefined }],
    ['Invalid OAuth scope', { scope: 'Desk.tickets.READ Desk.basic.READ' }],
    ['Invalid OAuth scope', { scope: 'Desk.tickets.READ, Desk.basic.READ' }],
    ['Invalid OAuth scope', { scope: `${SCOPE},Desk.tickets.READS` }],
    ['Invalid Redirect Uri', { redirect_uri: undefined }],
    ['Invalid Redirect Uri', { redirect_uri: `${CALLBACK} ` }],
    ['Invalid Redirect Uri', { redirect_uri: `${CALLBACK}/` }],
    ['Invalid Redirect Uri', { redirect_uri: 'http://127.0.0.1:8080/oauth/callback' }],
    ['An error occurred', { code_challenge: 'short' }],
    ['An error occurred', { code_challenge: VERIFIER, code_challenge_method: 's256' }]
  ]
  for (const [page, change] of cases) {
    const { status, location, text, headers } = await get(authorizeUrl(change))
    t.equal(status, page === 'An error occurred' ? 500 : 400, JSON.stringify(change))
    t.match(text, `<h1 class="bad">${page}</h1>`)
    t.match(headers.get('content-type'), 'text/html')
    t.equal(location, '')
    await t.rejects(control.consent({ authorize_url: authorizeUrl(change), user: 'ada' }), { message: page })
    t.equal((await control.ledger({ path: '/oauth/v2/auth' })).entries.at(-1)?.outcome, page)
  }
  const query = authorizeUrl({ redirect_uri: 'https://evil.example/' }).split('?')[1]
  const form = { user: 'us/ada', decision: 'accept' }
  t.equal((await postForm(`${us}/oauth/v2/consent?${query}`, form)).location, '', 'nor past the page')
  t.equal(
    (await get(authorizeUrl({ client_id: 'only-eu', redirect_uri: loopback('/oauth/callback') }, eu))).status,
    200
  )
  for (const method of ['POST', 'HEAD', 'PUT']) {
    t.equal((await read(fetch(authorizeUrl(), { method }))).status, 400, method)
  }
})

t.test('a client that registered nothing has every callback on loopback', async (t) => {
  const { authorizeUrl, control } = await setup(t, { clients: [CLIENT] })
  const good = ['/oauth/callback', '/a/b/oauth/callback'].map(loopback)
  for (const redirect_uri of [...good, 'http://localhost/oauth/callback', 'http://[::1]:1/oauth/callback']) {
    t.equal((await get(authorizeUrl({ redirect_uri }))).status, 200, redirect_uri)
  }
  const bad = ['/', '/oauth/callback/', '/oauth/callback?a=b', '/my-oauth/callback'].map(loopback)
  for (const redirect_uri of [...bad, CALLBACK, 'http://127.0.0.1.evil.example/oauth/callback']) {
    t.equal((await get(authorizeUrl({ redirect_uri }))).status, 400, redirect_uri)
  }
  await control.setRedirectUris({ client_id: CLIENT.id, redirect_uris: [`${CALLBACK}?a=b`] })
  t.equal((await get(authorizeUrl({ redirect_uri: good[0] }))).status, 400)
  const { location } = await control.consent({
    authorize_url: authorizeUrl({ redirect_uri: `${CALLBACK}?a=b` }),
    user: 'ada'
  })
  t.match(location, `${CALLBACK}?a=b&state=a-state&code=1000.`)
})

const loopback = (path: string) => `http://127.0.0.1:8080${path}`

t.test('a refresh token comes only with offline access and a screen', async (t) => {
  const { control, authorizeUrl, exchange } = await setup(t)
  const connect = async (more: Record<string, string | undefined>) => {
    const { location, screen } = await control.consent({ authorize_url: authorizeUrl(more), user: 'ada' })
    const { body } = await exchange(new URL(location).searchParams.get('code') ?? '')
    t.match(body.access_token, TOKEN)
    return [screen, 'refresh_token' in body]
  }
  const silent = { prompt: undefined }
  t.strictSame(await connect({ ...silent, access_type: undefined }), [true, false], 'online')
  await control.removeConnectedApp({ data_center: 'us', user: 'ada' })
  t.strictSame(await connect(silent), [true, true], 'first consent')
  t.strictSame(await connect(silent), [false, false], 'second consent')
  t.strictSame(await connect({ ...silent, scope: 'Desk.tickets.READ' }), [false, false], 'fewer scopes')
  t.strictSame(await connect({ ...silent, scope: `${SCOPE},Desk.search.READ` }), [true, true], 'more scopes')
  t.strictSame(await connect({}), [true, true], 'forced')
  t.strictSame(await connect({ access_type: 'online' }), [true, false], 'forced but online')
  t.strictSame(await control.removeConnectedApp({ data_center: 'us', user: 'ada' }), { ended: 6 })
  t.strictSame(await connect(silent), [true, true], 'the app was removed')
})

t.test('the code is made where the user lives and is good only there', async (t) => {
  const { consent, exchange, control, us, eu, authorizeUrl } = await setup(t)
  const query = await consent({}, { user: 'anna', data_center: 'eu' })
  t.equal(query.get('location'), 'eu')
  t.equal(query.get('accounts-server'), eu)
  const code = query.get('code') ?? ''
  t.equal((await exchange(code)).body.error, 'invalid_client')
  const { body } = await exchange(code, {}, eu)
  t.equal(body.api_domain, eu)
  t.match((await control.listGrants({ user: 'anna' })).grants, [{ data_center: 'eu', access_type: 'offline' }])
  await control.createClient({ client_id: 'only-us', secrets: { us: 'x' }, redirect_uris: [CALLBACK] })
  const url = authorizeUrl({ client_id: 'only-us' })
  await t.rejects(control.consent({ authorize_url: url, user: 'anna', data_center: 'eu' }), /Invalid Client/)
  await control.consent({ authorize_url: url, user: 'anna' })
  t.equal((await control.listUsers()).users.filter(({ user }) => user === 'anna').length, 2, 'another anna, in us')
  const elsewhere = authorizeUrl({}, us.replace('http:', 'https:'))
  await t.rejects(control.consent({ authorize_url: elsewhere, user: 'ada' }), /authorize_url: must be/)
})

t.test('refused exchanges are errors inside HTTP 200, and the code stays good', async (t) => {
  const { codeOf, exchange, control, advance } = await setup(t)
  await control.createClient({ client_id: 'other', secret: 'other-secret' })
  const code = await codeOf()
  const cases: [string, string, Form][] = [
    ['unknown client', 'invalid_client', { client_id: 'nobody' }],
    ['wrong secret', 'invalid_client_secret', { client_secret: 'no' }],
    ['another client', 'invalid_code', { client_id: 'other', client_secret: 'other-secret' }],
    ['no code', 'invalid_code', { code: '' }],
    ['unknown code', 'invalid_code', { code: '1000.x.y' }],
    ['no redirect URI', 'invalid_redirect_uri', { redirect_uri: '' }],
    ['another redirect URI', 'invalid_redirect_uri', { redirect_uri: `${CALLBACK}/` }]
  ]
  for (const [name, error, change] of cases) {
    const { status, body } = await exchange(code, change)
    t.strictSame({ status, body }, { status: 200, body: { error } }, name)
  }
  await control.deactivateUser({ data_center: 'us', user: 'ada' })
  t.equal((await exchange(code)).body.error, 'invalid_code')
  await t.rejects(codeOf(), /deactivated/)
  await control.deactivateUser({ data_center: 'us', user: 'ada', active: true })
  advance(119_999)
  t.match((await exchange(code)).body.access_token, TOKEN)
  await control.setKnobs({ code_life_ms: 60_000 })
  const late = await codeOf()
  advance(60_000)
  t.equal((await exchange(late)).body.error, 'invalid_code', 'expired')
})

t.test('the verifier is checked against the challenge unless the knob says otherwise', async (t) => {
  const { codeOf, exchange, control } = await setup(t)
  const hashed = createHash('sha256').update(VERIFIER).digest('base64url')
  const s256 = { code_challenge: hashed, code_challenge_method: 'S256' }
  const good = { code_verifier: VERIFIER }
  const bad = { code_verifier: VERIFIER.replace('a', 'b') }
  t.equal((await exchange(await codeOf(s256), bad)).body.error, 'invalid_code')
  t.equal((await exchange(await codeOf(s256))).body.error, 'invalid_code', 'no verifier')
  t.match((await exchange(await codeOf(s256), good)).body.access_token, TOKEN)
  t.match((await exchange(await codeOf({ code_challenge: VERIFIER }), good)).body.access_token, TOKEN, 'plain')
  t.equal((await exchange(await codeOf({ code_challenge: hashed }), good)).body.error, 'invalid_code', 'plain')
  t.match((await exchange(await codeOf(), good)).body.access_token, TOKEN, 'no challenge')
  await control.setKnobs({ pkce: 'ignored' })
  t.match((await exchange(await codeOf(s256), bad)).body.access_token, TOKEN)
})

t.test('the eleventh code of a client in ten minutes is denied', async (t) => {
  const { consent, advance, control } = await setup(t)
  for (let n = 0; n < 10; n += 1) t.match((await consent()).get('code'), TOKEN)
  t.equal((await consent({}, { user: 'grace' })).toString(), 'error=access_denied&state=a-state')
  t.equal((await control.countCalls({ outcome: 'too_many_codes' })).count, 1)
  advance(600_000)
  t.match((await consent()).get('code'), TOKEN)
  await control.setKnobs({ codes_per_window: 1 })
  t.equal((await consent()).get('error'), 'access_denied')
})

t.test('each forced consent counts to the 20 refresh tokens of user and client', async (t) => {
  const { codeOf, exchange, control } = await setup(t, { knobs: { codes_per_window: 100 } })
  const first = (await exchange(await codeOf())).body.refresh_token
  for (let n = 0; n < 20; n += 1) await exchange(await codeOf())
  const refresh = { grant_type: 'refresh_token', refresh_token: first }
  t.equal((await exchange('', refresh)).body.error, 'invalid_code')
  t.equal((await control.listGrants({ user: 'ada', state: 'live' })).grants.length, 20)
})

t.test('refresh tokens of one user within a minute can be limited', async (t) => {
  const { codeOf, exchange, advance } = await setup(t, { knobs: { refresh_tokens_per_minute: 1 } })
  t.match((await exchange(await codeOf())).body.refresh_token, TOKEN)
  const code = await codeOf()
  t.match(await exchange(code), { status: 400, body: { error: 'Access Denied', status: 'failure' } })
  t.match((await exchange(await codeOf({}, { user: 'grace' }))).body.refresh_token, TOKEN, 'another user')
  advance(60_000)
  t.match((await exchange(code)).body.refresh_token, TOKEN)
})

t.test('a consent may give fewer scopes than asked, and other scopes may be known', async (t) => {
  const { codeOf, exchange, control } = await setup(t)
  await control.setKnobs({ grant_scopes: ['Desk.basic.READ', 'Desk.search.READ'] })
  t.equal((await exchange(await codeOf())).body.scope, 'Desk.basic.READ')
  await control.setKnobs({ grant_scopes: null, known_scopes: ['Made.up.READ'] })
  t.equal((await exchange(await codeOf({ scope: 'Made.up.READ' }))).body.scope, 'Made.up.READ')
  await t.rejects(codeOf(), /Invalid OAuth scope/)
})

t.test('the callback can name a wrong place, or none', async (t) => {
  const { consent, control, authorizeUrl } = await setup(t)
  await control.setKnobs({
    callback_location: 'zz',
    callback_accounts_server: 'https://accounts.zoho.com@evil.example'
  })
  const query = await consent()
  t.equal(query.get('location'), 'zz')
  t.equal(query.get('accounts-server'), 'https://accounts.zoho.com@evil.example')
  await control.setKnobs({ callback_location: 'absent', callback_accounts_server: 'absent' })
  const { location } = await control.consent({ authorize_url: authorizeUrl({ state: undefined }), user: 'ada' })
  t.match(location, /\?code=[^&]+&$/)
})

t.test('a code of the self client needs no redirect URI', async (t) => {
  const { control, exchange, advance, eu } = await setup(t)
  const make = (life_ms?: number) =>
    control.createSelfClientCode({
      data_center: 'eu',
      scopes: ['Desk.basic.READ'],
      user: 'emil',
      ...(life_ms ? { life_ms } : {})
    })
  const { code, user } = await make()
  t.match(code, TOKEN)
  t.equal(user, 'emil')
  t.equal((await exchange(code, { redirect_uri: '' })).body.error, 'invalid_client', 'wrong data center')
  const { body } = await exchange(code, { redirect_uri: '' }, eu)
  t.match(body, { refresh_token: TOKEN, scope: 'Desk.basic.READ' })
  const late = await make(600_000)
  advance(600_000)
  t.equal((await exchange(late.code, {}, eu)).body.error, 'invalid_code')
})

t.test('user info says whose token it is, with the profile scope in any case', async (t) => {
  const { codeOf, exchange, control, us, eu } = await setup(t)
  const { zuid } = await control.createUser({
    data_center: 'us',
    name: 'Ada King Lovelace',
    email: 'ada@lovelace.example'
  })
  const tokenFor = async (scope: string) =>
    (await exchange(await codeOf({ scope }, { user: 'Ada King Lovelace' }))).body.access_token
  const infoOf = (authorization: string, origin = us) => get(`${origin}/oauth/user/info`, { authorization })
  const profile = {
    First_Name: 'Ada',
    Last_Name: 'King Lovelace',
    Display_Name: 'Ada King Lovelace',
    Email: 'ada@lovelace.example',
    ZUID: Number(zuid)
  }
  const token = await tokenFor('aaaserver.profile.Read')
  t.strictSame((await infoOf(`Zoho-oauthtoken ${token}`)).body, profile)
  t.strictSame((await infoOf(`Bearer ${token}`)).body, profile)
  const other = await tokenFor('Desk.basic.READ')
  const cases: [string, ReturnType<typeof infoOf>][] = [
    ['INVALID_OAUTHSCOPE', infoOf(`Bearer ${other}`)],
    ['INVALID_OAUTHTOKEN', infoOf('Bearer 1000.x.y')],
    ['INVALID_OAUTHTOKEN', infoOf(`Bearer ${token}`, eu)],
    ['INVALID_OAUTHTOKEN', get(`${us}/oauth/user/info`)]
  ]
  for (const [code, answer] of cases) t.match(await answer, { status: 401, body: { code } })
  t.equal((await postForm(`${us}/oauth/user/info`, {}, { authorization: `Bearer ${token}` })).status, 400)
})

t.test('a token is bound to the portal that the user picked', async (t) => {
  const { control, codeOf, exchange, us } = await setup(t)
  const orgs = [{ name: 'First' }, { id: '77', name: 'Second' }]
  const created = await control.createUser({ data_center: 'us', name: 'max', orgs })
  t.match(created, { email: 'max@example.com', orgs: [{ id: /^\d{14}$/, name: 'First' }, orgs[1]], active: true })
  const portals = async (who: Partial<Who>) => {
    const { body } = await exchange(await codeOf({}, { user: 'max', ...who }))
    const authorization = `Zoho-oauthtoken ${body.access_token}`
    const listed = (await get(`${us}/api/v1/organizations`, { authorization })).body.data
    const other = await get(`${us}/api/v1/tickets`, { authorization, orgId: '77' })
    return [listed.map(({ companyName }: { companyName: string }) => companyName), other.status]
  }
  t.strictSame(await portals({}), [['First'], 403])
  t.strictSame(await portals({ org_id: '77' }), [['Second'], 200])
})

t.test('the page works in a browser without script, and remembers who signed in', async (t) => {
  const { authorizeUrl, control, exchange, us } = await setup(t)
  const [first, second] = ['41', '42']
  const name = '<b>Mallory</b>'
  await control.createUser({ data_center: 'eu', name, orgs: [{ id: first, name: 'A&B' }, { id: second }] })
  await control.deactivateUser({ data_center: 'us', user: 'grace' })
  const url = authorizeUrl({ state: '"><script>' })
  const page = await get(url)
  t.equal(page.status, 200)
  t.match(page.headers.get('content-security-policy'), "default-src 'none'")
  t.notMatch(page.text, /<script|<b>Mallory|grace/)
  t.match(page.text, 'A&amp;B (41)')
  for (const scope of SCOPE.split(',')) t.match(page.text, `<code>${scope}</code>`)
  const users = [...page.text.matchAll(/type="radio" name="user" value="([^"]*)" required( checked)?/g)]
  t.strictSame(
    users.map(([, user, checked]) => [user, checked !== undefined]),
    [
      ['us/ada', true],
      ['eu/anna', false],
      ['eu/emil', false],
      ['eu/&lt;b&gt;Mallory&lt;/b&gt;', false]
    ]
  )
  const action = us + (/action="([^"]*)"/.exec(page.text)?.[1] ?? '').replaceAll('&amp;', '&')
  const form = { user: `eu/${name}`, [`org:eu/${name}`]: second, decision: 'accept' }
  const accepted = await postForm(action, form)
  t.equal(accepted.status, 302)
  const query = new URL(accepted.location).searchParams
  t.equal(query.get('state'), '"><script>')
  t.equal(query.get('location'), 'eu')
  await exchange(query.get('code') ?? '', {}, query.get('accounts-server') ?? '')
  t.match((await control.listGrants({ user: name })).grants, [{ org_id: second }])

  const [cookie = ''] = accepted.headers.getSetCookie()[0]?.split(';') ?? []
  const silent = await get(authorizeUrl({ prompt: undefined }), { cookie: `a=b; ${cookie}` })
  t.match(silent, { status: 302, location: /code=1000\..*&location=eu&/ })
  t.match((await get(url, { cookie })).text, /required checked>\s*<strong>&lt;b&gt;Mallory/)
  await control.deactivateUser({ data_center: 'eu', user: name })
  t.equal((await get(authorizeUrl({ prompt: undefined }), { cookie })).status, 200, 'signed out')

  t.equal(
    (await postForm(action, { ...form, decision: 'reject' })).location.split('?')[1]?.slice(0, 19),
    'error=access_denied'
  )
  for (const change of [{ user: 'us/nobody' }, { user: 'us/grace' }, { decision: 'perhaps' }, { 'org:us/ada': '1' }]) {
    t.equal((await postForm(action, { user: 'us/ada', decision: 'accept', ...change })).status, 400)
  }
})

t.test('the ledger tells a consent from its exchange to its use, by hashes', async (t) => {
  const { control, consent, exchange, us } = await setup(t)
  const hashed = createHash('sha256').update(VERIFIER).digest('base64url')
  const code = (await consent({ code_challenge: hashed, code_challenge_method: 'S256' })).get('code') ?? ''
  const { body } = await exchange(code, { code_verifier: VERIFIER })
  await get(`${us}/oauth/user/info`, { authorization: `Bearer ${body.access_token}` })
  const { entries } = await control.ledger()
  t.strictSame(
    entries.map(({ method, path, outcome, status }) => [method, path, outcome, status]),
    [
      ['GET', '/oauth/v2/auth', 'screen', 200],
      ['POST', '/oauth/v2/consent', 'ok', 302],
      ['POST', '/oauth/v2/token', 'ok', 200],
      ['GET', '/oauth/user/info', 'ok', 200]
    ]
  )
  const [asked, consented, exchanged, used] = entries
  const { grants } = await control.listGrants()
  t.match(
    [asked, consented],
    [
      { client_id: CLIENT.id, code: null },
      { code: /^[0-9a-f]{8}$/, connection: 0 }
    ]
  )
  t.match(exchanged, { grant_type: 'authorization_code', code: consented?.code, refresh_token: grants[0]?.grant })
  t.equal(used?.access_token, exchanged?.access_token)
  t.equal((await control.countCalls({ code: consented?.code ?? '' })).count, 2)
  const { secrets } = await control.secrets()
  for (const secret of [code, VERIFIER, body.access_token, body.refresh_token]) t.ok(secrets.includes(secret))
  for (const secret of secrets) t.notOk(JSON.stringify(entries).includes(secret))
})

t.test('faults and the gate can aim at the consent page and at user info', async (t) => {
  const { control, authorizeUrl, us } = await setup(t)
  await control.setFault({ kind: 'html_502', endpoint: 'authorize', calls: 1 })
  await control.setFault({ kind: 'status', endpoint: 'user_info', calls: 1 })
  t.equal((await get(authorizeUrl())).status, 502)
  t.equal((await get(authorizeUrl())).status, 200)
  t.equal((await get(`${us}/oauth/user/info`)).status, 503)
  t.equal((await get(`${us}/oauth/user/info`)).status, 401)
})

t.test('serverinfo, discovery and the key set say where everything is', async (t) => {
  const { control, us, eu, dataCenters } = await setup(t)
  t.strictSame((await get(`${eu}/oauth/serverinfo`)).body, { result: 'success', locations: { us, eu } })
  t.strictSame(await control.listDataCenters(), { data_centers: dataCenters })
  const { body } = await get(`${eu}/.well-known/openid-configuration`)
  t.match(body, { issuer: eu, authorization_endpoint: `${eu}/oauth/v2/auth`, token_endpoint: `${eu}/oauth/v2/token` })
  const [key] = (await get(body.jwks_uri)).body.keys
  t.match(key, { kty: 'RSA', use: 'sig', alg: 'RS256', kid: String, n: String })
  await control.setKnobs({ jwks_key_name: 'key_id' })
  const [old] = (await get(body.jwks_uri)).body.keys
  t.strictSame({ ...old, kid: old.key_id, key_id: undefined }, { ...key, key_id: undefined })
})

t.test('the control page shows what stands, and its buttons are the switches', async (t) => {
  const { simulator, control, codeOf, exchange, us } = await setup(t)
  const show = async () => (await get(simulator.control, { accept: 'text/html,*/*' })).text
  const press = async (label: string, nth = 0) => {
    const form = [...(await show()).matchAll(/<form[^>]*action="([^"]*)">(.*?)<button>([^<]*)<\/button>/gs)].filter(
      ([, , , text]) => text === label
    )[nth]
    const fields = [...(form?.[2] ?? '').matchAll(/name="([^"]*)" value="([^"]*)"/g)]
    const values = fields.map(([, name = '', value = '']) => [name, value.replaceAll('&quot;', '"')])
    const { status, location } = await postForm(`${simulator.control}${form?.[1]}`, Object.fromEntries(values))
    t.strictSame([status, location], [303, '/'], label)
  }
  t.match((await get(simulator.control)).body.controls, ['/create-grant'])
  const { body } = await exchange(await codeOf())
  const refresh = () => exchange('', { grant_type: 'refresh_token', refresh_token: body.refresh_token })
  const page = await show()
  t.match(page, '<meta http-equiv="refresh" content="2">')
  t.notMatch(page, /<script/)
  const [grant] = (await control.listGrants()).grants
  for (const shown of [us, CLIENT.id, grant?.grant ?? 'none', 'grace@example.com', '/oauth/v2/consent'])
    t.match(page, shown)
  for (const secret of (await control.secrets()).secrets) t.notOk(page.includes(secret))

  await press('Throttle tokens')
  t.match(await refresh(), { status: 400, body: { error: 'Access Denied', status: 'failure' } })
  t.match(await show(), 'raw 400, us, token')
  await press('Clear all')
  await press('Outage: 502')
  t.equal((await refresh()).status, 502)
  await press('Clear')
  t.equal((await refresh()).status, 200)
  await press('Deactivate')
  t.equal((await refresh()).body.error, 'invalid_code')
  await press('Activate')
  t.equal((await refresh()).status, 200)
  await press('Rotate secret')
  t.equal((await refresh()).body.error, 'invalid_client_secret')
  await press('Clear the ledger')
  t.equal((await control.countCalls()).count, 0)
  await press('Remove')
  t.match((await control.listGrants()).grants, [{ state: 'app_removed' }])
  await press('Delete client')
  t.strictSame(await control.listClients(), { clients: [] })
})

t.test('controls refuse what does not exist with a sentence', async (t) => {
  const { control, authorizeUrl } = await setup(t)
  const cases: [RegExp, Promise<unknown>][] = [
    [/already/, control.createUser({ data_center: 'us', name: 'ada' })],
    [/no data center mars/, control.createUser({ data_center: 'mars', name: 'ada' })],
    [/^createUser: orgs: /, control.createUser({ data_center: 'us', name: 'x', orgs: [] })],
    [/no client x/, control.setRedirectUris({ client_id: 'x', redirect_uris: [] })],
    [/no client x/, control.createSelfClientCode({ data_center: 'us', client_id: 'x' })],
    [/no data center mars/, control.consent({ authorize_url: authorizeUrl(), user: 'ada', data_center: 'mars' })],
    [/authorize_url: must be/, control.consent({ authorize_url: 'nonsense', user: 'ada' })],
    [/^setKnobs: code_life_ms: /, control.setKnobs({ code_life_ms: 0 })]
  ]
  for (const [sentence, call] of cases) await t.rejects(call, { message: sentence })
})
