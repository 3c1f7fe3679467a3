import { createHash } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import t, { type Test } from 'tap'

import { Secret } from '../../src/domain/secret.ts'
import type { ZohoAccounts, ZohoAccountsOptions } from '../../src/zoho/accounts.ts'
import { createTestSimulator } from '../helpers/simulator.ts'
import {
  ACCESS,
  type Answer,
  app,
  CALLBACK,
  CLIENT_SECRET,
  dataCenter,
  failed,
  hidesSecrets,
  json,
  PLACE,
  REFRESH,
  start,
  startServer,
  TOKEN,
  until
} from './harness.ts'

const CODE = `1000.${'f'.repeat(32)}.${'0'.repeat(32)}`
const VERIFIER = 'v'.repeat(43)
const STATE = 'state-of-the-flow'
const GRANTED = { ...TOKEN, refresh_token: REFRESH, scope: 'Desk.tickets.READ Desk.basic.READ' }
const SECRETS = [CODE, VERIFIER, CLIENT_SECRET, REFRESH, ACCESS]
const refused = (fault: string, code: string) => ({ kind: 'refused', fault, code })
const challengeOf = (verifier: Secret) => createHash('sha256').update(verifier.reveal()).digest('base64url')

interface Exchange {
  readonly app: string
  readonly dataCenter: string
  readonly code: string
  readonly verifier: string
  readonly state: string
}

/** Redeems a code that is right in every way, but for what the test changes. */
const exchangeWith = (accounts: ZohoAccounts, changes: Partial<Exchange> = {}) => {
  const { code, verifier, ...rest } = { ...PLACE, code: CODE, verifier: VERIFIER, state: STATE, ...changes }
  return accounts.exchange({ ...rest, code: new Secret(code), verifier: new Secret(verifier) })
}

/** An adapter in front of a server that gives a grant for every code until `answers` is told otherwise. */
async function setUp(t: Test, more: Partial<ZohoAccountsOptions> = {}) {
  let answer: Answer = (response) => json(response, GRANTED)
  const server = await startServer(t, (response, seen) => answer(response, seen))
  const { accounts, refresh } = await start(t, server.origin, more)
  return {
    server,
    accounts,
    refresh,
    exchange: (changes?: Partial<Exchange>) => exchangeWith(accounts, changes),
    answers: (next: Answer) => {
      answer = next
    }
  }
}

t.test('the authorize URL has exactly the wanted parameters, and of the verifier only its hash', async (t) => {
  const { accounts, server } = await setUp(t)
  const authorized = await accounts.authorizeUrl({ ...PLACE, state: STATE })
  const url = new URL(authorized.url)
  t.equal(url.origin + url.pathname, `${server.origin}/oauth/v2/auth`)
  t.strictSame([...url.searchParams].sort(), [
    ['access_type', 'offline'],
    ['client_id', '1000.DESK'],
    ['code_challenge', challengeOf(authorized.verifier)],
    ['code_challenge_method', 'S256'],
    ['prompt', 'consent'],
    ['redirect_uri', CALLBACK],
    ['response_type', 'code'],
    ['scope', 'Desk.tickets.READ,Desk.basic.READ'],
    ['state', STATE]
  ])
  t.match(authorized.verifier.reveal(), /^[\w.~-]{43,128}$/)
  hidesSecrets(t, authorized, [authorized.verifier.reveal(), CLIENT_SECRET])
  t.equal(server.seen.length + server.counts.connections, 0, 'Zoho is not asked')
})

t.test('an authorize URL needs a state and a configured place', async (t) => {
  const { accounts } = await setUp(t)
  await t.rejects(accounts.authorizeUrl({ ...PLACE, state: '' }), /consumed a state/)
  for (const place of [
    { app: 'desk', dataCenter: 'eu' },
    { app: 'other', dataCenter: 'us' }
  ]) {
    await t.rejects(accounts.authorizeUrl({ ...place, state: STATE }), { code: 'ERR_APP_UNKNOWN' })
    await t.rejects(exchangeWith(accounts, place), { code: 'ERR_APP_UNKNOWN' })
  }
})

t.test('flows side by side never share a verifier, not even for one state', async (t) => {
  const { accounts } = await setUp(t)
  const states = Array.from({ length: 100 }, (_, i) => `state-${i % 50}`)
  const flows = await Promise.all(states.map((state) => accounts.authorizeUrl({ ...PLACE, state })))
  for (const [i, { url, verifier }] of flows.entries()) {
    const { searchParams } = new URL(url)
    t.equal(searchParams.get('state'), states[i])
    t.equal(searchParams.get('code_challenge'), challengeOf(verifier))
  }
  t.equal(new Set(flows.map(({ verifier }) => verifier.reveal())).size, flows.length)
})

t.test('an exchange is the plugin posting a form: no code, verifier or secret in URL or headers', async (t) => {
  const { exchange, server } = await setUp(t)
  const reply = await exchange()
  t.match(reply, { kind: 'granted', lifeMs: 3_600_000, scopes: ['Desk.tickets.READ', 'Desk.basic.READ'] })
  t.equal(reply.kind === 'granted' && reply.accessToken.reveal(), ACCESS)
  t.equal(reply.kind === 'granted' && reply.refreshToken?.reveal(), REFRESH)
  hidesSecrets(t, reply, SECRETS)

  const [seen] = server.seen
  t.match(seen, {
    method: 'POST',
    url: '/oauth/v2/token',
    headers: { 'user-agent': 'fastify-oauth2', 'content-type': 'application/x-www-form-urlencoded' }
  })
  hidesSecrets(t, seen?.headers, SECRETS)
  t.strictSame([...(seen?.form ?? [])].sort(), [
    ['client_id', '1000.DESK'],
    ['client_secret', CLIENT_SECRET],
    ['code', CODE],
    ['code_verifier', VERIFIER],
    ['grant_type', 'authorization_code'],
    ['redirect_uri', CALLBACK]
  ])
})

t.test('a flow starts at one data center and finishes at another, with the secret of that one', async (t) => {
  const us = await startServer(t, (response) => json(response, GRANTED))
  const eu = await startServer(t, (response) => json(response, GRANTED))
  const clientSecrets = new Map([
    ['us', new Secret('secret-us')],
    ['eu', new Secret('secret-eu')]
  ])
  const { accounts } = await start(t, us.origin, {
    apps: [app('desk', ['us', 'eu'], { clientSecrets })],
    dataCenters: [dataCenter('us', us.origin), dataCenter('eu', eu.origin)]
  })
  const { verifier } = await accounts.authorizeUrl({ ...PLACE, state: STATE })
  const reply = await exchangeWith(accounts, { dataCenter: 'eu', verifier: verifier.reveal() })
  t.equal(reply.kind, 'granted')
  t.equal(us.counts.connections, 0)
  t.match(Object.fromEntries(eu.seen[0]?.form ?? []), {
    client_secret: 'secret-eu',
    code_verifier: verifier.reveal(),
    redirect_uri: CALLBACK
  })
})

t.test('a code or verifier that cannot be right is refused without a call', async (t) => {
  const { exchange, server } = await setUp(t)
  for (const code of ['', ' ', 'two words', 'line\nbreak', 'ü', 'x'.repeat(4097)]) {
    t.strictSame(await exchange({ code }), refused('grant', 'invalid_code'), JSON.stringify(code.slice(0, 20)))
  }
  for (const verifier of ['', 'v'.repeat(42), 'v'.repeat(129), `${VERIFIER}=`, `${VERIFIER}\n`]) {
    t.strictSame(await exchange({ verifier }), refused('grant', 'invalid_grant'), JSON.stringify(verifier.slice(0, 20)))
  }
  t.strictSame(await exchange({ state: '' }), refused('grant', 'invalid_grant'), 'no state was consumed')
  t.equal(server.counts.connections, 0)
})

t.test('what Zoho says to a code becomes its kind, and nothing secret comes with it', async (t) => {
  const { exchange, answers } = await setUp(t)
  const rows: [object, number, object][] = [
    [{ error: 'invalid_code' }, 200, refused('grant', 'invalid_code')],
    [{ error: 'invalid_redirect_uri' }, 200, refused('ours', 'invalid_redirect_uri')],
    [{ error: 'invalid_client' }, 200, refused('ours', 'invalid_client')],
    [{ error: 'invalid_client_secret' }, 400, refused('ours', 'invalid_client_secret')],
    [{ error: 'Access Denied', status: 'failure' }, 400, refused('throttled', 'throttled')],
    [{ error: CODE }, 200, failed('unknown_error')],
    [{ error: 'invalid_code', ...GRANTED }, 200, refused('grant', 'invalid_code')],
    [{ refresh_token: REFRESH }, 200, failed('malformed')],
    [[], 200, failed('malformed')],
    [GRANTED, 500, failed('http_status')]
  ]
  for (const [body, status, expected] of rows) {
    answers((response) => json(response, body, status))
    const reply = await exchange()
    t.strictSame(reply, expected, `${status} ${JSON.stringify(body).slice(0, 40)}`)
    hidesSecrets(t, reply, SECRETS)
  }
  answers((response) => json(response, TOKEN))
  t.notOk('refreshToken' in (await exchange()), 'a grant without a refresh token is told as it is')
})

t.test('a code is sent at most once: no repeat on a cut connection, no redirect followed', async (t) => {
  const foreign = await startServer(t, (response) => json(response, GRANTED))
  const { exchange, answers, server } = await setUp(t, { inFlight: 1, inFlightReserved: 0 })
  const cuts: [string, Answer, object][] = [
    ['cut before the headers', (response) => response.socket?.resetAndDestroy(), failed('network')],
    ['closed before the headers', (response) => response.socket?.end(), failed('network')],
    [
      'cut within the body',
      (response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': 500 })
        response.write('{"access', () => response.socket?.resetAndDestroy())
      },
      failed('network')
    ]
  ]
  for (const status of [300, 301, 302, 303, 307, 308]) {
    const location = `${foreign.origin}/oauth/v2/token`
    cuts.push([`${status}`, (response) => json(response, GRANTED, status, { location }), failed('redirect')])
  }
  for (const [name, cut, expected] of cuts) {
    answers((response) => json(response, GRANTED))
    t.equal((await exchange()).kind, 'granted', 'a kept connection is there, which clients like to retry on')
    const before = server.seen.length
    answers(cut)
    t.strictSame(await exchange(), expected, name)
    answers((response) => json(response, GRANTED))
    t.equal((await exchange()).kind, 'granted', `after ${name}`)
    t.equal(server.seen.length, before + 2, `${name}: one request each`)
  }
  t.equal(foreign.counts.connections, 0)
})

t.test('an exchange ends at the total deadline, and says that the code may be used up', async (t) => {
  const { exchange, answers, server } = await setUp(t, { timeoutMs: 500, inFlight: 1, inFlightReserved: 0 })
  answers(() => {})
  const began = performance.now()
  t.strictSame(await Promise.all([exchange(), exchange()]), [failed('timeout'), failed('busy', false)])
  t.ok(performance.now() - began < 2000, 'in time')
  t.equal(server.seen.length, 1)
  await until(() => server.sockets.size === 0)
  answers((response) => json(response, GRANTED))
  t.equal((await exchange()).kind, 'granted', 'the place is free again')
})

t.test('an exchange is never background work: it gets a place kept for callers', async (t) => {
  const held: ServerResponse[] = []
  const { exchange, refresh, answers } = await setUp(t, { inFlight: 2, inFlightReserved: 1 })
  answers((response) => void held.push(response))
  const background = [refresh({ background: true }), refresh({ background: true })]
  await until(() => held.length === 1)
  const exchanged = exchange()
  await until(() => held.length === 2)
  json(held[1] as ServerResponse, GRANTED)
  t.equal((await exchanged).kind, 'granted')
  json(held[0] as ServerResponse, TOKEN)
  await until(() => held.length === 3)
  json(held[2] as ServerResponse, TOKEN)
  await Promise.all(background)
})

t.test('a code is not redeemed while the adapter closes; an exchange that runs is waited for', async (t) => {
  const held: ServerResponse[] = []
  const { accounts, exchange, answers } = await setUp(t)
  answers((response) => void held.push(response))
  const running = exchange()
  await until(() => held.length === 1)
  const closing = accounts.close()
  t.strictSame(await exchange(), failed('busy', false))
  json(held[0] as ServerResponse, GRANTED)
  t.equal((await running).kind, 'granted')
  await closing
})

t.test('a new grant whose API origin differs from the table is reported by its place alone', async (t) => {
  const places: unknown[] = []
  const { exchange, answers } = await setUp(t, { onApiDomainDiffers: (place) => places.push(place) })
  answers((response) => json(response, { ...GRANTED, api_domain: 'https://api.example.com' }))
  t.match(await exchange(), { kind: 'granted', apiDomainDiffers: true })
  t.strictSame(places, [PLACE])
})

t.test(
  'against the simulated Zoho a consent is redeemed where the user lives, once, with its own verifier',
  async (t) => {
    const redirectUri = 'http://127.0.0.1:9/oauth/callback'
    const { dataCenters, control } = await createTestSimulator(t, {
      clients: [{ id: '1000.DESK', secret: CLIENT_SECRET, redirectUris: [redirectUri] }],
      knobs: { pkce: 'enforced' }
    })
    const rows = Object.entries(dataCenters).map(([key, origin]) => ({ ...dataCenter(key, origin), api: origin }))
    const { accounts } = await start(t, dataCenters.us ?? '', {
      apps: [app('desk', ['us', 'eu'])],
      dataCenters: rows,
      callbackUri: redirectUri
    })
    const consentOf = async (state: string) => {
      const { url, verifier } = await accounts.authorizeUrl({ ...PLACE, state })
      const { location } = await control.consent({ authorize_url: url, user: 'anna', data_center: 'eu' })
      const { searchParams } = new URL(location)
      t.equal(searchParams.get('state'), state)
      return {
        dataCenter: searchParams.get('location') ?? '',
        code: searchParams.get('code') ?? '',
        verifier: verifier.reveal(),
        state
      }
    }
    const [one, other] = await Promise.all([consentOf('one'), consentOf('other')])
    t.equal(one.dataCenter, 'eu')
    t.strictSame(await exchangeWith(accounts, { ...one, dataCenter: 'us' }), refused('ours', 'invalid_client'))
    t.strictSame(
      await exchangeWith(accounts, { ...one, verifier: other.verifier }),
      refused('grant', 'invalid_code'),
      'the verifier of another flow'
    )
    const reply = await exchangeWith(accounts, one)
    t.match(reply, { kind: 'granted', apiDomainDiffers: false })
    t.strictSame(await exchangeWith(accounts, one), refused('grant', 'invalid_code'), 'a code works once')
    t.equal((await exchangeWith(accounts, other)).kind, 'granted')

    const refreshToken = (reply.kind === 'granted' && reply.refreshToken) || new Secret('none')
    const eu = { app: 'desk', dataCenter: 'eu', refreshToken }
    t.equal((await accounts.refresh(eu)).kind, 'granted')
    t.strictSame(await accounts.revoke(eu), { kind: 'revoked' })
    t.strictSame(await accounts.refresh(eu), refused('grant', 'invalid_code'))
  }
)
