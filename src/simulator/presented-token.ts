import type { Call } from './call.ts'
import type { AccessToken, World } from './world.ts'

/** The access token of the `Authorization` header. */
export function presentedToken({ headers }: Call): string | undefined {
  return /^(?:Zoho-oauthtoken|Bearer) +(\S+)$/i.exec(headers.authorization ?? '')?.[1]
}

/** The token if it is good here; one of another data center looks exactly like a dead one. */
export function liveToken(world: World, { dataCenter }: Call, value: string): AccessToken | undefined {
  const token = world.findAccessToken(value)
  return token?.grant.dataCenter === dataCenter && world.isLive(token) ? token : undefined
}
