import type { Call } from './call.ts'
import type { Client, Clients } from './clients.ts'
import type { Knobs } from './knobs.ts'
import { includesScope } from './known-scopes.ts'
import { type Challenge, readChallenge } from './pkce.ts'

/** An authorize request that Zoho takes. */
export interface AuthorizeRequest {
  readonly client: Client
  readonly redirectUri: string
  readonly scopes: readonly string[]
  readonly state: string | undefined
  readonly accessType: 'online' | 'offline'
  /** `prompt=consent`: ask, whatever the user agreed to before. */
  readonly asksAgain: boolean
  readonly challenge: Challenge | undefined
}

/** What Zoho's own error page says; the browser is not sent back (zoho.md §1.3). */
export type PageError =
  | 'Invalid Client'
  | 'Invalid response type'
  | 'Invalid OAuth scope'
  | 'Invalid Redirect Uri'
  | 'An error occurred'

interface Deps {
  readonly clients: Clients
  readonly knobs: Knobs
}

/** Reads the parameters of `/oauth/v2/auth`, or says with which page Zoho refuses them. */
export function readAuthorizeRequest(call: Call, { clients, knobs }: Deps): AuthorizeRequest | PageError {
  const { dataCenter, parameters } = call
  const client = clients.get(parameters.get('client_id') ?? '')
  const responseType = parameters.get('response_type')
  const redirectUri = parameters.get('redirect_uri') ?? ''
  const scopes = (parameters.get('scope') ?? '').split(',')
  const challenge = readChallenge(parameters)

  if (!parameters.get('client_id') || !responseType) return 'Invalid response type'
  // The implicit flow's type is a real one, only not for this kind of client.
  if (responseType !== 'code' && responseType !== 'token') return 'An error occurred'
  if (!client?.secrets.has(dataCenter) || responseType === 'token') return 'Invalid Client'
  if (!scopes.every((scope) => includesScope(knobs.known_scopes, scope))) return 'Invalid OAuth scope'
  if (!isRegistered(client, redirectUri)) return 'Invalid Redirect Uri'
  if (challenge === 'invalid') return 'An error occurred'
  return {
    client,
    redirectUri,
    scopes,
    state: parameters.get('state'),
    accessType: parameters.get('access_type') === 'offline' ? 'offline' : 'online',
    asksAgain: parameters.get('prompt') === 'consent',
    challenge
  }
}

/** Only an exact match counts. A client that registered none gets a callback on loopback, as in a first try. */
function isRegistered({ redirectUris }: Client, redirectUri: string): boolean {
  if (redirectUris.length > 0) return redirectUris.includes(redirectUri)
  return /^http:\/\/(127\.0\.0\.1|localhost|\[::1\])(:\d+)?\/([^?#]*\/)?oauth\/callback$/.test(redirectUri)
}
