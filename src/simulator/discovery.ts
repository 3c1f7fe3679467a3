import { generateKeyPairSync } from 'node:crypto'
import { accountsAnswer } from './accounts-answer.ts'
import type { Handler } from './endpoint.ts'
import type { Knobs } from './knobs.ts'

type Origins = Readonly<Record<string, string>>

/** `GET /oauth/serverinfo`: where the accounts server of each data center is. */
export function createServerInfo(origins: Origins): Handler {
  return () => accountsAnswer(200, { result: 'success', locations: origins }, 'ok')
}

/** `GET /.well-known/openid-configuration`, as it was catalogued (zoho.md §1): no scope of a product is in it. */
export function createOpenIdConfiguration(origins: Origins): Handler {
  return ({ dataCenter }) => {
    const issuer = origins[dataCenter] ?? ''
    const body = {
      issuer,
      authorization_endpoint: `${issuer}/oauth/v2/auth`,
      token_endpoint: `${issuer}/oauth/v2/token`,
      revocation_endpoint: `${issuer}/oauth/v2/token/revoke`,
      jwks_uri: `${issuer}/oauth/v2/keys`,
      response_types_supported: ['code', 'token'],
      grant_types_supported: ['authorization_code', 'implicit', 'refresh_token'],
      scopes_supported: ['openid', 'email', 'profile', 'phone'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['RS256']
    }
    return accountsAnswer(200, body, 'ok')
  }
}

/** `GET /oauth/v2/keys`: one RSA key, made at the first call. The simulator signs no id token yet. */
export function createKeySet(knobs: Knobs): Handler {
  let key: object | undefined
  return () => {
    key ??= generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' })
    const body = { keys: [{ ...key, use: 'sig', alg: 'RS256', [knobs.jwks_key_name]: 'simulated-key' }] }
    return accountsAnswer(200, body, 'ok')
  }
}
