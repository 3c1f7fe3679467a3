import { AsyncLocalStorage } from 'node:async_hooks'
import http from 'node:http'
import https from 'node:https'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/** Sees every request of a call before it is queued for a socket. */
export type RequestWatch = (request: http.ClientRequest) => void

/** What an agent of ours is made of. */
export interface AgentOptions {
  /** The one origin it will call; its scheme chooses http or https. */
  readonly origin: string
  readonly maxSockets: number
  /** PEM of an additional private authority, for https. */
  readonly ca?: string
}

// Common servers close an idle connection after 5 s or later; a request on a connection that is just being closed is lost.
const IDLE_MS = 4000

const watches = new AsyncLocalStorage<RequestWatch>()

// Node calls `addRequest` for every request of an agent, but its types leave it out.
interface Adds {
  addRequest(request: http.ClientRequest, options: object): void
}
const HttpBase = http.Agent as unknown as new (options: http.AgentOptions) => http.Agent & Adds
const HttpsBase = https.Agent as unknown as new (options: https.AgentOptions) => https.Agent & Adds

class HttpAgent extends HttpBase {
  // simple-oauth2 deep-clones its options, and a cloned agent never gets its sockets back; this keeps the instance.
  get isImmutable(): true {
    return true
  }

  override addRequest(request: http.ClientRequest, options: object): void {
    watchRequest(request)
    super.addRequest(request, options)
  }

  override keepSocketAlive(socket: Duplex): boolean {
    return limitIdle(socket, super.keepSocketAlive(socket))
  }
}

class HttpsAgent extends HttpsBase {
  get isImmutable(): true {
    return true
  }

  override addRequest(request: http.ClientRequest, options: object): void {
    watchRequest(request)
    super.addRequest(request, options)
  }

  override keepSocketAlive(socket: Duplex): boolean {
    return limitIdle(socket, super.keepSocketAlive(socket))
  }
}

/** A keep-alive agent that survives simple-oauth2's deep clone and carries only requests made inside `watchRequests`. */
export function createAgent({ origin, maxSockets, ca }: AgentOptions): http.Agent {
  const options = { keepAlive: true, maxSockets, maxFreeSockets: maxSockets }
  if (new URL(origin).protocol === 'http:') return new HttpAgent(options)
  return new HttpsAgent(ca === undefined ? options : { ...options, ca })
}

/** Runs `work`; each request that it makes through an agent of ours is shown to `watch` first. */
export function watchRequests<T>(watch: RequestWatch, work: () => T): T {
  return watches.run(watch, work)
}

function watchRequest(request: http.ClientRequest): void {
  const watch = watches.getStore()
  if (watch === undefined) throw new Error('a request to Zoho was made outside a call')
  watch(request)
}

function limitIdle(socket: Duplex, kept: unknown): boolean {
  if (kept === false) return false
  // The server's own `Keep-Alive: timeout` may already have set a shorter time.
  if (socket instanceof Socket && !(socket.timeout && socket.timeout < IDLE_MS)) socket.setTimeout(IDLE_MS)
  return true
}
