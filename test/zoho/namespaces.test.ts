import { createHash } from 'node:crypto'
import { once } from 'node:events'
import http, { type Agent } from 'node:http'
import net, { type AddressInfo } from 'node:net'
import t from 'tap'

import { Secret } from '../../src/domain/secret.ts'
import { createAgent } from '../../src/zoho/agent.ts'
import { runCall } from '../../src/zoho/call.ts'
import { createNamespaces, VERIFIER_COOKIE } from '../../src/zoho/namespaces.ts'

const CALLBACK = 'https://connect.example.com/oauth/callback'

t.test('the state functions of the plugin confirm a state that a route consumed, and nothing else', async (t) => {
  const forms: URLSearchParams[] = []
  const server = http.createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    forms.push(new URLSearchParams(body))
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"access_token":"a","refresh_token":"r"}')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const row = { api: 'https://www.zohoapis.com', desk: 'https://desk.zoho.com' }
  const built = await createNamespaces({
    apps: [
      {
        name: 'desk',
        product: 'desk',
        clientId: '1000.DESK',
        clientSecrets: new Map([
          ['us', new Secret('secret-us')],
          ['eu', new Secret('secret-eu')]
        ]),
        scopes: ['Desk.tickets.READ', 'Desk.basic.READ'],
        dataCenters: ['us', 'eu'],
        startAt: 'us'
      }
    ],
    dataCenters: [
      { key: 'us', accounts: 'https://accounts.zoho.com', ...row },
      { key: 'eu', accounts: origin, ...row }
    ],
    maxSockets: 2,
    timeoutMs: 1000,
    callbackUri: CALLBACK
  })
  t.teardown(async () => {
    await built.close()
    server.close()
  })
  const [us, eu] = built.namespaces
  if (us === undefined || eu === undefined) return t.fail('two namespaces')

  const cookies = new Map<string, string>()
  const reply = { setCookie: (name: string, value: string) => void cookies.set(name, value) }
  const url = new URL(await us.oauth2.generateAuthorizationUri({ consumedState: 'st' } as never, reply as never))
  const verifier = cookies.get(VERIFIER_COOKIE) ?? ''
  t.equal(url.searchParams.get('state'), 'st', "the state is the consumed one, not the plugin's")
  t.equal(url.searchParams.get('code_challenge'), createHash('sha256').update(verifier).digest('base64url'))
  for (const consumedState of [undefined, '', 5]) {
    await t.rejects(us.oauth2.generateAuthorizationUri({ consumedState } as never, reply as never), /consumed a state/)
  }

  const exchange = (consumedState: string | undefined) =>
    runCall({ timeoutMs: 1000, connectTimeoutMs: 1000 }, () =>
      eu.oauth2.getAccessTokenFromAuthorizationCodeFlow({
        query: { code: 'c', state: 'st' },
        cookies: { [VERIFIER_COOKIE]: verifier },
        consumedState
      } as never)
    )
  for (const other of [undefined, '', 'other']) t.ok('error' in (await exchange(other)))
  t.equal(forms.length, 0, 'no outbound call')
  t.match(await exchange('st'), { value: { token: { refresh_token: 'r' } }, facts: { status: 200, sent: true } })
  t.match(Object.fromEntries(forms[0] ?? []), {
    grant_type: 'authorization_code',
    code: 'c',
    redirect_uri: CALLBACK,
    client_secret: 'secret-eu',
    code_verifier: verifier
  })
})

t.test('an agent carries nothing outside a call, survives a clone, and gives idle connections up early', async (t) => {
  for (const origin of ['http://127.0.0.1:1', 'https://127.0.0.1:1']) {
    const agent = createAgent({ origin, maxSockets: 3 }) as Agent & { isImmutable?: boolean }
    t.match(agent, { isImmutable: true, maxSockets: 3 })
    t.throws(
      () => http.request({ host: '127.0.0.1', port: 1, protocol: new URL(origin).protocol, agent }),
      /outside a call/
    )
    const socket = new net.Socket()
    agent.keepSocketAlive(socket)
    t.equal(socket.timeout, 4000)
    agent.destroy()
  }
})
