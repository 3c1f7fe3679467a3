import type { Knobs } from './knobs.ts'
import { createLately } from './lately.ts'
import type { Challenge } from './pkce.ts'
import { hashOf, randomToken } from './token-format.ts'
import type { NewGrant } from './world.ts'

/** What a code is bound to and what its exchange gives. */
export interface NewCode extends NewGrant {
  /** Undefined: a code of the console, which needs none. */
  readonly redirectUri?: string | undefined
  readonly challenge?: Challenge | undefined
  readonly lifeMs: number
}

/** A code; it is good at its user's data center only. */
export interface Code extends NewCode {
  readonly value: string
  readonly hash: string
  readonly expiresAtMs: number
  used: boolean
}

interface Deps {
  readonly knobs: Knobs
  readonly now: () => number
  /** Called with every code, so that a leak scan can look for it. */
  readonly remember: (secret: string) => void
}

/** The codes of a simulator. */
export type Codes = ReturnType<typeof createCodes>

/** Authorization codes and the limit of codes per client. */
export function createCodes({ knobs, now, remember }: Deps) {
  const codes = new Map<string, Code>()
  const consents = createLately(now)

  function issue(spec: NewCode): Code {
    const value = randomToken()
    remember(value)
    const code = { ...spec, value, hash: hashOf(value), expiresAtMs: now() + spec.lifeMs, used: false }
    codes.set(value, code)
    if (spec.redirectUri !== undefined) consents.add(spec.clientId)
    return code
  }

  return {
    issue,
    find: (value: string): Code | undefined => codes.get(value),
    isFresh: (code: Code): boolean => !code.used && code.expiresAtMs > now(),
    /** True if the client has had as many codes from consents as the window allows. */
    isOverLimit: (clientId: string): boolean =>
      consents.count(clientId, knobs.codes_window_ms) >= knobs.codes_per_window
  }
}
