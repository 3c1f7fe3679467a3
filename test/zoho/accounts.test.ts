import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { gzipSync } from 'node:zlib'
import t from 'tap'

import type { App } from '../../src/domain/app.ts'
import { Secret } from '../../src/domain/secret.ts'
import {
  ACCESS,
  type Answer,
  app,
  CERT,
  CLIENT_SECRET,
  dataCenter,
  failed,
  hidesSecrets,
  json,
  PLACE,
  REFRESH,
  refreshToken,
  start,
  startServer,
  TOKEN,
  until
} from './harness.ts'

t.test('a refresh is the plugin posting a form: no secret in the URL, nothing of ours added', async (t) => {
  const server = await startServer(t, (response) => json(response, TOKEN))
  const { refresh } = await start(t, server.origin)
  const reply = await refresh()
  t.match(reply, { kind: 'granted', lifeMs: 3_600_000, apiDomainDiffers: false })
  t.equal(reply.kind === 'granted' && reply.accessToken.reveal(), ACCESS)
  t.notOk('refreshToken' in reply, 'the plugin would lose the stored one (P12)')
  hidesSecrets(t, reply)

  const [seen] = server.seen
  t.match(seen, {
    method: 'POST',
    url: '/oauth/v2/token',
    headers: { 'user-agent': 'fastify-oauth2', accept: 'application/json', 'accept-language': 'en' }
  })
  t.equal(seen?.headers['content-type'], 'application/x-www-form-urlencoded')
  t.equal(seen?.headers.authorization, undefined)
  t.strictSame(Object.fromEntries(seen?.form ?? []), {
    grant_type: 'refresh_token',
    refresh_token: REFRESH,
    client_id: '1000.DESK',
    client_secret: CLIENT_SECRET
  })
})

t.test('each app and data center has its own client, secret and host', async (t) => {
  const us = await startServer(t, (response) => json(response, TOKEN))
  const eu = await startServer(t, (response) => json(response, { ...TOKEN, refresh_token: 'rotated' }))
  const crm = app('ready', ['eu', 'us'], {
    clientSecrets: new Map([
      ['eu', new Secret('secret-eu')],
      ['us', new Secret('secret-us')]
    ])
  })
  const { accounts } = await start(t, us.origin, {
    apps: [app('desk', ['us']), crm],
    dataCenters: [dataCenter('us', us.origin), dataCenter('eu', eu.origin)]
  })
  const reply = await accounts.refresh({ app: 'ready', dataCenter: 'eu', refreshToken })
  t.equal(reply.kind === 'granted' && reply.refreshToken?.reveal(), 'rotated')
  await accounts.refresh({ app: 'ready', dataCenter: 'us', refreshToken })
  t.strictSame(
    [...us.seen, ...eu.seen].map(({ form }) => [form.get('client_id'), form.get('client_secret')]),
    [
      ['1000.READY', 'secret-us'],
      ['1000.READY', 'secret-eu']
    ]
  )
  for (const place of [
    { app: 'desk', dataCenter: 'eu' },
    { app: 'other', dataCenter: 'us' }
  ]) {
    await t.rejects(accounts.refresh({ ...place, refreshToken }), { code: 'ERR_APP_UNKNOWN' })
    await t.rejects(accounts.revoke({ ...place, refreshToken }), { code: 'ERR_APP_UNKNOWN' })
  }
})

t.test('fifty refreshes in a row share one connection', async (t) => {
  const server = await startServer(t, (response) => json(response, TOKEN))
  const { refresh } = await start(t, server.origin)
  for (let i = 0; i < 50; i += 1) t.equal((await refresh()).kind, 'granted')
  t.ok(server.counts.connections <= 2, `${server.counts.connections} connections`)
})

t.test('500 calls at once all succeed over at most as many sockets as the limit', async (t) => {
  const server = await startServer(t, (response) => setImmediate(json, response, TOKEN))
  const { refresh } = await start(t, server.origin, { inFlight: 8, inFlightReserved: 2 })
  const replies = await Promise.all(Array.from({ length: 500 }, (_, i) => refresh({ background: i % 2 === 0 })))
  t.strictSame(new Set(replies.map(({ kind }) => kind)), new Set(['granted']))
  t.equal(server.seen.length, 500)
  t.ok(server.counts.most <= 8 && server.counts.connections <= 9, JSON.stringify(server.counts))
})

t.test('a call that gets no place in time is busy and was not sent', async (t) => {
  const server = await startServer(t, () => {})
  const { refresh } = await start(t, server.origin, { inFlight: 2, inFlightReserved: 1, timeoutMs: 500 })
  const replies = await Promise.all([refresh(), refresh(), refresh()])
  t.strictSame(replies, [failed('timeout'), failed('timeout'), failed('busy', false)])
  t.equal(server.seen.length, 2)
})

t.test('background work leaves the reserved places to callers, and runs when there is room', async (t) => {
  const held: ServerResponse[] = []
  const server = await startServer(t, (response) => void held.push(response))
  const { refresh } = await start(t, server.origin, { inFlight: 3, inFlightReserved: 1 })
  const background = [1, 2, 3].map(() => refresh({ background: true }))
  await until(() => held.length === 2)
  const caller = refresh()
  await until(() => held.length === 3)
  t.equal(server.seen.length, 3, 'the third background call waits')
  json(held[2] as ServerResponse, TOKEN)
  t.equal((await caller).kind, 'granted')
  json(held[0] as ServerResponse, TOKEN)
  await until(() => held.length === 4)
  for (const response of [held[1], held[3]]) json(response as ServerResponse, TOKEN)
  t.strictSame(new Set((await Promise.all(background)).map(({ kind }) => kind)), new Set(['granted']))
})

t.test('the total deadline ends every kind of hang and leaves no socket busy', async (t) => {
  const headers = (response: ServerResponse) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.flushHeaders()
  }
  const hangs: Record<string, Answer> = {
    'before the headers': () => {},
    'after the headers': headers,
    'within the body': (response) => {
      headers(response)
      response.write('{"access_token":')
    },
    'a body that drips': (response) => {
      headers(response)
      const drip = setInterval(() => response.write(' '), 5)
      response.once('close', () => clearInterval(drip))
    }
  }
  const check = async ([name, hang]: [string, Answer]) => {
    let answer = hang
    const server = await startServer(t, (response, seen) => answer(response, seen))
    const { refresh } = await start(t, server.origin, { inFlight: 2, inFlightReserved: 0, timeoutMs: 500 })
    const began = performance.now()
    t.strictSame(await Promise.all([refresh(), refresh()]), [failed('timeout'), failed('timeout')], name)
    t.ok(performance.now() - began < 2000, `${name}: in time`)
    await until(() => server.sockets.size === 0)
    answer = (response) => json(response, TOKEN)
    const after = await Promise.all(Array.from({ length: 4 }, () => refresh()))
    t.strictSame(new Set(after.map(({ kind }) => kind)), new Set(['granted']), `${name}: all sockets are back`)
  }
  await Promise.all(Object.entries(hangs).map(check))
})

t.test('a connection that does not come to stand ends at the connect limit, unsent', async (t) => {
  const silent = net.createServer((socket) => socket.on('error', () => {}))
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => silent.close())
  const { port } = silent.address() as AddressInfo
  const { refresh } = await start(t, `https://127.0.0.1:${port}`, { connectTimeoutMs: 100 })
  const began = performance.now()
  t.strictSame(await refresh(), failed('timeout', false))
  t.ok(performance.now() - began < 4000, 'long before the total deadline')
})

t.test('what certainly was not sent says so', async (t) => {
  const closed = await startServer(t, () => {})
  const gone = net.createServer().listen(0, '127.0.0.1')
  await once(gone, 'listening')
  const { port } = gone.address() as AddressInfo
  gone.close()
  await once(gone, 'close')
  const tls = await startServer(t, (response) => json(response, TOKEN), { tls: true })
  const origins = {
    'nobody listens': `http://127.0.0.1:${port}`,
    'no such name': `https://${'x'.repeat(64)}.invalid`,
    'an unknown certificate': tls.origin,
    'TLS spoken to a plain server': `https://127.0.0.1:${closed.port}`
  }
  for (const [name, origin] of Object.entries(origins)) {
    const { refresh } = await start(t, origin)
    t.strictSame(await refresh(), failed('network', false), name)
  }
  t.equal(tls.seen.length, 0, 'nothing was told to the unknown server')
})

t.test('https works with a private authority and keeps its connection', async (t) => {
  const server = await startServer(t, (response) => json(response, TOKEN), { tls: true })
  const { refresh } = await start(t, server.origin, { ca: CERT })
  for (let i = 0; i < 5; i += 1) t.equal((await refresh()).kind, 'granted')
  t.equal(server.counts.connections, 1)
})

t.test('a redirect is refused even with a token in it, and the other host never hears of us', async (t) => {
  const foreign = await startServer(t, (response) => json(response, TOKEN))
  for (const status of [300, 301, 302, 303, 307, 308]) {
    const location = `${foreign.origin}/oauth/v2/token`
    const server = await startServer(t, (response) => json(response, TOKEN, status, { location }))
    const { accounts, refresh } = await start(t, server.origin)
    t.strictSame(await refresh(), failed('redirect'), `refresh ${status}`)
    t.strictSame(await accounts.revoke({ ...PLACE, refreshToken }), failed('redirect'), `revoke ${status}`)
  }
  t.equal(foreign.counts.connections, 0)
})

t.test('members of an answer never steer a later request', async (t) => {
  const foreign = await startServer(t, (response) => json(response, TOKEN))
  const evil = { ...TOKEN, baseUrl: foreign.origin, api_domain: foreign.origin, agent: false, socketPath: '/nowhere' }
  const server = await startServer(t, (response) => json(response, evil))
  const differs: unknown[] = []
  const { accounts, refresh } = await start(t, server.origin, { onApiDomainDiffers: (place) => differs.push(place) })
  t.equal((await refresh()).kind, 'granted')
  t.equal((await refresh()).kind, 'granted')
  t.strictSame(await accounts.revoke({ ...PLACE, refreshToken }), { kind: 'revoked' })
  t.equal(server.seen.length, 3)
  t.equal(foreign.counts.connections, 0)
  t.strictSame(differs, [PLACE, PLACE])
})

t.test('every bad answer becomes its kind, without a secret, and the next call works', async (t) => {
  const raw = (type: string, body: string | Buffer, status = 200, headers = {}): Answer => {
    return (response) => response.writeHead(status, { 'content-type': type, ...headers }).end(body)
  }
  const html = '<html>ZGS</html>'
  const text = JSON.stringify(TOKEN)
  const gzip = { 'content-encoding': 'gzip' }
  const rows: [string, Answer, object][] = [
    ['html', raw('text/html', html), failed('not_json')],
    ['html 400', raw('text/html', html, 400), failed('http_status')],
    ['html 502', raw('text/html', html, 502), failed('http_status')],
    ['html 429', raw('text/html', html, 429), { kind: 'refused', fault: 'throttled', code: 'throttled' }],
    ['no type', (response) => response.writeHead(200).end(text), failed('not_json')],
    ['gzip', raw('application/json', gzipSync(text), 200, gzip), failed('not_json')],
    ['broken JSON', raw('application/json', '{"access_token":'), failed('not_json')],
    ['broken JSON 400', raw('application/json', '{', 400), failed('http_status')],
    ['__proto__', raw('application/json', `{"__proto__":{"error":1},"access_token":"${ACCESS}"}`), failed('not_json')],
    ['empty', raw('application/json', ''), failed('malformed')],
    ['empty 204', (response) => response.writeHead(204).end(), failed('not_json')],
    ['empty 500', raw('application/json', '', 500), failed('http_status')],
    ['null', raw('application/json', 'null'), failed('malformed')],
    ['a string', raw('application/json', '"token"'), failed('malformed')],
    ['an array', raw('application/json', '[]'), failed('malformed')],
    [
      'odd expiry',
      raw('application/json', `{"access_token":"${ACCESS}","expires_in":{"toString":1}}`),
      failed('malformed')
    ],
    ['odd expires_at', raw('application/json', `{"expires_at":{"valueOf":1,"toString":1}}`), failed('malformed')],
    ['25 MB', raw('application/json', `"${'x'.repeat(25e6)}"`), failed('too_large')],
    ['25 MB 400', raw('text/html', 'x'.repeat(25e6), 400), failed('too_large')],
    ['65 kB', raw('application/json', JSON.stringify({ ...TOKEN, x: 'x'.repeat(65536) })), failed('too_large')],
    ['reset', (response) => response.socket?.resetAndDestroy(), failed('network')],
    ['closed', (response) => response.socket?.end(), failed('network')],
    [
      'reset in the body',
      (response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': 500 })
        response.write('{"access', () => response.socket?.resetAndDestroy())
      },
      failed('network')
    ],
    ['no HTTP', (response) => response.socket?.end('garbage\r\n\r\n'), failed('network')],
    [
      'error in 200',
      (r) => json(r, { error: 'invalid_code' }),
      { kind: 'refused', fault: 'grant', code: 'invalid_code' }
    ],
    [
      'error in 400',
      (r) => json(r, { error: 'invalid_client' }, 400),
      { kind: 'refused', fault: 'ours', code: 'invalid_client' }
    ],
    ['error and token', (r) => json(r, { ...TOKEN, error: REFRESH }), failed('unknown_error')],
    [
      'throttle in 400',
      (r) => json(r, { status: 'failure', error: '访问被拒绝' }, 400),
      { kind: 'refused', fault: 'throttled', code: 'throttled' }
    ]
  ]
  let answer: Answer
  const server = await startServer(t, (response, seen) => answer(response, seen))
  const { refresh } = await start(t, server.origin, { inFlight: 1, inFlightReserved: 0 })
  for (const [name, bad, expected] of rows) {
    answer = bad
    const reply = await refresh()
    t.strictSame(reply, expected, name)
    hidesSecrets(t, reply)
    answer = (response) => json(response, TOKEN)
    t.equal((await refresh()).kind, 'granted', `after ${name}`)
  }
})

t.test('a revoke posts the refresh token as a form and reads every way to answer', async (t) => {
  let answer: Answer = (response) => json(response, { status: 'success' })
  const server = await startServer(t, (response, seen) => answer(response, seen))
  const { accounts } = await start(t, server.origin, { timeoutMs: 500 })
  const revoke = () => accounts.revoke({ ...PLACE, refreshToken })
  t.strictSame(await revoke(), { kind: 'revoked' })
  t.match(server.seen[0], {
    method: 'POST',
    url: '/oauth/v2/token/revoke',
    headers: { 'user-agent': 'fastify-oauth2' }
  })
  t.strictSame(Object.fromEntries(server.seen[0]?.form ?? []), {
    token: REFRESH,
    token_type_hint: 'refresh_token',
    client_id: '1000.DESK',
    client_secret: CLIENT_SECRET
  })
  answer = (response) => response.writeHead(200).end()
  t.strictSame(await revoke(), { kind: 'revoked' })
  answer = (response) => json(response, { error: 'invalid_code' }, 400)
  t.strictSame(await revoke(), { kind: 'gone' })
  answer = (response) => json(response, { error: 'Access Denied', status: 'failure' }, 400)
  t.strictSame(await revoke(), { kind: 'refused', fault: 'throttled', code: 'throttled' })
  answer = () => {}
  t.strictSame(await revoke(), failed('timeout'))
})

t.test('an answer that arrived while our event loop stood still is used, however late the timer', async (t) => {
  const source = `
    const { parentPort } = require('node:worker_threads')
    const server = require('node:http').createServer((request, response) => {
      parentPort.postMessage('asked')
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(${JSON.stringify(JSON.stringify(TOKEN))})
    })
    server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port))`
  const worker = new Worker(source, { eval: true })
  t.teardown(() => worker.terminate())
  const [port] = await once(worker, 'message')
  const { refresh } = await start(t, `http://127.0.0.1:${port}`, { timeoutMs: 600 })
  t.equal((await refresh()).kind, 'granted', 'a connection stands')
  const running = refresh()
  // The request is on its way after this turn; then the loop stands still beyond the deadline.
  await turn()
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1200)
  t.equal((await running).kind, 'granted')
})

t.test('close waits for running calls, takes no new one and leaves no socket open', async (t) => {
  const held: ServerResponse[] = []
  const server = await startServer(t, (response) => void held.push(response))
  const { accounts, refresh } = await start(t, server.origin)
  const running = refresh()
  await until(() => held.length === 1)
  let closed = false
  const closing = accounts.close().then(() => {
    closed = true
  })
  t.strictSame(await refresh(), failed('busy', false))
  t.equal(closed, false)
  json(held[0] as ServerResponse, TOKEN)
  t.equal((await running).kind, 'granted')
  await closing
  await until(() => server.sockets.size === 0)
})

t.test('what would tell secrets or send them astray is refused at the start, without quoting a secret', async (t) => {
  for (const debug of [
    '*',
    'simple-oauth2*',
    'simple-oauth2:client',
    'express,simple-*',
    '-express *',
    '*:request-options'
  ]) {
    await t.rejects(start(t, 'http://127.0.0.1:1', { debug }), { message: /DEBUG/ }, debug)
  }
  for (const debug of ['', 'express', 'ioredis:*', '*,-simple-oauth2*', 'simple-oauth2', 'simple.oauth2*']) {
    await t.resolves(start(t, 'http://127.0.0.1:1', { debug }), debug)
  }
  const secrets = (value: string) => new Map([['us', new Secret(value)]])
  const bad: Record<string, Partial<App>> = {
    'a secret with a line break': { clientSecrets: secrets(`${CLIENT_SECRET}\n`) },
    'an empty secret': { clientSecrets: secrets('') },
    'no secret for the data center': { clientSecrets: new Map() },
    'an empty client id': { clientId: '' },
    'an unknown data center': { dataCenters: ['us', 'moon'] }
  }
  for (const [name, more] of Object.entries(bad)) {
    const error = await start(t, 'http://127.0.0.1:1', { apps: [app('desk', ['us'], more)] }).catch((error) => error)
    t.match(error, { message: /^app "desk"/ }, name)
    hidesSecrets(t, error)
  }
  for (const origin of [
    'http://accounts.zoho.com',
    'https://accounts.zoho.com/',
    'https://a:b@accounts.zoho.com',
    'ftp://127.0.0.1',
    'x'
  ]) {
    await t.rejects(start(t, origin), { message: /accounts origin/ }, origin)
  }
})
