import { accountsAnswer, badRequest } from './accounts-answer.ts'
import type { Answer, Handler } from './endpoint.ts'
import { includesScope } from './known-scopes.ts'
import { liveToken, presentedToken } from './presented-token.ts'
import { hashOf } from './token-format.ts'
import type { User } from './users.ts'
import type { World } from './world.ts'

/** `GET /oauth/user/info`: whose token this is. Zoho does not document its errors; these look like those of its products. */
export function createUserInfo(world: World): Handler {
  return (call) => {
    if (call.method !== 'GET') return badRequest('wrong_method')
    const presented = presentedToken(call)
    const token = presented === undefined ? undefined : liveToken(world, call, presented)
    if (!token) return refused('INVALID_OAUTHTOKEN', presented)
    if (!includesScope(token.grant.scopes, 'AaaServer.profile.READ')) return refused('INVALID_OAUTHSCOPE', presented)
    return accountsAnswer(200, profileOf(token.grant.user), 'ok', token.hash)
  }
}

/** The ZUID is a number in JSON, the e-mail address that of the account. */
function profileOf({ name, zuid, email }: User): object {
  const [first = '', ...rest] = name.split(' ')
  return { First_Name: first, Last_Name: rest.join(' '), Display_Name: name, Email: email, ZUID: Number(zuid) }
}

function refused(code: string, presented: string | undefined): Answer {
  return accountsAnswer(401, { code, status: 'error' }, code, presented === undefined ? undefined : hashOf(presented))
}
