import { badRequest } from './accounts-answer.ts'
import { readAuthorizeRequest } from './authorize-request.ts'
import type { Call } from './call.ts'
import type { Clients } from './clients.ts'
import type { Consent } from './consent.ts'
import { consentPage, errorPage, orgField } from './consent-page.ts'
import type { Answer, Handler } from './endpoint.ts'
import type { Knobs } from './knobs.ts'
import { signedInUser, signInCookie } from './sign-in.ts'
import { hasConsented, type Users, userKey } from './users.ts'

/** Zoho's documented path. */
export const AUTHORIZE_PATH = '/oauth/v2/auth'
/** Where the simulator's buttons go. */
export const DECISION_PATH = '/oauth/v2/consent'

interface Deps {
  readonly clients: Clients
  readonly users: Users
  readonly knobs: Knobs
  readonly consent: Consent
}

/** `GET /oauth/v2/auth`: the consent page, or straight back for a user who agreed before and is not to be asked again. */
export function createAuthorizeEndpoint({ clients, users, knobs, consent }: Deps): Handler {
  return (call) => {
    if (call.method !== 'GET') return badRequest('wrong_method')
    const request = readAuthorizeRequest(call, { clients, knobs })
    if (typeof request === 'string') return errorPage(request)
    const signedIn = signedInUser(call, users)
    const [org] = signedIn?.orgs ?? []
    if (signedIn && org && !request.asksAgain && hasConsented(signedIn, request.client.id, request.scopes)) {
      return consent.accept(request, { user: signedIn, org, asked: false })
    }
    return consentPage({
      request,
      dataCenter: call.dataCenter,
      users: users.list().filter(({ active }) => active),
      signedIn,
      action: `${DECISION_PATH}?${new URLSearchParams([...call.parameters])}`
    })
  }
}

/** `POST /oauth/v2/consent` with the authorize query and the form: not a path of Zoho's, only what the page needs. */
export function createDecisionEndpoint({ clients, users, knobs, consent }: Deps): Handler {
  return (call) => {
    if (call.method !== 'POST') return badRequest('wrong_method')
    const request = readAuthorizeRequest(call, { clients, knobs })
    if (typeof request === 'string') return errorPage(request)
    const decision = call.parameters.get('decision')
    const user = users.byKey(call.parameters.get('user') ?? '')
    if (decision === 'reject') return consent.deny(request, 'access_denied')
    const org = user?.orgs.find(({ id }) => id === (orgOf(call, userKey(user)) ?? id))
    if (decision !== 'accept' || !user?.active || !org) return badRequest('no_decision')
    const answer = consent.accept(request, { user, org, asked: true })
    return withCookie(answer, signInCookie(user))
  }
}

function orgOf({ parameters }: Call, key: string): string | undefined {
  return parameters.get(orgField(key))
}

function withCookie(answer: Answer, cookie: string): Answer {
  return { ...answer, headers: { ...answer.headers, 'set-cookie': cookie } }
}
