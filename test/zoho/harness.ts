import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { inspect } from 'node:util'
import type { Test } from 'tap'

import type { App } from '../../src/domain/app.ts'
import type { DataCenter } from '../../src/domain/data-center.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createZohoAccounts, type ZohoAccountsOptions } from '../../src/zoho/accounts.ts'

const pem = (name: string) => readFileSync(new URL(`fixtures/loopback-${name}.pem`, import.meta.url), 'utf8')
export const CERT = pem('cert')
export const ACCESS = `1000.${'a'.repeat(32)}.${'b'.repeat(32)}`
export const REFRESH = `1000.${'c'.repeat(32)}.${'d'.repeat(32)}`
export const CLIENT_SECRET = 'e'.repeat(42)
export const CALLBACK = 'https://connect.example.com/oauth/callback'
export const TOKEN = { access_token: ACCESS, expires_in: 3600, token_type: 'Bearer' }
export const PLACE = { app: 'desk', dataCenter: 'us' }
export const refreshToken = new Secret(REFRESH)
/** A failure to compare with. */
export const failed = (code: string, sent = true) => ({ kind: 'failed', code, sent })

/** How a server answers. */
export type Answer = (response: ServerResponse, seen: Seen) => void

/** A request as the server saw it. */
export interface Seen {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly headers: IncomingMessage['headers']
  readonly form: URLSearchParams
}

/** A real accounts server on loopback that answers as the test says and remembers what it saw. */
export async function startServer(t: Test, answer: Answer, { tls = false } = {}) {
  const seen: Seen[] = []
  const sockets = new Set<Socket>()
  const counts = { connections: 0, running: 0, most: 0 }
  const handler = async (request: IncomingMessage, response: ServerResponse) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const one = { method: request.method, url: request.url, headers: request.headers, form: new URLSearchParams(body) }
    seen.push(one)
    counts.running += 1
    counts.most = Math.max(counts.most, counts.running)
    response.once('close', () => {
      counts.running -= 1
    })
    answer(response, one)
  }
  const server = tls ? https.createServer({ key: pem('key'), cert: CERT }, handler) : http.createServer(handler)
  server.on('connection', (socket: Socket) => {
    counts.connections += 1
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { origin: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`, port, seen, sockets, counts }
}

/** An app with the same secret in all of its data centers. */
export const app = (name: string, dataCenters: string[], more: Partial<App> = {}): App => ({
  name,
  product: 'desk',
  clientId: `1000.${name.toUpperCase()}`,
  clientSecrets: new Map(dataCenters.map((key) => [key, new Secret(CLIENT_SECRET)])),
  scopes: ['Desk.tickets.READ', 'Desk.basic.READ'],
  dataCenters,
  startAt: 'us',
  ...more
})

/** A row whose accounts server is the test's. */
export const dataCenter = (key: string, accounts: string): DataCenter => ({
  key,
  accounts,
  api: 'https://www.zohoapis.com',
  desk: 'https://desk.zoho.com'
})

/** The adapter with the app `desk` at `us`, unless the test says otherwise, and a refresh there. */
export async function start(t: Test, origin: string, more: Partial<ZohoAccountsOptions> = {}) {
  const accounts = await createZohoAccounts({
    apps: [app('desk', ['us'])],
    dataCenters: [dataCenter('us', origin)],
    callbackUri: CALLBACK,
    debug: undefined,
    ...more
  })
  t.teardown(() => accounts.close())
  return { accounts, refresh: (more = {}) => accounts.refresh({ ...PLACE, refreshToken, ...more }) }
}

/** Answers as Zoho does; a string goes out as it is. */
export function json(response: ServerResponse, body: unknown, status = 200, headers = {}): void {
  response.writeHead(status, { 'content-type': 'application/json;charset=UTF-8', ...headers })
  response.end(typeof body === 'string' ? body : JSON.stringify(body))
}

/** Waits for a fact; fails loudly when it does not come. */
export async function until(fact: () => boolean): Promise<void> {
  const deadline = Date.now() + 5000
  while (!fact()) {
    if (Date.now() > deadline) throw new Error(`never came true: ${fact}`)
    await turn()
  }
}

/** Fails where a printed value tells one of the secrets. */
export function hidesSecrets(t: Test, value: unknown, secrets: readonly string[] = [REFRESH, CLIENT_SECRET, ACCESS]) {
  const text = inspect(value, { depth: 20, showHidden: true, getters: true })
  for (const secret of secrets) t.notOk(text.includes(secret), 'no secret inside')
}
