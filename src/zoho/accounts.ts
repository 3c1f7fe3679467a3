import type { OAuth2Namespace, Token } from '@fastify/oauth2'

import type { App } from '../domain/app.ts'
import type { ConnectUpstream, RevokeReply } from '../domain/connect-ports.ts'
import type { DataCenter } from '../domain/data-center.ts'
import { BrokerError } from '../domain/errors.ts'
import type { Upstream, UpstreamReply } from '../domain/ports.ts'
import type { Secret } from '../domain/secret.ts'
import { type CallLimits, runCall } from './call.ts'
import { redeemCode, refuseCode, startCodeFlow } from './code-flow.ts'
import { createInFlight, type InFlight, type InFlightOptions } from './in-flight.ts'
import { assertNoDebug, createNamespaces, type Namespace } from './namespaces.ts'
import { toRawReply } from './plugin-answer.ts'
import { parseRevokeReply } from './revoke-reply.ts'
import { type Failed, parseTokenReply, type RawReply } from './token-reply.ts'

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
  /** Where Zoho sends the browser back to: `<public_url>/oauth/callback`. */
  readonly callbackUri: string
  /** PEM of an additional private authority. */
  readonly ca?: string
}

/** Zoho's accounts servers. No method throws for what they do; `ERR_APP_UNKNOWN` for a place that is not configured. */
export interface ZohoAccounts extends Upstream, ConnectUpstream {
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
  const find = createFind(namespaces, { limit: inFlight, reserved: inFlightReserved })
  const caller = createCaller({ timeoutMs, connectTimeoutMs })

  async function askForTokens(place: Place, background: boolean, ask: AskForTokens): Promise<UpstreamReply> {
    const { namespace, queue } = find(place)
    const reply = await caller.run(queue, background, async () => (await ask(namespace.oauth2)).token)
    if ('kind' in reply) return reply
    const parsed = parseTokenReply({ ...reply, apiOrigin: namespace.dataCenter.api })
    if (parsed.kind === 'granted' && parsed.apiDomainDiffers) options.onApiDomainDiffers?.(place)
    return parsed
  }

  return {
    async authorizeUrl({ app, dataCenter, state }) {
      return startCodeFlow(find({ app, dataCenter }).namespace.oauth2, state)
    },

    async exchange({ app, dataCenter, code, verifier, state }) {
      const returned = { code, verifier, state }
      return refuseCode(returned) ?? askForTokens({ app, dataCenter }, false, (oauth2) => redeemCode(oauth2, returned))
    },

    async refresh({ app, dataCenter, refreshToken, background = false }) {
      return askForTokens({ app, dataCenter }, background, (oauth2) =>
        oauth2.getNewAccessTokenUsingRefreshToken(tokenObject(refreshToken), {})
      )
    },

    async revoke({ app, dataCenter, refreshToken, background = false }) {
      const { namespace, queue } = find({ app, dataCenter })
      const reply = await caller.run(queue, background, () =>
        namespace.oauth2.revokeToken(tokenObject(refreshToken), 'refresh_token', undefined)
      )
      return 'kind' in reply ? reply : parseRevokeReply(reply)
    },

    async close() {
      await caller.drain()
      await close()
    }
  }
}

type AskForTokens = (oauth2: OAuth2Namespace) => Promise<{ readonly token: Token }>

/** Gives a place's namespace and its queue; throws `ERR_APP_UNKNOWN`. */
function createFind(namespaces: readonly Namespace[], limits: InFlightOptions) {
  const places = new Map(
    namespaces.map((namespace): [string, { namespace: Namespace; queue: InFlight }] => [
      placeKey({ app: namespace.app, dataCenter: namespace.dataCenter.key }),
      { namespace, queue: createInFlight(limits) }
    ])
  )
  return (place: Place) => {
    const found = places.get(placeKey(place))
    if (found !== undefined) return found
    throw new BrokerError('ERR_APP_UNKNOWN', 'The app or its data center is not in the configuration.')
  }
}

/** Runs plugin calls under one total deadline each, the wait for a place included. */
function createCaller({ timeoutMs, connectTimeoutMs }: CallLimits) {
  // Room for the call itself: one that starts just before its deadline would only waste a token at Zoho.
  const waitMs = timeoutMs - Math.min(connectTimeoutMs, timeoutMs / 2)
  const running = new Set<Promise<unknown>>()
  let closing = false

  async function call<T>(queue: InFlight, background: boolean, work: () => Promise<T>): Promise<RawReply | Failed> {
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

  return {
    async run<T>(queue: InFlight, background: boolean, work: () => Promise<T>): Promise<RawReply | Failed> {
      if (closing) return BUSY
      const ended = call(queue, background, work)
      running.add(ended)
      return ended.finally(() => running.delete(ended))
    },
    /** Refuses new calls as busy and waits for the running ones. */
    async drain(): Promise<void> {
      closing = true
      await Promise.allSettled(running)
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
