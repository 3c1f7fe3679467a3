import { type Static, Type } from '@sinclair/typebox'

/** What a test may turn while the simulator runs. Names are the same on the control API and in the code. */
export const Knobs = Type.Object(
  {
    /** Life of new access tokens; `expires_in` says the same, in whole seconds. */
    access_life_ms: Type.Integer({ minimum: 1000 }),
    /** Live access tokens of one refresh token; one more kills the oldest. Zoho's pages say 10, 15 and 30. */
    access_tokens_per_grant: Type.Integer({ minimum: 1 }),
    /** Refresh tokens of one user and client; one more kills the first. */
    grants_per_user: Type.Integer({ minimum: 1 }),
    /** Access tokens that one refresh token may make within the window. */
    throttle_mints: Type.Integer({ minimum: 1 }),
    throttle_window_ms: Type.Integer({ minimum: 1 }),
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
    deactivated_user: Type.Union([Type.Literal('invalid_code'), Type.Literal('works')])
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
  deactivated_user: 'invalid_code'
})
