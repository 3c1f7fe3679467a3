import t from 'tap'
import { call } from '../helpers/calls.ts'
import { createPerson, makeLink } from '../helpers/person.ts'
import { until } from '../helpers/program.ts'
import { openStage, type Stage } from '../helpers/stage.ts'

const DESK = '/v1/tenants/acme/connections/desk'
const knobs = { codes_per_window: 1000 }

const view = async (stage: Stage) => (await stage.api('GET', DESK, { as: 'admin' })).body
const liveGrants = async (stage: Stage) => (await stage.simulator.control.listGrants({ state: 'live' })).grants.length
const upstreamCalls = async (stage: Stage) =>
  (await stage.simulator.control.countCalls({ path: '/oauth/v2/token' })).count

async function auditTypes(stage: Stage): Promise<string[]> {
  const entries = await stage.redis.client().xrange(`${stage.prefix}:audit`, '-', '+')
  return entries.map(([, fields]) => JSON.parse(fields[fields.indexOf('event') + 1] as string).type)
}

t.test('an admin makes a link, a person consents in another data center, the token works', async (t) => {
  const stage = await openStage(t, { role: 'all', knobs })
  const link = await makeLink(stage, 'desk', { tenant_label: 'Acme & <Sons>' })
  t.equal((await view(stage)).status, 'pending')
  t.equal((await stage.token('desk')).status, 409)
  const anna = createPerson(stage, { dataCenter: 'eu', user: 'anna' })
  const page = await anna.open(link.url)
  t.equal(page.status, 200)
  t.match(page.text, 'Acme &amp; &lt;Sons&gt;')
  const result = await anna.connect(link.url)
  t.equal(result.status, 200)
  t.match(await view(stage), { status: 'active', data_center: 'eu' })
  const { status, body } = await stage.token('desk')
  t.match([status, body.data_center], [200, 'eu'])
  const resource = await fetch(`${body.origins.desk}/api/v1/organizations`, {
    headers: { authorization: `${body.token_type} ${body.access_token}` }
  })
  t.equal(resource.status, 200)
  t.equal((await anna.open(link.url)).status, 410, 'the link is spent')
  t.same(
    (await auditTypes(stage)).filter((type) => type.startsWith('connect')),
    ['connect_link.created', 'connect_flow.started', 'connection.connected']
  )
})

t.test('a denied consent ends on its page, costs no upstream call, and the person may try again', async (t) => {
  const stage = await openStage(t, { role: 'all', knobs })
  const { url } = await makeLink(stage, 'desk')
  const ada = createPerson(stage)
  const denied = await ada.connect(url, { decision: 'reject' })
  t.equal(denied.status, 200)
  t.equal(await upstreamCalls(stage), 0)
  t.equal((await view(stage)).status, 'pending')
  t.equal((await ada.connect(url)).status, 200)
  t.equal((await view(stage)).status, 'active')
})

t.test('a callback that is not what it should be is a page of its own, and nothing is asked of Zoho', async (t) => {
  const stage = await openStage(t, { role: 'all', knobs, config: { limits: { public_per_minute: 100_000 } } })
  const marker = 'MARKER<b>x</b>'
  // A link may be started five times only: each attempt gets one of its own.
  const begin = async () => {
    const person = createPerson(stage)
    const { url } = await makeLink(stage, 'desk')
    return { person, callback: new URL(await person.decide(await person.press(url))) }
  }
  const us = stage.simulator.dataCenters.us as string
  const eu = stage.simulator.dataCenters.eu as string
  const changes: Record<string, (query: URLSearchParams, person: ReturnType<typeof createPerson>) => void> = {
    'state missing': (query) => query.delete('state'),
    'state doubled': (query) => query.append('state', query.get('state') as string),
    'state foreign': (query) => query.set('state', 'A'.repeat(43)),
    'state of 8 kB': (query) => query.set('state', 'A'.repeat(8192)),
    'no cookie': (_query, person) => {
      person.cookie = undefined
    },
    'cookie of another': (_query, person) => {
      person.cookie = person.cookie?.replace(/=.*/, `=${'B'.repeat(43)}`)
    },
    'code empty': (query) => query.set('code', ''),
    'code twice': (query) => query.append('code', '1000.a.b')
  }
  for (const [what, change] of Object.entries(changes)) {
    const { person, callback } = await begin()
    change(callback.searchParams, person)
    callback.searchParams.set('error_description', marker)
    const answer = await person.comeBack(callback.href)
    t.equal(answer.status, 400, what)
    t.notMatch(answer.text, /MARKER/, `${what}: nothing is echoed`)
  }
  const before = await upstreamCalls(stage)
  const hosts = {
    'unknown location': { location: 'mars', 'accounts-server': us },
    'they disagree': { location: 'us', 'accounts-server': eu },
    userinfo: { location: 'us', 'accounts-server': us.replace('//', '//user@') },
    'a suffix': { location: 'us', 'accounts-server': `${us}.evil.example` },
    'another port': { location: 'us', 'accounts-server': us.replace(/\d+$/, '9') },
    'another scheme': { location: 'us', 'accounts-server': us.replace('http:', 'https:') },
    'a homograph': { location: 'us', 'accounts-server': 'https://ассounts.zoho.com' },
    'a path': { location: 'us', 'accounts-server': `${us}/oauth` }
  }
  for (const [what, query] of Object.entries(hosts)) {
    const { person, callback } = await begin()
    for (const [name, value] of Object.entries(query)) callback.searchParams.set(name, value)
    const answer = await person.comeBack(callback.href)
    t.equal(answer.status, 400, what)
    t.notMatch(answer.text, /evil|mars|user@/, `${what}: nothing is echoed`)
  }
  t.equal(await upstreamCalls(stage), before)
  t.equal(before, 0, 'no code was ever spent')
  const { person, callback } = await begin()
  t.equal((await person.comeBack(callback.href)).status, 303)
  t.equal((await person.comeBack(callback.href)).status, 400, 'a replay')
  t.equal(await upstreamCalls(stage), 1)
})

t.test('what mail scanners and foreign pages do changes nothing', async (t) => {
  const stage = await openStage(t, { role: 'all', knobs })
  const { url } = await makeLink(stage, 'desk')
  t.equal((await call('HEAD', url)).status, 404)
  for (let i = 0; i < 10; i++) t.equal((await call('GET', url)).status, 200)
  const foreign = {
    headers: { origin: 'https://evil.example', 'content-type': 'application/x-www-form-urlencoded' },
    body: ''
  }
  t.equal((await call('POST', url, foreign)).status, 403)
  const ada = createPerson(stage)
  for (let i = 0; i < 5; i++) await ada.press(url)
  await t.rejects(ada.press(url), /button: 4/, 'the sixth start is refused')
  const answer = await stage.api('POST', `${DESK}/connect-links`, {
    as: 'admin',
    body: { app: 'desk', return_to: 'https://evil.example' }
  })
  t.match([answer.status, answer.body.code], [400, 'ERR_INVALID_REQUEST'])
})

t.test('two tabs, one consent wins: the other one is told, and what it got is revoked', async (t) => {
  const stage = await openStage(t, { role: 'all', knobs })
  const { url } = await makeLink(stage, 'desk')
  const ada = createPerson(stage)
  const tabs = [await ada.press(url), await ada.press(url)]
  const [first, second] = [await ada.decide(tabs[0] as string), await ada.decide(tabs[1] as string)]
  const answers = await Promise.all([ada.comeBack(first), ada.comeBack(second)])
  t.same(
    answers.map(({ status }) => status),
    [303, 303]
  )
  t.equal((await view(stage)).status, 'active')
  await until('one live grant is left', async () => (await liveGrants(stage)) === 1)
  t.equal((await stage.token('desk')).status, 200)
})

t.test(
  'an exchange without a refresh token or with too few scopes is a failed connect, and what it gave is revoked',
  async (t) => {
    const stage = await openStage(t, { role: 'all', knobs })
    const ada = createPerson(stage)
    await stage.simulator.control.setKnobs({ grant_scopes: ['Desk.basic.READ'] })
    const few = await ada.connect((await makeLink(stage, 'desk')).url)
    t.equal(few.status, 200)
    t.match(few.text, /scopes_missing/)
    await until('it is revoked', async () => (await liveGrants(stage)) === 0)
    t.equal((await view(stage)).status, 'pending')
    await stage.simulator.control.setKnobs({ grant_scopes: null })
    t.equal((await ada.connect((await makeLink(stage, 'desk')).url)).status, 200)
    t.equal((await view(stage)).status, 'active')
  }
)

t.test('25 reconnects of one user: never more than 3 live grants at Zoho, 1 in the end', async (t) => {
  const stage = await openStage(t, {
    role: 'all',
    knobs: { ...knobs, access_life_ms: 5000 },
    config: { sweep: { every_ms: 200, visibility_ms: 2000 } }
  })
  const ada = createPerson(stage)
  let most = 0
  for (let i = 0; i < 25; i++) {
    const { url } = await makeLink(stage, 'desk', { revoke_superseded: i % 2 === 0 ? 'later' : 'now' })
    await ada.connect(url)
    most = Math.max(most, await liveGrants(stage))
  }
  t.ok(most <= 3, `at most ${most} live grants`)
  await until('one is left', async () => (await liveGrants(stage)) === 1, 20_000)
  t.equal((await stage.token('desk')).status, 200)
})

t.test('a reconnect under load: no failed request, and no token that is dead before its refresh_at', async (t) => {
  const stage = await openStage(t, {
    role: 'all',
    processes: 2,
    knobs: { ...knobs, access_life_ms: 8000 },
    config: { sweep: { every_ms: 200, visibility_ms: 2000 } }
  })
  const ada = createPerson(stage)
  await ada.connect((await makeLink(stage, 'desk')).url)
  const faults: string[] = []
  const tokens = new Map<string, number>()
  let asked = 0
  let running = true
  const load = Array.from({ length: 4 }, async (_, i) => {
    while (running) {
      const { status, body } = await stage.token('desk', { broker: i % 2 })
      asked++
      if (status === 200) tokens.set(body.access_token, Date.parse(body.refresh_at))
      else faults.push(`${status} ${body.code}`)
      await new Promise((resolve) => setTimeout(resolve, 35))
    }
  })
  const probe = (async () => {
    while (running) {
      for (const [token, refreshAt] of tokens) {
        if (Date.now() > refreshAt) tokens.delete(token)
        else {
          const { status } = await fetch(`${stage.simulator.dataCenters.us}/api/v1/organizations`, {
            headers: { authorization: `Zoho-oauthtoken ${token}` }
          })
          if (status !== 200 && Date.now() < refreshAt) faults.push(`dead before its time: ${status}`)
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  })()
  await until('requests are under way', () => asked > 100)
  const result = await ada.connect((await makeLink(stage, 'desk')).url)
  t.equal(result.status, 200)
  const before = asked
  await until('and after, past the end of the old token', () => asked > before + 600, 30_000)
  running = false
  await Promise.all([...load, probe])
  t.same(faults, [])
  t.ok(asked > 700, `${asked} requests`)
})

t.test('a disconnect is felt by the next request on every process, and the grant ends at Zoho', async (t) => {
  const stage = await openStage(t, { role: 'all', processes: 3, knobs })
  const ada = createPerson(stage)
  await ada.connect((await makeLink(stage, 'desk')).url)
  for (const broker of [0, 1, 2]) t.equal((await stage.token('desk', { broker })).status, 200)
  const ended = await stage.api('DELETE', DESK, { as: 'admin', broker: 1 })
  t.equal(ended.status, 202)
  for (const broker of [0, 1, 2])
    t.match(await stage.token('desk', { broker }), { status: 410, body: { code: 'ERR_DISCONNECTED' } })
  await until('it is revoked', async () => (await liveGrants(stage)) === 0)
  await until('a tombstone is left', async () => (await view(stage)).status === 'disconnected')
  t.equal((await stage.api('DELETE', DESK, { as: 'admin' })).status, 202, 'again: nothing new')
  await ada.connect((await makeLink(stage, 'desk')).url)
  t.equal((await stage.token('desk')).status, 200, 'and it can be connected again')
  t.equal((await stage.api('DELETE', DESK, { as: 'admin', query: '?purge=true' })).status, 202)
  await until('nothing is left of it', async () => (await stage.api('GET', DESK, { as: 'admin' })).status === 404)
})

t.test('what an admin did and what was refused stands in the audit', async (t) => {
  const stage = await openStage(t, { role: 'all', knobs })
  await createPerson(stage).connect((await makeLink(stage, 'desk')).url)
  const refused = await stage.api('DELETE', DESK, { as: 'service' })
  t.match([refused.status, refused.body.code], [403, 'ERR_FORBIDDEN'])
  t.equal((await stage.api('POST', `${DESK}/refresh`, { as: 'admin' })).status, 200)
  await until('both are in the stream', async () => {
    const types = await auditTypes(stage)
    return types.includes('request.refused') && types.includes('connection.refresh_forced')
  })
  t.equal((await stage.token('desk')).status, 200, 'the refused one changed nothing')
})

t.test('quarantine stops hand-outs and keeps the grant', async (t) => {
  const stage = await openStage(t, { role: 'all', knobs })
  await createPerson(stage).connect((await makeLink(stage, 'desk')).url)
  t.equal((await stage.api('POST', `${DESK}/quarantine`, { as: 'admin', body: { reason: 'incident 7' } })).status, 200)
  t.match(await stage.token('desk'), { status: 423, body: { code: 'ERR_QUARANTINED' } })
  t.equal((await stage.api('DELETE', `${DESK}/quarantine`, { as: 'admin' })).status, 200)
  t.equal((await stage.token('desk')).status, 200)
  t.equal(await liveGrants(stage), 1)
})

t.test(
  'a grant that waits for its confirmation serves nobody; the right user lets it in, the wrong one ends it',
  async (t) => {
    const stage = await openStage(t, { role: 'all', knobs })
    const ada = createPerson(stage)
    const flowOf = async (userRef: string) => {
      const { url } = await makeLink(stage, 'desk', { confirm: true, user_ref: userRef })
      const page = await ada.comeBack(await ada.decide(await ada.press(url)))
      return new URL(page.headers.location as string, url).pathname.split('/').at(-1) as string
    }
    const confirm = (flow: string, userRef: string) =>
      stage.api('POST', `${DESK}/connect-flows/${flow}/confirm`, { as: 'admin', body: { user_ref: userRef } })

    const wrong = await flowOf('user-1')
    t.equal((await stage.token('desk')).status, 409, 'nothing is issued from a candidate')
    t.match(await confirm(wrong, 'user-2'), { status: 409, body: { code: 'ERR_WRONG_USER' } })
    await until('it is revoked', async () => (await liveGrants(stage)) === 0)

    const right = await flowOf('user-1')
    t.equal((await confirm(right, 'user-1')).status, 200)
    t.equal((await confirm(right, 'user-1')).status, 200, 'twice is fine')
    const { body } = await stage.token('desk')
    t.equal(body.health, 'ok')
    const again = await flowOf('user-1')
    t.equal((await stage.token('desk')).body.generation, body.generation, 'the old grant serves on')
    t.equal((await confirm(again, 'user-1')).status, 200)
    t.ok((await stage.token('desk')).body.generation > body.generation)
  }
)

t.test('a grant that nobody confirms is revoked, and a late confirmation is told so', async (t) => {
  const stage = await openStage(t, {
    role: 'all',
    knobs,
    config: { connect: { confirm_life_ms: 1000 }, sweep: { every_ms: 200, visibility_ms: 2000 } }
  })
  const ada = createPerson(stage)
  const { url } = await makeLink(stage, 'desk', { confirm: true, user_ref: 'user-1' })
  const back = await ada.comeBack(await ada.decide(await ada.press(url)))
  const flow = new URL(back.headers.location as string, url).pathname.split('/').at(-1)
  await until('it is revoked', async () => (await liveGrants(stage)) === 0)
  t.match(
    await stage.api('POST', `${DESK}/connect-flows/${flow}/confirm`, { as: 'admin', body: { user_ref: 'user-1' } }),
    {
      status: 410,
      body: { code: 'ERR_FLOW_EXPIRED' }
    }
  )
  t.equal((await view(stage)).status, 'pending')
})
