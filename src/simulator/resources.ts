import { apiAnswer } from './api-answer.ts'
import type { Call } from './call.ts'
import type { Answer, Handler } from './endpoint.ts'
import { liveToken, presentedToken } from './presented-token.ts'
import type { AccessToken, World } from './world.ts'

type Body = (token: AccessToken, call: Call) => object | Answer

/** `GET /api/v1/organizations` of Desk: of the user's portals the one that the token is bound to. Needs no `orgId`. */
export function createDeskOrganizations(world: World): Handler {
  return deskResource(world, ['Desk.basic.READ', 'Desk.basic.ALL', 'Desk.organization.READ'], ({ grant }) => ({
    data: [{ id: grant.org.id, companyName: grant.org.name, portalName: `portal${grant.org.id}` }]
  }))
}

/** `GET /api/v1/tickets` of Desk. An `orgId` header may be left out, but must name the token's portal when it is there. */
export function createDeskTickets(world: World): Handler {
  return deskResource(world, ['Desk.tickets.READ', 'Desk.tickets.ALL'], ({ grant }, { headers }) => {
    const orgId = headers.orgid
    if (orgId !== undefined && orgId !== grant.org.id) {
      return deskError(403, 'OAUTH_ORG_MISMATCH', 'The token is not bound to this organization.')
    }
    return { data: [{ id: '1892000000143237', ticketNumber: '101', subject: 'It does not work', status: 'Open' }] }
  })
}

/** `GET /crm/v8/users` of CRM. */
export function createCrmUsers(world: World): Handler {
  return (call) => {
    const presented = presentedToken(call)
    if (presented === undefined) return crmError('AUTHENTICATION_FAILURE', 'Authentication failed')
    const token = liveToken(world, call, presented)
    if (!token) return crmError('INVALID_TOKEN', 'invalid oauth token', presented)
    if (!hasScope(token, ['ZohoCRM.users.READ', 'ZohoCRM.users.ALL'])) {
      return crmError('OAUTH_SCOPE_MISMATCH', 'invalid oauth scope to access this URL', presented)
    }
    const { zuid, email, name } = token.grant.user
    return apiAnswer(200, { users: [{ id: zuid, zuid, email, full_name: name, status: 'active' }] }, 'ok', presented)
  }
}

function deskResource(world: World, scopes: readonly string[], body: Body): Handler {
  return (call) => {
    const presented = presentedToken(call)
    if (presented === undefined) return deskError(401, 'UNAUTHORIZED', 'You are not authenticated.')
    const token = liveToken(world, call, presented)
    if (!token) return deskError(401, 'INVALID_OAUTH', 'The OAuth Token you provided is invalid.', presented)
    if (!hasScope(token, scopes)) return deskError(403, 'SCOPE_MISMATCH', 'The scope does not match.', presented)
    const content = body(token, call)
    return isAnswer(content) ? { ...content, accessToken: token.hash } : apiAnswer(200, content, 'ok', presented)
  }
}

function hasScope({ grant }: AccessToken, wanted: readonly string[]): boolean {
  return wanted.some((scope) => grant.scopes.includes(scope))
}

function isAnswer(content: object | Answer): content is Answer {
  return 'outcome' in content
}

function deskError(status: number, errorCode: string, message: string, presented?: string): Answer {
  return apiAnswer(status, { errorCode, message }, errorCode, presented)
}

function crmError(code: string, message: string, presented?: string): Answer {
  return apiAnswer(401, { code, details: {}, message, status: 'error' }, code, presented)
}
