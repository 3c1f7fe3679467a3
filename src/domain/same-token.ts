import { isBrokerError } from './errors.ts'
import type { ConnectionRef } from './ids.ts'
import type { Sealer } from './ports.ts'
import type { Secret } from './secret.ts'

/** A refresh token as it is stored. */
export interface StoredToken {
  readonly ref: ConnectionRef
  readonly dataCenter: string
  readonly grantNumber: number
  readonly sealed: Uint8Array
}

/** Compares a stored refresh token with one in clear. `unknown`: it cannot be opened, so nobody can tell. */
export function compareToken(sealer: Sealer, stored: StoredToken, token: Secret): 'same' | 'other' | 'unknown' {
  const { ref, dataCenter, grantNumber, sealed } = stored
  try {
    return sealer.open(sealed, { purpose: 'refresh', ref, dataCenter, grantNumber }).equals(token) ? 'same' : 'other'
  } catch (error) {
    if (isBrokerError(error, 'ERR_SEALED_UNREADABLE')) return 'unknown'
    throw error
  }
}

/**
 * Whether it is this very token. One that cannot be opened counts as another: Zoho gives each consent a token of its own,
 * and a new grant is the only way out when a sealing key is lost.
 */
export function isSameToken(sealer: Sealer, stored: StoredToken, token: Secret): boolean {
  return compareToken(sealer, stored, token) === 'same'
}
