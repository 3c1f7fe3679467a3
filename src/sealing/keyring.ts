import { createSecretKey, randomBytes } from 'node:crypto'
import { BrokerError } from '../domain/errors.ts'
import type { SealContext, Sealer } from '../domain/ports.ts'
import { Secret } from '../domain/secret.ts'
import { createDerivedKeys } from './derived-keys.ts'
import { NONCE_BYTES, openEnvelope, parseEnvelope, sealWithNonce } from './envelope.ts'

const KEY_BYTES = 32
const KEY_ID_MAX_BYTES = 255
const DERIVED_KEYS_MAX = 20_000

/** A keyring: the first key seals, all open. */
export interface KeyringOptions {
  readonly keys: readonly { readonly id: string; readonly key: Buffer }[]
  /** The prefix of the Redis keys: what is sealed under one opens under no other. */
  readonly prefix: string
}

/** Seals and opens tokens (`DESIGN.md` §5). Throws `TypeError` for a keyring that cannot be used. */
export function createKeyring({ keys, prefix }: KeyringOptions): Sealer {
  assertUsable(keys)
  const keyring = new Map(
    keys.map(({ id, key }) => [id, createDerivedKeys(createSecretKey(key), prefix, DERIVED_KEYS_MAX)])
  )
  const [[sealingKeyId, sealingKeyOf]] = [...keyring] as [[string, ReturnType<typeof createDerivedKeys>]]

  return {
    seal(secret, context) {
      assertBindable(context)
      const binding = { keyId: sealingKeyId, prefix, context }
      return sealWithNonce(secret.reveal(), sealingKeyOf(context), randomBytes(NONCE_BYTES), binding)
    },

    open(bytes, context) {
      assertBindable(context)
      const envelope = parseEnvelope(bytes)
      if (!envelope) throw unreadable(context, 'It is not in a form that this version knows.')
      const keyOf = keyring.get(envelope.keyId)
      if (!keyOf) throw unreadable(context, 'Its sealing key is not in the configuration: add the key again.')
      const text = openEnvelope(envelope, keyOf(context), { keyId: envelope.keyId, prefix, context })
      if (text === undefined) throw unreadable(context, 'It was changed, moved, or sealed with another key.')
      return new Secret(text)
    }
  }
}

function assertUsable(keys: KeyringOptions['keys']): void {
  if (keys.length === 0) throw new TypeError('a keyring needs at least one key')
  if (new Set(keys.map(({ id }) => id)).size < keys.length) throw new TypeError('two keys of the keyring have one id')
  for (const { id, key } of keys) {
    if (key.length !== KEY_BYTES) throw new TypeError(`key "${id}" is ${key.length} bytes, needs ${KEY_BYTES}`)
    const idBytes = Buffer.byteLength(id)
    if (idBytes === 0 || idBytes > KEY_ID_MAX_BYTES) throw new TypeError('a key id is 1 to 255 bytes')
  }
}

/** The format binds a state to neither data center nor grant, and all else to both. */
function assertBindable({ purpose, dataCenter, grantNumber }: SealContext): void {
  const bound = purpose !== 'state'
  if ((dataCenter !== undefined) !== bound || (grantNumber !== undefined) !== bound) {
    throw new TypeError(`a sealed ${purpose} is bound to ${bound ? 'a' : 'no'} data center and grant`)
  }
}

function unreadable({ purpose }: SealContext, why: string): BrokerError {
  return new BrokerError(
    'ERR_SEALED_UNREADABLE',
    `The stored ${purpose} secret of this connection cannot be opened. ${why}`
  )
}
