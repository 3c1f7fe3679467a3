import type { Knobs } from './knobs.ts'
import { createLately } from './lately.ts'
import { newThrottleState, type ThrottleState } from './throttle.ts'
import { hashOf, randomToken } from './token-format.ts'
import { type Org, recordConsent, type User, userKey } from './users.ts'

/** Why a grant died; to the caller all of them look alike. */
export type GrantState = 'live' | 'revoked' | 'evicted' | 'app_removed' | 'client_deleted'

/** What decides a new grant. It lives in its user's data center. */
export interface NewGrant {
  readonly clientId: string
  readonly user: User
  /** The one portal that the tokens are bound to. */
  readonly org: Org
  readonly scopes: readonly string[]
  /** An `online` grant hands out no refresh token and does not count to the cap. */
  readonly accessType: 'online' | 'offline'
}

/** What one consent gave. */
export interface Grant extends NewGrant {
  /** Nobody ever sees that of an online grant. */
  readonly refreshToken: string
  readonly hash: string
  readonly dataCenter: string
  readonly createdAtMs: number
  /** Not yet expired, revoked or evicted when last looked at; oldest first. */
  readonly live: AccessToken[]
  readonly throttle: ThrottleState
  state: GrantState
}

/** An access token and how it stands; expiry shows only in `expiresAtMs`. */
export interface AccessToken {
  readonly value: string
  readonly hash: string
  readonly grant: Grant
  readonly issuedAtMs: number
  readonly expiresAtMs: number
  state: 'live' | 'revoked' | 'evicted'
}

interface Deps {
  readonly knobs: Knobs
  readonly now: () => number
  /** Called with every token, so that a leak scan can look for it. */
  readonly remember: (secret: string) => void
}

/** The state of Zoho. */
export type World = ReturnType<typeof createWorld>

/** Grants and access tokens of all data centers. Nothing is forgotten: it lives as long as a test run. */
export function createWorld({ knobs, now, remember }: Deps) {
  const grants = new Map<string, Grant>()
  const accessTokens = new Map<string, AccessToken>()
  /** Live grants by user and client, oldest first. */
  const held = new Map<string, Grant[]>()

  const refreshTokens = createLately(now)

  const holder = (user: User, clientId: string) => JSON.stringify([userKey(user), clientId])

  /** Adds a grant and, as it is what the user agreed to, the consent. */
  function addGrant(spec: NewGrant): Grant {
    const refreshToken = randomToken()
    const grant: Grant = {
      ...spec,
      refreshToken,
      hash: hashOf(refreshToken),
      dataCenter: spec.user.dataCenter,
      createdAtMs: now(),
      live: [],
      throttle: newThrottleState(),
      state: 'live'
    }
    grants.set(refreshToken, grant)
    recordConsent(spec.user, spec.clientId, spec.scopes)
    if (spec.accessType === 'offline') hold(grant)
    return grant
  }

  /** Counts a grant; beyond the cap the user's first one for this client dies with its access tokens. */
  function hold(grant: Grant): void {
    remember(grant.refreshToken)
    refreshTokens.add(userKey(grant.user))
    const key = holder(grant.user, grant.clientId)
    const siblings = [...(held.get(key) ?? []), grant]
    held.set(key, siblings)
    for (const oldest of siblings.slice(0, Math.max(0, siblings.length - knobs.grants_per_user))) {
      endGrant(oldest, 'evicted')
    }
  }

  /** Ends a grant and every access token made from it. */
  function endGrant(grant: Grant, state: Exclude<GrantState, 'live'>): void {
    grant.state = state
    for (const token of grant.live.splice(0)) token.state = 'revoked'
    const key = holder(grant.user, grant.clientId)
    held.set(
      key,
      (held.get(key) ?? []).filter((one) => one !== grant)
    )
  }

  /** Makes an access token; beyond the cap the grant's oldest live one dies. */
  function mint(grant: Grant): AccessToken {
    const value = randomToken()
    remember(value)
    const issuedAtMs = now()
    const token: AccessToken = {
      value,
      hash: hashOf(value),
      grant,
      issuedAtMs,
      expiresAtMs: issuedAtMs + knobs.access_life_ms,
      state: 'live'
    }
    accessTokens.set(value, token)
    grant.throttle.mintedAtMs.push(issuedAtMs)
    const live = [...grant.live.filter((one) => one.expiresAtMs > issuedAtMs), token]
    for (const oldest of live.splice(0, Math.max(0, live.length - knobs.access_tokens_per_grant))) {
      oldest.state = 'evicted'
    }
    grant.live.splice(0, grant.live.length, ...live)
    return token
  }

  /** Ends one access token, not its grant. */
  function endAccessToken(token: AccessToken): void {
    token.state = 'revoked'
    const at = token.grant.live.indexOf(token)
    if (at >= 0) token.grant.live.splice(at, 1)
  }

  const isLive = (token: AccessToken) => token.state === 'live' && token.expiresAtMs > now() && token.grant.user.active

  /** True if the user was given as many refresh tokens in the last minute as the knob allows. */
  function isOverGrantLimit(user: User): boolean {
    const most = knobs.refresh_tokens_per_minute
    return most !== null && refreshTokens.count(userKey(user), 60_000) >= most
  }

  return {
    addGrant,
    endGrant,
    mint,
    endAccessToken,
    isLive,
    isOverGrantLimit,
    findGrant: (refreshToken: string): Grant | undefined => grants.get(refreshToken),
    findAccessToken: (value: string): AccessToken | undefined => accessTokens.get(value),
    grants: (): Grant[] => [...grants.values()],
    accessTokens: (): AccessToken[] => [...accessTokens.values()]
  }
}
