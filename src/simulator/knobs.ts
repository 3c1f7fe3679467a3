import { type Static, Type } from '@sinclair/typebox'
import { KNOWN_SCOPES } from './known-scopes.ts'

const positive = Type.Integer({ minimum: 1 })
const scopes = Type.Array(Type.String({ minLength: 1 }))

/** What a test may turn while the simulator runs. Names are the same on the control API and in the code. */
export const Knobs = Type.Object(
  {
    /** Life of new access tokens; `expires_in` says the same, in whole seconds. */
    access_life_ms: Type.Integer({ minimum: 1000 }),
    /** Live access tokens of one refresh token; one more kills the oldest. Zoho's pages say 10, 15 and 30. */
    access_tokens_per_grant: positive,
    /** Refresh tokens of one user and client; one more kills the first. */
    grants_per_user: positive,
    /** Access tokens that one refresh token may make within the window. */
    throttle_mints: positive,
    throttle_window_ms: positive,
    throttle_status: Type.Union([Type.Literal(400), Type.Literal(200)]),
    /** Zoho localises both texts. */
    throttle_error: Type.String(),
    throttle_description: Type.String(),
    /** `both` is the old shape: `expires_in_sec` in seconds beside `expires_in` in ms. */
    expires_in: Type.Union([Type.Literal('s'), Type.Literal('ms'), Type.Literal('both')]),
    /** `foreign` names a host that is not ours. */
    api_domain: Type.Union([Type.Literal('normal'), Type.Literal('absent'), Type.Literal('foreign')]),
    scope: Type.Union([Type.Literal('space'), Type.Literal('comma'), Type.Literal('absent')]),
    /** What a refresh says for a deactivated user: Zoho does not document it. The resources refuse either way. */
    deactivated_user: Type.Union([Type.Literal('invalid_code'), Type.Literal('works')]),
    /** Scopes that an authorize request may name; one other fails it. */
    known_scopes: scopes,
    /** A consent gives only those of the asked scopes that are named here; null gives all. */
    grant_scopes: Type.Union([scopes, Type.Null()]),
    /** Life of new codes of a consent. Zoho's pages say 1, 2 and 3 minutes. */
    code_life_ms: positive,
    /** Codes of one client within the window; one more consent ends in `access_denied`. */
    codes_per_window: positive,
    codes_window_ms: positive,
    /** Refresh tokens of one user within a minute, beyond which an exchange is throttled; null: no limit. */
    refresh_tokens_per_minute: Type.Union([positive, Type.Null()]),
    /** Whether the exchange looks at the verifier of a code with a challenge: unproven for server-based clients. */
    pkce: Type.Union([Type.Literal('enforced'), Type.Literal('ignored')]),
    /** `location` of the callback: `normal`, `absent`, or any other text as it is. */
    callback_location: Type.String(),
    /** `accounts-server` of the callback: `normal`, `absent`, or any other text, percent-encoded. */
    callback_accounts_server: Type.String(),
    /** What the key set calls the id of its key: Zoho's old sample says `key_id`. */
    jwks_key_name: Type.Union([Type.Literal('kid'), Type.Literal('key_id')])
  },
  { additionalProperties: false }
)
/** All knobs with their values. */
export type Knobs = Static<typeof Knobs>

/** Zoho's behaviour as documented or measured; where sources disagree, the commonest (zoho.md §4). */
export const DEFAULT_KNOBS: Readonly<Knobs> = Object.freeze({
  access_life_ms: 3_600_000,
  access_tokens_per_grant: 15,
  grants_per_user: 20,
  throttle_mints: 10,
  throttle_window_ms: 600_000,
  throttle_status: 400,
  throttle_error: 'Access Denied',
  throttle_description: 'You have made too many requests continuously. Please try again after some time.',
  expires_in: 's',
  api_domain: 'normal',
  scope: 'space',
  deactivated_user: 'invalid_code',
  known_scopes: [...KNOWN_SCOPES],
  grant_scopes: null,
  code_life_ms: 120_000,
  codes_per_window: 10,
  codes_window_ms: 600_000,
  refresh_tokens_per_minute: null,
  pkce: 'enforced',
  callback_location: 'normal',
  callback_accounts_server: 'normal',
  jwks_key_name: 'kid'
})
