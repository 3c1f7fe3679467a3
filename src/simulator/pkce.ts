import { createHash } from 'node:crypto'

/** What the authorize request said of the verifier. */
export interface Challenge {
  readonly method: 'plain' | 'S256'
  readonly value: string
}

const SHAPE = /^[A-Za-z0-9._~-]{43,128}$/

/** The challenge of an authorize request: undefined without one, `invalid` for one that cannot be. Default method: plain. */
export function readChallenge(parameters: ReadonlyMap<string, string>): Challenge | 'invalid' | undefined {
  const value = parameters.get('code_challenge')
  const method = parameters.get('code_challenge_method') ?? 'plain'
  if (value === undefined) return undefined
  if ((method !== 'plain' && method !== 'S256') || !SHAPE.test(value)) return 'invalid'
  return { method, value }
}

/** True for 43 to 128 unreserved characters. */
export function isVerifier(text: string): boolean {
  return SHAPE.test(text)
}

/** True if the verifier is the challenge's own. */
export function isMet({ method, value }: Challenge, verifier: string): boolean {
  if (!isVerifier(verifier)) return false
  return value === (method === 'plain' ? verifier : createHash('sha256').update(verifier).digest('base64url'))
}
