import type { ClientRequest } from 'node:http'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

import { watchRequests } from './agent.ts'
import { startDeadline } from './deadline.ts'

/** The limits of one call (ms). */
export interface CallLimits {
  readonly timeoutMs: number
  /** For the connection to stand, TLS included. */
  readonly connectTimeoutMs: number
}

/** What is known of a call, though the plugin hides it. */
export interface CallFacts {
  /** False only while no byte of the request can have left this process. */
  readonly sent: boolean
  /** The true status; undefined while no headers have arrived. */
  readonly status: number | undefined
  readonly contentType: string | undefined
  /** Of the answer, headers included, as they came over the wire. */
  readonly receivedBytes: number
  /** One of the limits ended it. */
  readonly timedOut: boolean
}

/** How a call ended: the plugin's value or error, and the facts. */
export type Ended<T> = { readonly facts: CallFacts } & ({ readonly value: T } | { readonly error: unknown })

/** Runs one plugin call under its limits. Never rejects; leaves no socket busy behind. */
export async function runCall<T>(limits: CallLimits, work: () => Promise<T>): Promise<Ended<T>> {
  const facts: Mutable<CallFacts> = {
    sent: false,
    status: undefined,
    contentType: undefined,
    receivedBytes: 0,
    timedOut: false
  }
  const passed = Promise.withResolvers<never>()
  const watch = createWatch(facts, limits.connectTimeoutMs)

  const cancel = startDeadline(limits.timeoutMs, () => {
    facts.timedOut = true
    // Not left to the plugin: it does not notice the end of a request that still waits for a socket.
    passed.reject(new Error('deadline passed'))
  })
  try {
    return { facts, value: await Promise.race([watchRequests(watch.see, work), passed.promise]) }
  } catch (error) {
    return { facts, error }
  } finally {
    cancel()
    watch.abandon()
  }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

function createWatch(facts: Mutable<CallFacts>, connectTimeoutMs: number) {
  let current: ClientRequest | undefined
  let answered = () => false
  let receivedBytes = () => 0

  function see(request: ClientRequest): void {
    current = request
    answered = () => false
    request.once('socket', (socket) => {
      const before = socket.bytesRead
      receivedBytes = () => socket.bytesRead - before
      if (request.reusedSocket || !socket.connecting) facts.sent = true
      else watchConnect(request, socket)
    })
    request.once('response', (response) => {
      facts.status = response.statusCode
      facts.contentType = response.headers['content-type']
      answered = () => response.complete
    })
  }

  function watchConnect(request: ClientRequest, socket: Socket): void {
    const cancel = startDeadline(connectTimeoutMs, () => {
      facts.timedOut = true
      request.destroy(new Error('connect timeout'))
    })
    // What is written earlier is held back until then.
    socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', () => {
      facts.sent = true
      cancel()
    })
    socket.once('close', cancel)
  }

  return {
    see,
    /** Destroys what has not been answered in full: the plugin leaves such a socket busy for ever. */
    abandon(): void {
      facts.receivedBytes = receivedBytes()
      if (current !== undefined && !answered()) current.destroy(new Error('call ended'))
    }
  }
}
