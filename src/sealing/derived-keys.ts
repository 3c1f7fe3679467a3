import { createSecretKey, hkdfSync, type KeyObject } from 'node:crypto'
import type { SealContext } from '../domain/ports.ts'
import { lengthPrefixed } from './envelope.ts'

const KEY_BYTES = 32

/** Derives a key of 32 bytes for one label by HKDF-SHA-256 with an empty salt. */
export function deriveKey(keyringKey: KeyObject, ...label: string[]): KeyObject {
  const bytes = Buffer.from(hkdfSync('sha256', keyringKey, '', lengthPrefixed(...label), KEY_BYTES))
  try {
    return createSecretKey(bytes)
  } finally {
    bytes.fill(0)
  }
}

/** The key of one purpose of one connection. */
export function deriveConnectionKey(keyringKey: KeyObject, prefix: string, { purpose, ref }: SealContext): KeyObject {
  return deriveKey(keyringKey, 'ztb', purpose, prefix, ref.tenant, ref.connection)
}

/** Remembers derived keys of one keyring key: deriving costs more than sealing. Forgets the least used beyond `max`. */
export function createDerivedKeys(keyringKey: KeyObject, prefix: string, max: number) {
  const known = new Map<string, KeyObject>()

  return (context: SealContext): KeyObject => {
    const { tenant, connection } = context.ref
    const name = `${context.purpose}/${tenant.length}/${tenant}/${connection}`
    const key = known.get(name) ?? deriveConnectionKey(keyringKey, prefix, context)
    // A Map keeps the order of insertion, so the first entry is the one that was not used for longest.
    known.delete(name)
    known.set(name, key)
    if (known.size > max) known.delete(known.keys().next().value ?? '')
    return key
  }
}
