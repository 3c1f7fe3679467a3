import fc from 'fast-check'
import t from 'tap'

import type { UpstreamReply } from '../../src/domain/ports.ts'
import { parseRevokeReply } from '../../src/zoho/revoke-reply.ts'
import { parseTokenReply } from '../../src/zoho/token-reply.ts'

const JSON_UTF8 = 'application/json;charset=UTF-8'
const ACCESS = `1000.${'a'.repeat(32)}.${'b'.repeat(32)}`
const REFRESH = `1000.${'c'.repeat(32)}.${'d'.repeat(32)}`
const API = 'https://www.zohoapis.com'

const parse = (body: unknown, status = 200, contentType: string | undefined = JSON_UTF8) =>
  parseTokenReply({ status, body, contentType, apiOrigin: API })

/** The reply with its secrets told, to compare it. */
const told = (reply: UpstreamReply) =>
  reply.kind === 'granted'
    ? { ...reply, accessToken: reply.accessToken.reveal(), refreshToken: reply.refreshToken?.reveal() }
    : reply

const granted = {
  kind: 'granted',
  accessToken: ACCESS,
  refreshToken: undefined,
  lifeMs: 3_600_000,
  apiDomainDiffers: false
}
const failed = (code: string) => ({ kind: 'failed', code, sent: true })
const refused = (fault: string, code: string) => ({ kind: 'refused', fault, code })
const throttled = refused('throttled', 'throttled')

t.test('a success gives the known fields and no others', async (t) => {
  const body = { access_token: ACCESS, api_domain: API, token_type: 'Bearer', expires_in: 3600 }
  t.strictSame(told(parse(body)), granted)
  t.strictSame(told(parse({ ...body, refresh_token: REFRESH })), { ...granted, refreshToken: REFRESH })
  t.strictSame(told(parse({ ...body, baseUrl: 'http://evil.test', id_token: 'x', expires_at: 1 })), granted)
  t.strictSame(told(parse(body, 201, 'application/json')), granted, 'any 2xx')
  t.strictSame(told(parse(body, 200, 'application/problem+json')), granted, 'any JSON type')
})

t.test('a refresh answer without a refresh token yields a reply without the member', async (t) => {
  for (const refresh_token of [undefined, null, '', 7, 'with space']) {
    const reply = parse({ access_token: ACCESS, expires_in: 3600, refresh_token })
    t.equal(reply.kind, 'granted')
    t.notOk('refreshToken' in reply)
  }
})

t.test('scopes are split at spaces and commas, absent when there are none', async (t) => {
  const scopes = (scope: unknown) =>
    told(parse({ access_token: ACCESS, scope }) as UpstreamReply) as { scopes?: unknown }
  t.strictSame(scopes('Desk.tickets.READ Desk.basic.READ').scopes, ['Desk.tickets.READ', 'Desk.basic.READ'])
  t.strictSame(scopes(' a,b, \tc ').scopes, ['a', 'b', 'c'])
  for (const scope of ['', ' , ', null, 5, ['a']]) t.notOk('scopes' in scopes(scope))
})

t.test('an API origin other than the table counts as a difference and goes no further', async (t) => {
  const differs = (api_domain: unknown) => {
    const reply = told(parse({ access_token: ACCESS, expires_in: 3600, api_domain }))
    t.notMatch(JSON.stringify(reply), 'evil')
    return reply.kind === 'granted' && reply.apiDomainDiffers
  }
  for (const same of [undefined, API, `${API}/`]) t.equal(differs(same), false)
  for (const other of ['https://api.zoho.com', 'https://www.zohoapis.com.evil.test', 'evil', 5, null, '']) {
    t.equal(differs(other), true, String(other))
  }
})

t.test('the life is read from every shape that Zoho has sent, and never exceeds an hour', async (t) => {
  const hour = 3_600_000
  const rows: [object, number | undefined][] = [
    [{ expires_in: 3600 }, hour],
    [{ expires_in: 3_600_000 }, hour],
    [{ expires_in: 3_600_000, expires_in_sec: 3600 }, hour],
    [{ expires_in_sec: 3600 }, hour],
    [{ expires_in_sec: 60, expires_in: 3600 }, 60_000],
    [{ expires_in_sec: null, expires_in: 120 }, 120_000],
    [{ expires_in: '1800' }, 1_800_000],
    [{ expires_in: 90_000 }, 90_000],
    [{ expires_in: 86_400 }, hour],
    [{ expires_in: 1.5 }, 1500],
    [{}, 3_300_000],
    [{ expires_in: null }, 3_300_000],
    [{ expires_in: 0 }, undefined],
    [{ expires_in: -1 }, undefined],
    [{ expires_in: Number.NaN }, undefined],
    [{ expires_in: Number.POSITIVE_INFINITY }, undefined],
    [{ expires_in: 0.0001 }, undefined],
    [{ expires_in: '' }, undefined],
    [{ expires_in: '1e3' }, undefined],
    [{ expires_in: '-5' }, undefined],
    [{ expires_in: 'soon' }, undefined],
    [{ expires_in: [3600] }, undefined],
    [{ expires_in: true }, undefined],
    [{ expires_in_sec: 0, expires_in: 3600 }, undefined]
  ]
  for (const [expiry, lifeMs] of rows) {
    const reply = parse({ access_token: ACCESS, ...expiry })
    t.strictSame(reply.kind === 'granted' ? reply.lifeMs : reply, lifeMs ?? failed('malformed'), JSON.stringify(expiry))
  }
})

t.test('every documented error has its fault, at 200 and at 4xx', async (t) => {
  const faults = {
    grant: ['invalid_code', 'invalid_grant', 'invalid_token'],
    ours: [
      'invalid_client',
      'invalid_client_secret',
      'invalid_redirect_uri',
      'missing_org_info',
      'invalid_scope',
      'invalid_scopes',
      'invalid_soid',
      'invalid_org',
      'unsupported_grant_type'
    ]
  }
  for (const [fault, codes] of Object.entries(faults)) {
    for (const code of codes) {
      for (const status of [200, 400, 401, 403]) t.strictSame(parse({ error: code }, status), refused(fault, code))
    }
  }
})

t.test('a throttle is known by its shape in every language and never ends a grant', async (t) => {
  const localised = { error: '访问被拒绝', error_description: '您连续提出了太多请求。', status: 'failure' }
  const bodies = [
    localised,
    { error: 'Access Denied', error_description: 'You have made too many requests continuously.', status: 'failure' },
    { error: 'Access Denied' },
    { error: 'access_denied' },
    { status: 'failure' },
    { status: 'failure', error: 'invalid_code' }
  ]
  for (const body of bodies) {
    for (const status of [200, 400, 403, 429]) t.strictSame(parse(body, status), throttled)
  }
  t.strictSame(parse({ error: 'invalid_code' }, 429), throttled)
  t.strictSame(parse(undefined, 429, 'text/html'), throttled)
  t.strictSame(parse(localised, 503), failed('http_status'), 'a 5xx says nothing about us')
})

t.test('what is not an answer of the token endpoint is a failure, and the grant is kept', async (t) => {
  const rows: [unknown, number, string | undefined, string][] = [
    [undefined, 200, 'text/html', 'not_json'],
    [undefined, 200, undefined, 'not_json'],
    [undefined, 200, JSON_UTF8, 'not_json'],
    [{ access_token: ACCESS }, 200, 'text/plain', 'not_json'],
    [{ access_token: ACCESS }, 200, 'application/jsonp', 'not_json'],
    [null, 200, JSON_UTF8, 'malformed'],
    [[], 200, JSON_UTF8, 'malformed'],
    ['text', 200, JSON_UTF8, 'malformed'],
    [{}, 200, JSON_UTF8, 'malformed'],
    [{ access_token: '' }, 200, JSON_UTF8, 'malformed'],
    [{ access_token: 5 }, 200, JSON_UTF8, 'malformed'],
    [{ access_token: ['a'] }, 200, JSON_UTF8, 'malformed'],
    [{ access_token: 'line\r\nbreak' }, 200, JSON_UTF8, 'malformed'],
    [{ access_token: 'a'.repeat(4097) }, 200, JSON_UTF8, 'malformed'],
    [{ error: 'Invalid_Code' }, 200, JSON_UTF8, 'unknown_error'],
    [{ error: 'general_error' }, 200, JSON_UTF8, 'unknown_error'],
    [{ error: '' }, 200, JSON_UTF8, 'unknown_error'],
    [{ error: null, access_token: ACCESS, expires_in: 3600 }, 200, JSON_UTF8, 'unknown_error'],
    [{ error: { code: 'invalid_code' } }, 400, JSON_UTF8, 'unknown_error'],
    [{ error_description: 'invalid_code' }, 400, JSON_UTF8, 'http_status'],
    [undefined, 400, 'text/html', 'http_status'],
    [{ access_token: ACCESS, expires_in: 3600 }, 404, JSON_UTF8, 'http_status'],
    [{ error: 'invalid_code' }, 500, JSON_UTF8, 'http_status'],
    [{ error: 'invalid_client' }, 502, JSON_UTF8, 'http_status'],
    [undefined, 503, 'text/html', 'http_status'],
    [{ access_token: ACCESS, expires_in: 3600 }, 101, JSON_UTF8, 'http_status']
  ]
  for (const [body, status, type, code] of rows) {
    t.strictSame(parse(body, status, type), failed(code), `${status} ${type} ${JSON.stringify(body)?.slice(0, 60)}`)
  }
  for (const status of [300, 301, 302, 303, 304, 307, 308]) {
    t.strictSame(parse({ access_token: ACCESS, expires_in: 3600 }, status), failed('redirect'))
  }
})

t.test('the prototype is never followed', async (t) => {
  const inherited = Object.create({ access_token: ACCESS, expires_in: 3600 })
  t.strictSame(parse(inherited), failed('malformed'))
  t.strictSame(parse(JSON.parse(`{"__proto__":{"access_token":"${ACCESS}"}}`)), failed('malformed'))
  t.strictSame(parse({ error: 'constructor' }), failed('unknown_error'))
  t.strictSame(parse({ error: '__proto__' }), failed('unknown_error'))
})

t.test('no body makes the parsers throw, no error becomes a token, and no text of Zoho comes through', async (t) => {
  const text = fc.oneof(
    fc.string(),
    fc.constantFrom('invalid_code', 'invalid_client', 'Access Denied', 'failure', 'success', ACCESS)
  )
  const key = fc.constantFrom(
    'access_token',
    'refresh_token',
    'expires_in',
    'expires_in_sec',
    'scope',
    'api_domain',
    'status'
  )
  const value = fc.oneof(text, fc.double(), fc.jsonValue())
  const body = fc.oneof(fc.dictionary(key, value), fc.dictionary(fc.string(), value), fc.jsonValue())
  const status = fc.oneof(fc.constantFrom(200, 400, 429, 303, 500), fc.integer({ min: 0, max: 999 }))
  const codes = /^(?:granted|(?:refused|failed) [a-z_]{4,30})$/
  const name = (reply: { kind: string; code?: string }) =>
    reply.kind === 'granted' ? 'granted' : `${reply.kind} ${reply.code}`

  fc.assert(
    fc.property(body, status, fc.option(fc.string(), { nil: JSON_UTF8 }), (body, status, contentType) => {
      t.match(name(parse(body, status, contentType)), codes)
      const revoked = parseRevokeReply({ status, body })
      if (revoked.kind !== 'revoked' && revoked.kind !== 'gone') t.match(name(revoked), codes)
    })
  )
  fc.assert(
    fc.property(fc.dictionary(key, value), value, status, (body, error, status) => {
      const reply = parse({ access_token: ACCESS, expires_in: 3600, ...body, error }, status)
      t.not(reply.kind, 'granted')
    })
  )
})

t.test('a revoke is done with any 2xx, gone with 400, and repeated later for the rest', async (t) => {
  const revoke = (body: unknown, status = 200) => parseRevokeReply({ status, body })
  t.strictSame(revoke({ status: 'success' }), { kind: 'revoked' })
  t.strictSame(revoke(undefined, 200), { kind: 'revoked' }, 'the newer call documents no body')
  t.strictSame(revoke(null, 204), { kind: 'revoked' })
  t.strictSame(revoke({ error: 'invalid_code' }, 400), { kind: 'gone' })
  t.strictSame(revoke(undefined, 400), { kind: 'gone' })
  t.strictSame(revoke({ error: 'invalid_code' }, 200), { kind: 'gone' })
  t.strictSame(revoke({ error: 'Access Denied', status: 'failure' }, 400), throttled)
  t.strictSame(revoke({ error: '访问被拒绝', status: 'failure' }, 200), throttled)
  t.strictSame(revoke(undefined, 429), throttled)
  t.strictSame(revoke({ error: 'invalid_client' }, 200), refused('ours', 'invalid_client'), 'the token lives')
  t.strictSame(revoke({ error: 'odd' }, 200), failed('unknown_error'))
  t.strictSame(revoke(undefined, 401), failed('http_status'))
  t.strictSame(revoke(undefined, 503), failed('http_status'))
  t.strictSame(revoke({}, 302), failed('redirect'))
})
