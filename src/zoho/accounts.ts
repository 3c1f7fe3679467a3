import type { Token } from '@fastify/oauth2'

import type { App } from '../domain/app.ts'
import type { DataCenter } from '../domain/data-center.ts'
import { BrokerError } from '../domain/errors.ts'
import type { Upstream, UpstreamReply } from '../domain/ports.ts'
import type { Secret } from '../domain/secret.ts'
import { type CallFacts, type Ended, runCall } from './call.ts'
import { createInFlight, type InFlight } from './in-flight.ts'
import { assertNoDebug, createNamespaces, MAX_BYTES, type Namespace } from './namespaces.ts'
import { parseRevokeReply, type RevokeReply } from './revoke-reply.ts'
import { decidedByStatus, type Failed, failed, isObject, parseTokenReply, type RawReply } from './token-reply.ts'

/** Names one app at one data center. */
export interface Place {
  readonly app: string
  readonly dataCenter: string
}

/** What the adapter is built from. */
export interface ZohoAccountsOptions {
  readonly apps: readonly App[]
  readonly dataCenters: readonly DataCenter[]
  /** Total life of a call, waiting for its place included. Default 8 s. */
  readonly timeoutMs?: number
  /** For a connection to stand, TLS included. Default 2 s. */
  readonly connectTimeoutMs?: number
  /** Calls at once per app and data center. Default 50. */
  readonly inFlight?: number
  /** Of these, kept free of background work. Default 10. */
  readonly inFlightReserved?: number
  /** The upstream named an API origin that is not the table's. */
  readonly onApiDomainDiffers?: (place: Place) => void
  /** The value of `DEBUG`: one that makes simple-oauth2 print secrets is refused. */
  readonly debug: string | undefined
  readonly callbackUri?: string
  /** PEM of an additional private authority. */
  readonly ca?: string
}

/** Zoho's accounts servers. No method throws for what they do; `ERR_APP_UNKNOWN` for a place that is not configured. */
export interface ZohoAccounts extends Upstream {
  /** `background` work leaves the reserved places to callers who wait. */
  refresh(input: Place & { readonly refreshToken: Secret; readonly background?: boolean }): Promise<UpstreamReply>
  /** Ends a grant at Zoho by its refresh token. */
  revoke(input: Place & { readonly refreshToken: Secret; readonly background?: boolean }): Promise<RevokeReply>
  /** Takes no new call, waits for the running ones, then destroys the sockets. The caller sets the deadline. */
  close(): Promise<void>
}

const BUSY: Failed = { kind: 'failed', code: 'busy', sent: false }

/** Builds the adapter. Rejects when the options are unsafe (see `createNamespaces`, `assertNoDebug`). */
export async function createZohoAccounts(options: ZohoAccountsOptions): Promise<ZohoAccounts> {
  const { timeoutMs = 8000, connectTimeoutMs = 2000, inFlight = 50, inFlightReserved = 10 } = options
  assertNoDebug(options.debug)
  const { namespaces, close } = await createNamespaces({ ...options, maxSockets: inFlight, timeoutMs })
  const places = new Map(
    namespaces.map((namespace): [string, { namespace: Namespace; queue: InFlight }] => [
      placeKey({ app: namespace.app, dataCenter: namespace.dataCenter.key }),
      { namespace, queue: createInFlight({ limit: inFlight, reserved: inFlightReserved }) }
    ])
  )
  // Room for the call itself: one that starts just before its deadline would only waste a token at Zoho.
  const waitMs = timeoutMs - Math.min(connectTimeoutMs, timeoutMs / 2)
  const running = new Set<Promise<unknown>>()
  let closing = false

  async function call<T>({ queue }: { queue: InFlight }, background: boolean, work: () => Promise<T>) {
    const startedAt = performance.now()
    const giveBack = await queue.take({ background, waitMs })
    if (giveBack === undefined) return BUSY
    try {
      const leftMs = timeoutMs - (performance.now() - startedAt)
      return leftMs > 0 ? toRawReply(await runCall({ timeoutMs: leftMs, connectTimeoutMs }, work)) : BUSY
    } finally {
      giveBack()
    }
  }

  /** Waits for its place, runs one plugin call and gives back what arrived, or why nothing did. */
  function tracked<T>(place: { queue: InFlight }, background: boolean, work: () => Promise<T>) {
    if (closing) return Promise.resolve(BUSY)
    const ended = call(place, background, work).finally(() => running.delete(ended))
    running.add(ended)
    return ended
  }

  function find(place: Place) {
    const found = places.get(placeKey(place))
    if (found === undefined)
      throw new BrokerError('ERR_APP_UNKNOWN', 'The app or its data center is not in the configuration.')
    return found
  }

  return {
    async refresh({ app, dataCenter, refreshToken, background = false }) {
      const place = find({ app, dataCenter })
      const { oauth2, dataCenter: row } = place.namespace
      const reply = await tracked(place, background, async () => {
        const { token } = await oauth2.getNewAccessTokenUsingRefreshToken(tokenObject(refreshToken), {})
        return token
      })
      if ('kind' in reply) return reply
      const parsed = parseTokenReply({ ...reply, apiOrigin: row.api })
      if (parsed.kind === 'granted' && parsed.apiDomainDiffers) options.onApiDomainDiffers?.({ app, dataCenter })
      return parsed
    },

    async revoke({ app, dataCenter, refreshToken, background = false }) {
      const place = find({ app, dataCenter })
      const reply = await tracked(place, background, () =>
        place.namespace.oauth2.revokeToken(tokenObject(refreshToken), 'refresh_token', undefined)
      )
      return 'kind' in reply ? reply : parseRevokeReply(reply)
    },

    async close() {
      closing = true
      await Promise.allSettled(running)
      await close()
    }
  }
}

function placeKey({ app, dataCenter }: Place): string {
  return JSON.stringify([app, dataCenter])
}

/** Always a fresh one: members of a stored token object would become options of the request. */
function tokenObject(refreshToken: Secret): Token {
  return { refresh_token: refreshToken.reveal() } as Token
}

/** The answer that arrived, whichever way the plugin reports it, or why none did. */
function toRawReply(ended: Ended<unknown>): RawReply | Failed {
  const { status, contentType, sent, timedOut } = ended.facts
  const error = 'error' in ended ? describe(ended.error) : undefined
  if (status === undefined) {
    return { kind: 'failed', code: timedOut || error?.status === 504 ? 'timeout' : 'network', sent }
  }
  if (error === undefined) return { status, contentType, body: 'value' in ended ? ended.value : undefined }
  if (error.isAnswer) return { status, contentType, body: error.payload }
  const lost = decidedByStatus(status) === undefined ? whyLost(ended.facts, error.status) : undefined
  if (lost !== undefined) return lost
  // A bare TypeError: the plugin stumbled over an empty body or one that is no object.
  return { status, contentType, body: error.status === undefined ? null : undefined }
}

/** Why the body of an answer was not read to its end; undefined when it was. */
function whyLost({ timedOut, receivedBytes }: CallFacts, errorStatus: number | undefined): Failed | undefined {
  if (timedOut || errorStatus === 408) return failed('timeout')
  if (errorStatus === 413) return failed('too_large')
  // A body that is cut at the limit looks to the plugin like one that the other side cut.
  if (errorStatus === 500) return failed(receivedBytes > MAX_BYTES ? 'too_large' : 'network')
  return undefined
}

/** What may be known of a Boom error. The error itself holds request and response, so it goes no further. */
function describe(error: unknown) {
  const { output, data } = isObject(error) ? (error as { output?: { statusCode?: number }; data?: BoomData }) : {}
  return { status: output?.statusCode, isAnswer: data?.isResponseError === true, payload: data?.payload }
}

interface BoomData {
  readonly isResponseError?: boolean
  readonly payload?: unknown
}
