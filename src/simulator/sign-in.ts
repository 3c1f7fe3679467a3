import type { Call } from './call.ts'
import { type User, type Users, userKey } from './users.ts'

const COOKIE = 'zoho_simulator_user'

/** The user whom the browser agreed as last; a deactivated one is signed out. */
export function signedInUser({ headers }: Pick<Call, 'headers'>, users: Users): User | undefined {
  const value = new RegExp(`(?:^|; *)${COOKIE}=([^;]*)`).exec(headers.cookie ?? '')?.[1] ?? ''
  const user = users.list().find((one) => encodeURIComponent(userKey(one)) === value)
  return user?.active ? user : undefined
}

/** `Set-Cookie` of a signed-in user. Browsers send it to every port of the host: one sign-in for all data centers. */
export function signInCookie(user: User): string {
  return `${cookieOf(user)}; Path=/oauth/v2; HttpOnly; SameSite=Lax`
}

/** The cookie as a browser sends it back. */
export function cookieOf(user: User): string {
  return `${COOKIE}=${encodeURIComponent(userKey(user))}`
}
