import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { type Call, readCall } from './call.ts'
import type { Answer, Endpoint, Handler, Route } from './endpoint.ts'
import { type BrokenReply, comesAfter, type Faults } from './faults.ts'
import type { Gate } from './gate.ts'
import { arrivalOf, type Ledger, type LedgerEntry, recordWork } from './ledger.ts'
import { send, sendBroken } from './reply.ts'

interface Deps {
  /** Path → what stands there. */
  readonly routes: ReadonlyMap<string, Route>
  readonly ledger: Ledger
  readonly faults: Faults
  readonly gate: Gate
  readonly connectionOf: (socket: Socket) => number
}

interface Visit {
  readonly call: Call
  readonly entry: LedgerEntry
  readonly endpoint: Endpoint
  readonly handle: Handler
  readonly response: ServerResponse
  /** Aborted when the caller has gone. */
  readonly gone: AbortSignal
}

/** One data center's server: accounts, API and Desk on one origin. It does not listen yet. */
export function createDataCenterServer(dataCenter: string, deps: Deps): Server {
  // Longer than any caller keeps an idle socket, so that no call meets a closing one.
  return createServer({ keepAliveTimeout: 120_000 }, (request, response) => {
    receive(dataCenter, deps, request, response).catch((error: unknown) => {
      if (!response.headersSent) response.writeHead(500)
      response.end(`The simulator failed: ${error instanceof Error ? error.message : 'unknown'}`)
    })
  })
}

async function receive(dataCenter: string, deps: Deps, request: IncomingMessage, response: ServerResponse) {
  const leaving = new AbortController()
  response.once('close', () => leaving.abort())
  const call = await readCall(request, dataCenter)
  const entry = deps.ledger.arrive(arrivalOf(call, deps.connectionOf(request.socket)))
  const { endpoint, handle } = deps.routes.get(call.path) ?? { endpoint: 'resource', handle: notFound }
  await answer(deps, { call, entry, endpoint, handle, response, gone: leaving.signal })
}

async function answer({ faults, gate }: Deps, visit: Visit): Promise<void> {
  const { call, entry, endpoint, handle, response, gone } = visit
  const place = { data_center: call.dataCenter, endpoint, seq: entry.seq }
  await gate.pass({ ...place, at: 'arrival' }, gone)
  const latency = faults.takeLatency({ dataCenter: call.dataCenter, endpoint })
  const fault = faults.takeBrokenReply({ dataCenter: call.dataCenter, endpoint })
  if (latency && !latency.after) await pause(latency.ms, gone)
  if (gone.aborted) {
    entry.outcome = 'abandoned'
    return
  }
  const worked = !fault || comesAfter(fault) ? handle(call) : undefined
  if (worked) recordWork(entry, worked)
  else entry.outcome = 'fault'
  if (latency?.after) await pause(latency.ms, gone)
  await gate.pass({ ...place, at: 'reply' }, gone)
  if (!gone.aborted) reply(response, entry, fault, worked)
}

function reply(response: ServerResponse, entry: LedgerEntry, fault: BrokenReply | undefined, worked?: Answer): void {
  if (fault) sendBroken(response, fault, worked)
  else if (worked) send(response, worked)
  entry.fault = fault?.kind ?? null
  entry.status = response.headersSent ? response.statusCode : null
}

/** A pause that ends at once when the caller goes. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await wait(ms, undefined, { signal }).catch(() => {})
}

const notFound: Handler = () => ({
  status: 404,
  headers: { server: 'ZGS', 'content-type': 'text/html;charset=UTF-8' },
  body: '<html><body><h1>404 Not Found</h1></body></html>',
  outcome: 'not_found'
})
