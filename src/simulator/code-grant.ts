import { accountsError } from './accounts-answer.ts'
import type { Call } from './call.ts'
import { clientOf, hasSecret } from './client-credentials.ts'
import type { Clients } from './clients.ts'
import type { Code, Codes } from './codes.ts'
import type { Handler } from './endpoint.ts'
import type { Knobs } from './knobs.ts'
import { isMet, isVerifier } from './pkce.ts'
import { throttledAnswer, tokenAnswer } from './token-answer.ts'
import type { World } from './world.ts'

interface Deps {
  readonly world: World
  readonly clients: Clients
  readonly codes: Codes
  readonly knobs: Knobs
  readonly originOf: (dataCenter: string) => string
  /** Called with every verifier, so that a leak scan can look for it. */
  readonly remember: (secret: string) => void
}

/** `grant_type=authorization_code`. A refused exchange leaves the code as it was. */
export function createCodeGrant({ world, clients, codes, knobs, originOf, remember }: Deps): Handler {
  return (call) => {
    const { dataCenter, parameters } = call
    const verifier = parameters.get('code_verifier') ?? ''
    if (isVerifier(verifier)) remember(verifier)
    const client = clientOf(clients, call)
    const code = codes.find(parameters.get('code') ?? '')
    if (!client || (code && code.user.dataCenter !== dataCenter)) return accountsError('invalid_client')
    if (!hasSecret(client, call)) return accountsError('invalid_client_secret')
    if (!code || !codes.isFresh(code) || code.clientId !== client.id) return accountsError('invalid_code')
    const refused = refusal(code, call, knobs)
    if (refused) return accountsError(refused)
    const isOffline = code.accessType === 'offline'
    if (isOffline && world.isOverGrantLimit(code.user)) return throttledAnswer(knobs)
    code.used = true
    const { clientId, user, org, scopes, accessType } = code
    const grant = world.addGrant({ clientId, user, org, scopes, accessType })
    const [refreshToken, hash] = isOffline ? [grant.refreshToken, grant.hash] : []
    const answer = tokenAnswer(world.mint(grant), knobs, originOf(dataCenter), refreshToken)
    return { ...answer, refreshToken: hash }
  }
}

/** What is wrong with an exchange of a fresh code by its own client. */
function refusal(code: Code, { parameters }: Call, knobs: Knobs): string | undefined {
  const verifier = parameters.get('code_verifier') ?? ''
  if (code.redirectUri !== undefined && code.redirectUri !== parameters.get('redirect_uri')) {
    return 'invalid_redirect_uri'
  }
  if (knobs.pkce === 'enforced' && code.challenge && !isMet(code.challenge, verifier)) return 'invalid_code'
  if (!code.user.active && knobs.deactivated_user === 'invalid_code') return 'invalid_code'
  return undefined
}
