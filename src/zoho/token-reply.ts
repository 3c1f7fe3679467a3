import type { UpstreamReply } from '../domain/ports.ts'
import { Secret } from '../domain/secret.ts'

/** An answer of an accounts server, by its true status. */
export interface RawReply {
  readonly status: number
  /** The parsed JSON; undefined when it could not be parsed. */
  readonly body: unknown
  readonly contentType: string | undefined
}

type Fault = Extract<UpstreamReply, { kind: 'refused' }>['fault']
/** A refusal, told apart by its fault. */
export type Refused<F extends Fault = Fault> = F extends Fault
  ? { readonly kind: 'refused'; readonly fault: F; readonly code: string }
  : never
/** No usable answer. */
export type Failed = Extract<UpstreamReply, { kind: 'failed' }>
type Granted = Extract<UpstreamReply, { kind: 'granted' }>

const MAX_LIFE_MS = 3_600_000
// Without any expiry: an hour, less a margin for not knowing.
const ASSUMED_LIFE_MS = 3_300_000
const SECONDS_AT_MOST = 86_400

// Zoho's codes and those that clients handle defensively (zoho.md §1.5). Matched exactly: a near miss must not end a grant.
const FAULTS: ReadonlyMap<string, 'grant' | 'ours'> = new Map([
  ['invalid_code', 'grant'],
  ['invalid_grant', 'grant'],
  ['invalid_token', 'grant'],
  ['invalid_client', 'ours'],
  ['invalid_client_secret', 'ours'],
  ['invalid_redirect_uri', 'ours'],
  ['missing_org_info', 'ours'],
  ['invalid_scope', 'ours'],
  ['invalid_scopes', 'ours'],
  ['invalid_soid', 'ours'],
  ['invalid_org', 'ours'],
  ['unsupported_grant_type', 'ours']
])

const THROTTLED: Refused<'throttled'> = { kind: 'refused', fault: 'throttled', code: 'throttled' }
const JSON_TYPE = /^application\/(?:[a-z0-9.]+[+-])?json$/
const DIGITS = /^\d{1,15}(?:\.\d{1,15})?$/
// RFC 6749 allows visible ASCII; the stored record bounds the length.
const TOKEN = /^[\x21-\x7e]{1,4096}$/

/** Says what an answer to a refresh or an exchange means. Pure; never throws. `apiOrigin` is the table's, to compare `api_domain` with. */
export function parseTokenReply(reply: RawReply & { readonly apiOrigin?: string }): UpstreamReply {
  const { status, body } = reply
  const decided = decidedByStatus(status)
  if (decided !== undefined) return decided
  const noObject = whyNoObject(reply)
  if (noObject !== undefined) return noObject
  return parseRefusal(status, body as object) ?? parseGrant(body as object, reply.apiOrigin)
}

/** The refusal that a JSON object states, at 2xx or 4xx; undefined for a success. */
export function parseRefusal(status: number, body: object): Refused | Failed | undefined {
  if (isThrottle(body)) return THROTTLED
  const error = own(body, 'error')
  if (error !== undefined) {
    const fault = typeof error === 'string' ? FAULTS.get(error) : undefined
    // The map's key, not the upstream's text: a code is one of ours.
    return fault === undefined ? failed('unknown_error') : { kind: 'refused', fault, code: error as string }
  }
  return status >= 400 ? failed('http_status') : undefined
}

/** What the status alone says, whatever the body: a redirect, 429, a fault of the server. Undefined for 2xx and other 4xx. */
export function decidedByStatus(status: number): Refused<'throttled'> | Failed | undefined {
  if (status === 429) return THROTTLED
  if (status >= 300 && status < 400) return failed('redirect')
  return (status >= 200 && status < 300) || (status >= 400 && status < 500) ? undefined : failed('http_status')
}

/** Whether `body` is what JSON calls an object. */
export function isObject(body: unknown): body is object {
  return typeof body === 'object' && body !== null && !Array.isArray(body)
}

/** A failure after an answer arrived. */
export function failed(code: Failed['code']): Failed {
  return { kind: 'failed', code, sent: true }
}

function whyNoObject({ status, body, contentType }: RawReply): Failed | undefined {
  const isJson = body !== undefined && JSON_TYPE.test((contentType ?? '').replace(/;.*/s, '').trim().toLowerCase())
  if (isJson && isObject(body)) return undefined
  if (status >= 400) return failed('http_status')
  return failed(isJson ? 'malformed' : 'not_json')
}

/** The text is localised, so the shape counts: `status: "failure"` without a token. */
function isThrottle(body: object): boolean {
  if (own(body, 'status') === 'failure' && own(body, 'access_token') === undefined) return true
  const error = own(body, 'error')
  return typeof error === 'string' && /^access[ _]denied$/i.test(error)
}

function parseGrant(body: object, apiOrigin: string | undefined): Granted | Failed {
  const accessToken = token(own(body, 'access_token'))
  const lifeMs = parseLife(body)
  if (accessToken === undefined || lifeMs === undefined) return failed('malformed')
  const refreshToken = token(own(body, 'refresh_token'))
  const scopes = parseScopes(own(body, 'scope'))
  return {
    kind: 'granted',
    accessToken,
    lifeMs,
    apiDomainDiffers: differs(own(body, 'api_domain'), apiOrigin),
    ...(refreshToken && { refreshToken }),
    ...(scopes && { scopes })
  }
}

/**
 * Life in ms, at most an hour (R14): `expires_in_sec`, else `expires_in`, which is ms when over 86 400.
 * A decimal string counts as its number; null as absent; absent is 55 minutes; anything else that is no positive number is malformed.
 */
function parseLife(body: object): number | undefined {
  const seconds = own(body, 'expires_in_sec') ?? undefined
  const value = seconds ?? own(body, 'expires_in') ?? undefined
  if (value === undefined) return ASSUMED_LIFE_MS
  const number = typeof value === 'string' && DIGITS.test(value) ? Number(value) : value
  if (typeof number !== 'number' || !Number.isFinite(number)) return undefined
  const inMs = seconds === undefined && number > SECONDS_AT_MOST
  const lifeMs = Math.floor(inMs ? number : number * 1000)
  return lifeMs > 0 ? Math.min(lifeMs, MAX_LIFE_MS) : undefined
}

function parseScopes(value: unknown): string[] | undefined {
  const scopes = typeof value === 'string' ? value.split(/[\s,]+/).filter((scope) => scope !== '') : []
  return scopes.length > 0 ? scopes : undefined
}

function differs(apiDomain: unknown, apiOrigin: string | undefined): boolean {
  if (apiDomain === undefined || apiOrigin === undefined) return false
  return typeof apiDomain !== 'string' || !URL.canParse(apiDomain) || new URL(apiDomain).origin !== apiOrigin
}

function token(value: unknown): Secret | undefined {
  return typeof value === 'string' && TOKEN.test(value) ? new Secret(value) : undefined
}

/** By name and never through the prototype. */
function own(body: object, name: string): unknown {
  return Object.hasOwn(body, name) ? (body as Record<string, unknown>)[name] : undefined
}
