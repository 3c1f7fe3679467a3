import type { Knobs } from './knobs.ts'
import { newThrottleState, type ThrottleState } from './throttle.ts'
import { hashOf, randomNumericId, randomToken } from './token-format.ts'

/** A Zoho account; it lives in one data center. */
export interface User {
  readonly name: string
  readonly dataCenter: string
  readonly zuid: string
  readonly email: string
  readonly orgId: string
  active: boolean
}

/** Why a grant died; to the caller all of them look alike. */
export type GrantState = 'live' | 'revoked' | 'evicted' | 'app_removed' | 'client_deleted'

/** What one consent gave. */
export interface Grant {
  readonly refreshToken: string
  readonly hash: string
  readonly dataCenter: string
  readonly clientId: string
  readonly user: User
  /** The one portal that the tokens are bound to. */
  readonly orgId: string
  readonly scopes: readonly string[]
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

/** What decides a new grant. */
export interface NewGrant {
  readonly dataCenter: string
  readonly clientId: string
  readonly user: User
  readonly orgId: string
  readonly scopes: readonly string[]
}

interface Deps {
  readonly knobs: Knobs
  readonly now: () => number
  /** Called with every token, so that a leak scan can look for it. */
  readonly remember: (secret: string) => void
}

/** The state of Zoho. */
export type World = ReturnType<typeof createWorld>

/** Users, grants and access tokens of all data centers. Nothing is forgotten: it lives as long as a test run. */
export function createWorld({ knobs, now, remember }: Deps) {
  const users = new Map<string, User>()
  const grants = new Map<string, Grant>()
  const accessTokens = new Map<string, AccessToken>()
  /** Live grants by user and client, oldest first. */
  const held = new Map<string, Grant[]>()

  const holder = (user: User, clientId: string) => JSON.stringify([user.dataCenter, user.name, clientId])

  /** The user of that name in that data center, made at the first mention. */
  function ensureUser(dataCenter: string, name: string): User {
    const key = JSON.stringify([dataCenter, name])
    const known = users.get(key)
    if (known) return known
    const email = name.includes('@') ? name : `${name}@example.com`
    const user = { name, dataCenter, zuid: randomNumericId(), email, orgId: randomNumericId(), active: true }
    users.set(key, user)
    return user
  }

  /** Adds a grant; beyond the cap the user's first one for this client dies with its access tokens. */
  function addGrant(spec: NewGrant): Grant {
    const refreshToken = randomToken()
    remember(refreshToken)
    const grant: Grant = {
      ...spec,
      refreshToken,
      hash: hashOf(refreshToken),
      createdAtMs: now(),
      live: [],
      throttle: newThrottleState(),
      state: 'live'
    }
    grants.set(refreshToken, grant)
    const key = holder(spec.user, spec.clientId)
    const siblings = [...(held.get(key) ?? []), grant]
    held.set(key, siblings)
    for (const oldest of siblings.slice(0, Math.max(0, siblings.length - knobs.grants_per_user))) {
      endGrant(oldest, 'evicted')
    }
    return grant
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

  return {
    ensureUser,
    addGrant,
    endGrant,
    mint,
    endAccessToken,
    isLive,
    findUser: (dataCenter: string, name: string): User | undefined => users.get(JSON.stringify([dataCenter, name])),
    findGrant: (refreshToken: string): Grant | undefined => grants.get(refreshToken),
    findAccessToken: (value: string): AccessToken | undefined => accessTokens.get(value),
    grants: (): Grant[] => [...grants.values()],
    accessTokens: (): AccessToken[] => [...accessTokens.values()]
  }
}
