import { createHmac, createSecretKey } from 'node:crypto'
import type { Fingerprint } from '../domain/ports.ts'
import type { Secret } from '../domain/secret.ts'
import { deriveKey } from './derived-keys.ts'
import type { KeyringOptions } from './keyring.ts'

const HEX_DIGITS = 8

/** Names secrets by a keyed hash: who holds the logs alone cannot test a guess. The name changes with the first key. */
export function createFingerprint({ keys, prefix }: KeyringOptions): Fingerprint {
  const [first] = keys
  if (!first) throw new TypeError('a fingerprint needs at least one key')
  const key = deriveKey(createSecretKey(first.key), 'ztb', 'fingerprint', prefix)
  // The same object is handed out again and again while its token is the current one.
  const known = new WeakMap<Secret, string>()
  return (secret) => {
    let name = known.get(secret)
    if (name === undefined) {
      name = createHmac('sha256', key).update(secret.reveal()).digest('hex').slice(0, HEX_DIGITS)
      known.set(secret, name)
    }
    return name
  }
}
