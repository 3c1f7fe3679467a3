import t from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import { createKeys } from '../../src/redis/keys.ts'
import { decodeRecord } from '../../src/redis/record.ts'
import { createKeyring } from '../../src/sealing/keyring.ts'
import { findLeaks } from '../helpers/leaks.ts'
import { until } from '../helpers/program.ts'
import { untilHeld } from '../helpers/simulator-control.ts'
import { openStage, SCOPES, type Stage } from '../helpers/stage.ts'

const SHORT_LIFE_MS = 1000

/** Imports a grant whose first token is over, with long lives from then on. */
async function connectExpired(stage: Stage, connection: string) {
  const { control } = stage.simulator
  await control.setKnobs({ access_life_ms: SHORT_LIFE_MS })
  const grant = await stage.connect(connection)
  const { body } = await stage.api('GET', `/v1/tenants/acme/connections/${connection}`, { as: 'admin' })
  await until('the first token is over', () => Date.now() > Date.parse(body.access_expires_at) + 50)
  await control.setKnobs({ access_life_ms: 3_600_000 })
  await control.clearLedger()
  return grant
}

async function openRefreshToken(stage: Stage, connection: string): Promise<Secret> {
  const ref = { tenant: 'acme', connection }
  const bytes = await stage.redis.client().getBuffer(createKeys(stage.prefix).record(ref))
  const { sealedRefresh, details } = decodeRecord(ref, bytes as Buffer)
  const keyring = createKeyring({ keys: [{ id: 'k1', key: stage.sealingKey }], prefix: stage.prefix })
  const { dataCenter, grantNumber } = details
  return keyring.open(sealedRefresh as Uint8Array, { purpose: 'refresh', ref, dataCenter, grantNumber })
}

t.test('a grant is imported, its token issued, and the token works at the product', async (t) => {
  const stage = await openStage(t)
  await stage.connect('desk', { dataCenter: 'eu' })
  const { status, body, headers } = await stage.token('desk')
  t.equal(status, 200)
  t.equal(headers['cache-control'], 'no-store')
  t.match(body, {
    token_type: 'Zoho-oauthtoken',
    data_center: 'eu',
    api_domain: stage.simulator.dataCenters.eu,
    health: 'ok',
    scope: SCOPES
  })
  t.ok(body.expires_in > 3590 && body.expires_in <= 3600)
  t.ok(Date.parse(body.refresh_at) < Date.parse(body.expires_at))
  const resource = await fetch(`${body.origins.desk}/api/v1/organizations`, {
    headers: { authorization: `${body.token_type} ${body.access_token}` }
  })
  t.equal(resource.status, 200)
  const again = await stage.token('desk')
  t.equal(again.body.generation, body.generation, 'the stored token is handed out again')
  const { entries } = await stage.simulator.control.ledger({ path: '/oauth/v2/token' })
  t.equal(entries.length, 1, 'one upstream call in all: the one that verified the import')
  t.ok(
    entries.every((entry) => entry.user_agent === 'fastify-oauth2'),
    'it went through the plugin'
  )
  t.ok(
    entries.every((entry) => entry.placement.every((place: string) => place === 'body')),
    'its secrets in the body'
  )
  const { body: list } = await stage.api('GET', '/v1/tenants/acme/connections', { as: 'admin' })
  t.match(list, { connections: [{ connection_id: 'desk', status: 'active' }] })
  const line = '"audit":"token.issued","consumer":"service","tenant":"acme","connection":"desk"'
  await until('the hand-out is recorded', () => stage.brokers[0]?.output().includes(line) ?? false)
})

t.test('3000 requests at three processes for one expired connection make one upstream refresh', async (t) => {
  const stage = await openStage(t, { processes: 3 })
  const { control } = stage.simulator
  await connectExpired(stage, 'desk')
  await control.hold({ data_center: 'us' })
  let sent = 0
  const all = Array.from({ length: 3000 }, (_, i) =>
    stage.token('desk', {
      broker: i % 3,
      onSent: () => {
        sent++
      }
    })
  )
  await until('every request is under way', () => sent === 3000)
  await untilHeld(control, 'us', 1)
  await control.release({ data_center: 'us' })
  const answers = await Promise.all(all)
  t.same([...new Set(answers.map(({ status }) => status))], [200])
  t.equal(new Set(answers.map(({ body }) => body.generation)).size, 1, 'all got the same generation')
  t.equal(new Set(answers.map(({ body }) => body.access_token)).size, 1, 'and the same token')
  t.equal((await control.countCalls({ path: '/oauth/v2/token' })).count, 1)
})

t.test('50 refreshes without a refresh token in the answer leave the stored one as it was', async (t) => {
  const stage = await openStage(t, {
    config: { refresh: { budget: 100 }, limits: { admin_per_minute: 1000 } },
    knobs: { throttle_mints: 1000, access_tokens_per_grant: 1000, access_life_ms: 1000 }
  })
  const { refreshToken } = await stage.connect('desk')
  const path = '/v1/tenants/acme/connections/desk'
  let generation = (await stage.token('desk')).body.generation
  const ways = {
    forced: () => stage.api('POST', `${path}/refresh`, { as: 'admin' }),
    rejected: () => stage.api('POST', `${path}/token/rejected`, { body: { generation } }),
    expired: async () => {
      const { body } = await stage.token('desk')
      await until('the token wants a refresh', () => Date.now() >= Date.parse(body.refresh_at) + 20)
      return stage.token('desk')
    }
  }
  for (const [way, times] of [
    ['forced', 19],
    ['rejected', 20],
    ['expired', 11]
  ] as const) {
    for (let i = 0; i < times; i++) {
      const answer = await ways[way]()
      if (answer.status !== 200 || answer.body.generation <= generation) {
        throw new Error(`${way} ${i}: ${answer.status} ${answer.text}`)
      }
      generation = answer.body.generation
    }
  }
  t.ok((await openRefreshToken(stage, 'desk')).equals(new Secret(refreshToken)))
  t.ok((await stage.simulator.control.countCalls({ path: '/oauth/v2/token' })).count >= 51)
})

t.test('a grant that replaces another one keeps the old one for its revoke', async (t) => {
  const stage = await openStage(t, { config: { refresh: { budget: 10 } } })
  const first = await stage.connect('desk', { user: 'ada' })
  const second = await stage.connect('desk', { user: 'ada' })
  t.ok((await openRefreshToken(stage, 'desk')).equals(new Secret(second.refreshToken)))
  const waiting = await stage.redis
    .client()
    .hgetall(createKeys(stage.prefix).grants({ tenant: 'acme', connection: 'desk' }))
  t.same(Object.keys(waiting), ['1'])
  t.match(JSON.parse(waiting['1'] as string), { kind: 'superseded', dataCenter: 'us' })
  const path = '/v1/tenants/acme/connections/desk'
  const again = { as: 'admin' as const, body: { app: 'desk', data_center: 'us', refresh_token: second.refreshToken } }
  t.equal((await stage.api('PUT', path, again)).status, 200, 'the same token again is no change')
  t.equal((await stage.simulator.control.countCalls({ path: '/oauth/v2/token' })).count, 2, 'and no call to Zoho')
  const back = { as: 'admin' as const, body: { app: 'desk', data_center: 'us', refresh_token: first.refreshToken } }
  t.equal((await stage.api('PUT', path, back)).status, 429, 'imports are paid from the admin share')
})

t.test('a token that Zoho refused is replaced once, by generation', async (t) => {
  const stage = await openStage(t)
  await stage.connect('desk')
  const { body: first } = await stage.token('desk')
  const report = (generation: number) =>
    stage.api('POST', '/v1/tenants/acme/connections/desk/token/rejected', { body: { generation } })
  const fresh = await report(first.generation)
  t.equal(fresh.status, 200)
  t.ok(fresh.body.generation > first.generation)
  t.equal(
    (await report(first.generation)).body.generation,
    fresh.body.generation,
    'the newer one, without a call to Zoho'
  )
  t.equal((await stage.simulator.control.countCalls({ path: '/oauth/v2/token' })).count, 2)
  const over = await report(fresh.body.generation)
  t.equal(over.status, 429)
  t.equal(over.body.code, 'ERR_REFRESH_BUDGET')
  t.ok(Number(over.headers['retry-after']) > 0)
  t.equal((await stage.token('desk')).status, 200, 'the others are served on')
})

t.test('a refused grant needs a second strike, then a reconnect, and is healed by an import', async (t) => {
  const stage = await openStage(t, { config: { refresh: { budget: 20, second_strike_ms: 500 } } })
  const { user } = await connectExpired(stage, 'desk')
  await stage.simulator.control.removeConnectedApp({ data_center: 'us', user })
  const first = await stage.token('desk')
  t.match([first.status, first.body.code], [503, 'ERR_UPSTREAM_UNAVAILABLE'])
  t.equal(first.headers['retry-after'], '1')
  const view = await stage.api('GET', '/v1/tenants/acme/connections/desk', { as: 'admin' })
  t.match(view.body, { status: 'active', last_error: { code: 'grant_refused' } })
  await until('the second strike may come', () => Date.now() >= Date.parse(view.body.last_error.next_try_at))
  const second = await stage.token('desk')
  t.match([second.status, second.body.code], [409, 'ERR_RECONNECT_REQUIRED'])
  t.equal((await stage.simulator.control.countCalls({ path: '/oauth/v2/token' })).count, 2)
  const audit = await stage.redis.client().xrange(`${stage.prefix}:audit`, '-', '+')
  t.equal(audit.filter(([, fields]) => fields.join(' ').includes('connection.reconnect_required')).length, 1)
  await stage.connect('desk')
  t.equal((await stage.token('desk')).status, 200)
})

t.test('what an outsider, a stranger and a wrong request get is a problem that tells what to do', async (t) => {
  const stage = await openStage(t)
  await stage.connect('desk')
  const missing = await stage.token('nothing')
  const hidden = await stage.api('POST', '/v1/tenants/acme/connections/desk/token', { as: 'other' })
  const bare = ({ body }: { body: object }) => ({ ...body, request_id: '' })
  t.equal(missing.status, 404)
  t.same(bare(missing), bare(hidden), 'what one may not see looks like what is not there')
  t.match((await stage.api('PUT', '/v1/tenants/acme/connections/x', { body: {} })).body.code, /^ERR_/)
  const before = await stage.simulator.control.countCalls({})
  const put = (body: unknown, path = '/v1/tenants/acme/connections/crm') =>
    stage.api('PUT', path, { as: 'admin', body })
  const grant = { app: 'desk', data_center: 'us', refresh_token: '1000.x.y' }
  t.match(await put({ ...grant, app: 'nope' }), { status: 409, body: { code: 'ERR_APP_UNKNOWN' } })
  t.match(await put({ ...grant, data_center: 'mars' }), { status: 422, body: { code: 'ERR_WRONG_DATA_CENTER' } })
  for (const body of [null, [], 7, 'x', { ...grant, extra: 1 }, { ...grant, refresh_token: null }, { app: 'desk' }]) {
    t.match(
      await put(JSON.stringify(body)),
      { status: 400, body: { code: 'ERR_INVALID_REQUEST' } },
      JSON.stringify(body)
    )
  }
  for (const id of ['..', '%2f', '__proto__', 'x'.repeat(10_000), '%00', '%2e%2e%2fx', '.hidden']) {
    const { status, body } = await put(grant, `/v1/tenants/acme/connections/${id}`)
    t.ok(status >= 400 && status < 500 && body.code, `${id.slice(0, 20)}: ${status}`)
  }
  t.same(await stage.simulator.control.countCalls({}), before, 'none of it reached Zoho')
  t.match(await put(grant), { status: 422, body: { code: 'ERR_GRANT_REFUSED' } })
  const other = await stage.simulator.control.createGrant({ data_center: 'eu', scopes: SCOPES })
  t.match(await put({ ...grant, refresh_token: other.refresh_token }), {
    status: 422,
    body: { code: 'ERR_WRONG_DATA_CENTER' }
  })
  t.equal(
    (await stage.api('GET', '/v1/tenants/acme/connections/crm', { as: 'admin' })).status,
    404,
    'nothing was stored'
  )
})

t.test('the leak scan finds what was planted, in each encoding', async (t) => {
  const secret = '1000.0123456789abcdef.fedcba9876543210'
  const plant = (text: string) => findLeaks([secret], [['here', text]]).map(({ encoding }) => encoding)
  t.same(plant(`x${secret}y`), ['plain'])
  t.same(plant(Buffer.from(secret).toString('base64')), ['base64'])
  t.same(plant(Buffer.from(secret).toString('hex')), ['hex'])
  t.same(plant('nothing'), [])
})
