import type { AuthorizeRequest } from './authorize-request.ts'
import type { Codes } from './codes.ts'
import { errorPage } from './consent-page.ts'
import type { Answer } from './endpoint.ts'
import type { Knobs } from './knobs.ts'
import { includesScope } from './known-scopes.ts'
import { type Org, recordConsent, type User } from './users.ts'

interface Deps {
  readonly codes: Codes
  readonly knobs: Knobs
  readonly originOf: (dataCenter: string) => string
}

/** Who agrees, for which portal, and whether a screen asked them. */
export interface Agreement {
  readonly user: User
  readonly org: Org
  readonly asked: boolean
}

/** What a decision leads to. */
export type Consent = ReturnType<typeof createConsent>

/** Ends an authorize request: the browser goes back to the app with a code or an error. */
export function createConsent({ codes, knobs, originOf }: Deps) {
  /** The code is made where the user lives, whichever data center asked. */
  function accept(request: AuthorizeRequest, { user, org, asked }: Agreement): Answer {
    const { client, redirectUri, scopes, challenge } = request
    if (!client.secrets.has(user.dataCenter)) return errorPage('Invalid Client')
    if (codes.isOverLimit(client.id)) return deny(request, 'too_many_codes')
    recordConsent(user, client.id, scopes)
    const code = codes.issue({
      clientId: client.id,
      user,
      org,
      scopes: grantedScopes(scopes, knobs),
      // Zoho gives a refresh token only to those whom a screen has asked.
      accessType: asked ? request.accessType : 'online',
      redirectUri,
      challenge,
      lifeMs: knobs.code_life_ms
    })
    const query = queryOf({
      state: request.state,
      code: code.value,
      location: turned(knobs.callback_location, user.dataCenter),
      'accounts-server': turned(knobs.callback_accounts_server, originOf(user.dataCenter))
    })
    return redirect(`${withQuery(redirectUri, query)}&`, 'ok', code.hash)
  }

  /** `access_denied` is the word for a reject and for too many codes. */
  function deny(request: AuthorizeRequest, outcome: 'access_denied' | 'too_many_codes'): Answer {
    return redirect(withQuery(request.redirectUri, queryOf({ error: 'access_denied', state: request.state })), outcome)
  }

  return { accept, deny }
}

/** Those of the asked scopes that a consent gives. */
export function grantedScopes(scopes: readonly string[], { grant_scopes: given }: Knobs): readonly string[] {
  return given === null ? scopes : scopes.filter((scope) => includesScope(given, scope))
}

function turned(knob: string, real: string): string | undefined {
  if (knob === 'absent') return undefined
  return knob === 'normal' ? real : knob
}

function queryOf(pairs: Readonly<Record<string, string | undefined>>): string {
  return Object.entries(pairs)
    .flatMap(([name, value]) => (value === undefined ? [] : `${name}=${encodeURIComponent(value)}`))
    .join('&')
}

function withQuery(uri: string, query: string): string {
  return `${uri}${uri.includes('?') ? '&' : '?'}${query}`
}

function redirect(location: string, outcome: string, code?: string): Answer {
  const headers = { server: 'ZGS', location, 'cache-control': 'no-store' }
  return { status: 302, headers, body: '', outcome, code }
}
