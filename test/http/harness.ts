import { createHash } from 'node:crypto'
import { type AddressInfo, connect } from 'node:net'
import type { App } from '../../src/domain/app.ts'
import type { Broker, IssuedToken } from '../../src/domain/broker.ts'
import type { Connection } from '../../src/domain/connection.ts'
import { ZOHO_DATA_CENTERS } from '../../src/domain/data-center.ts'
import { BrokerError } from '../../src/domain/errors.ts'
import { type ConnectionRef, refKey } from '../../src/domain/ids.ts'
import { type Action, type Consumer, judge } from '../../src/domain/policy.ts'
import type { HandOut } from '../../src/domain/ports.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createHttp, type HttpDeps, type HttpServers } from '../../src/http/servers.ts'
import { createFakeAdmin, createFakePages, PUBLIC_URL } from './connect-fakes.ts'

export const NOW = Date.UTC(2026, 10, 24, 12, 0, 0, 250)
export const ACCESS_TOKEN = 'the-access-token'
export const REFRESH_TOKEN = 'the-refresh-token'
export const ADMIN_KEY = 'ztb_adminkey_1'
export const SERVICE_KEY = 'ztb_servicekey_1'
export const ACME: ConnectionRef = { tenant: 'acme', connection: 'desk' }
export const TOKEN_URL = '/v1/tenants/acme/connections/desk/token'

export const admin: Consumer = {
  name: 'ops',
  allow: [{ actions: ['token', 'read', 'connect', 'refresh', 'disconnect'], tenants: ['*'], connections: ['*'] }]
}

/** May ask for tokens of `acme`, and nothing else. */
export const service: Consumer = {
  name: 'ticket-sync',
  allow: [{ actions: ['token'], tenants: ['acme'], connections: ['*'] }]
}

const app: App = {
  name: 'desk',
  product: 'desk',
  clientId: '1000.CLIENT',
  clientSecrets: new Map([['eu', new Secret('the-client-secret')]]),
  scopes: ['Desk.tickets.READ'],
  dataCenters: ['eu'],
  startAt: 'eu'
}

export function connectionOf(ref: ConnectionRef, changes: Partial<Connection> = {}): Connection {
  return {
    ref,
    revision: 1,
    writeId: '00'.repeat(8),
    epoch: 1,
    generation: 7,
    status: 'active',
    quarantined: false,
    purge: false,
    access: { sealed: new Uint8Array(3), expiresAt: NOW + 1_800_900 },
    sealedRefresh: new Uint8Array(3),
    details: {
      app: 'desk',
      dataCenter: 'eu',
      clientId: app.clientId,
      grantNumber: 1,
      scopes: { requested: ['Desk.tickets.READ', 'Desk.basic.READ'], granted: ['Desk.tickets.READ'] },
      times: { created: NOW - 60_000, statusSince: NOW - 50_000, connected: NOW - 50_000 }
    },
    ...changes
  }
}

/** The `Broker` port over a map: policy as in the real one, every call noted; `failWith` makes each call fail. */
export function createFakeBroker() {
  const records = new Map([[refKey(ACME), connectionOf(ACME)]])
  const calls: { method: string; input: unknown }[] = []
  const state: { failWith?: unknown } = {}

  function enter(method: string, input: unknown): void {
    calls.push({ method, input })
    if ('failWith' in state) throw state.failWith
  }

  function find(consumer: Consumer, action: Action, ref: ConnectionRef): Connection {
    const verdict = judge(consumer, action, ref)
    const record = records.get(refKey(ref))
    if (!record || verdict === 'hidden')
      throw new BrokerError('ERR_CONNECTION_NOT_FOUND', 'There is no such connection.')
    if (verdict === 'forbidden') throw new BrokerError('ERR_FORBIDDEN', `This needs the action "${action}".`)
    return record
  }

  const issued = (connection: Connection): IssuedToken => ({
    accessToken: new Secret(ACCESS_TOKEN),
    expiresAt: connection.access?.expiresAt ?? 0,
    refreshAt: (connection.access?.expiresAt ?? 0) - 300_000,
    generation: connection.generation,
    health: 'ok',
    connection
  })

  const broker: Broker = {
    async issue(input) {
      enter('issue', input)
      return issued(find(input.consumer, 'token', input.ref))
    },
    async rejected(input) {
      enter('rejected', input)
      return issued(find(input.consumer, 'token', input.ref))
    },
    async read(input) {
      enter('read', input)
      return find(input.consumer, 'read', input.ref)
    },
    async list(input) {
      enter('list', input)
      const all = [...records.values()].filter(
        ({ ref }) => ref.tenant === input.tenant && ref.connection > (input.after ?? '')
      )
      const items = all.slice(0, input.limit)
      const last = items.at(-1)
      return { items, ...(all.length > items.length && last && { next: last.ref.connection }) }
    },
    async importGrant(input) {
      enter('importGrant', input)
      const created = !records.has(refKey(input.ref))
      const connection = connectionOf(input.ref)
      records.set(refKey(input.ref), connection)
      return { connection, created }
    },
    async forceRefresh(input) {
      enter('forceRefresh', input)
      return find(input.consumer, 'refresh', input.ref)
    }
  }
  return { broker, records, calls, state }
}

const hashOf = (key: string) => `sha256:${createHash('sha256').update(key).digest('hex')}`

/** All three servers over fakes of the domain, with what they recorded. Closed with the test. */
export async function startHttp(t: { teardown(fn: () => unknown): unknown }, changes: Partial<HttpDeps> = {}) {
  const fake = createFakeBroker()
  const fakePages = createFakePages()
  const fakeAdmin = createFakeAdmin(connectionOf(ACME))
  const handOuts: HandOut[] = []
  const faults: { error: unknown; requestId: string }[] = []
  const clock = { at: NOW, now: () => clock.at }
  const http = await createHttp({
    broker: fake.broker,
    grantAdmin: fakeAdmin.grantAdmin,
    connectPages: fakePages.pages,
    publicUrl: PUBLIC_URL,
    consumers: new Map([
      [hashOf(ADMIN_KEY), admin],
      [hashOf(SERVICE_KEY), service]
    ]),
    apps: new Map([[app.name, app]]),
    dataCenters: new Map(ZOHO_DATA_CENTERS.map((row) => [row.key, row])),
    clock,
    fingerprint: () => 'f1f1f1f1',
    recordHandOut: (handOut) => handOuts.push(handOut),
    recordRefusal: () => {},
    tokenLimit: { perSecond: 10, burst: 1000 },
    adminLimit: { perMinute: 1000, limiter: undefined, prefix: 'ztb' },
    publicLimit: { perMinute: 1000, limiter: undefined, prefix: 'ztb' },
    ready: () => ({ ready: true, checks: { redis: 'ok' } }),
    metrics: async () => '# HELP up Whether it is up.\nup 1\n',
    onServerError: (error, requestId) => faults.push({ error, requestId }),
    trustProxy: [],
    ...changes
  })
  t.teardown(() => closeAll(http))
  return { ...fake, ...fakePages, ...fakeAdmin, http, api: http.api, web: http.public, handOuts, faults, clock }
}

async function closeAll(http: HttpServers): Promise<void> {
  await Promise.all([http.public.close(), http.api.close(), http.management.close()])
}

export const asAdmin = { authorization: `Bearer ${ADMIN_KEY}` }
export const asService = { authorization: `Bearer ${SERVICE_KEY}` }

/** Listens on loopback and returns the port. */
export async function listen(server: HttpServers['api']): Promise<number> {
  await server.listen({ host: '127.0.0.1', port: 0 })
  return (server.server.address() as AddressInfo).port
}

/** Sends bytes as they are and collects the answer until the other side closes. */
export function exchange(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    let text = ''
    socket.setEncoding('utf8')
    socket.on('data', (chunk) => {
      text += chunk
    })
    // A reset after the answer is how a server ends a connection on which more was still coming.
    socket.on('error', (error) => (text === '' ? reject(error) : resolve(text)))
    socket.on('close', () => resolve(text))
  })
}
