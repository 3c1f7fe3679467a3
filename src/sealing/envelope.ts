import { createCipheriv, createDecipheriv, type KeyObject } from 'node:crypto'
import type { SealContext } from '../domain/ports.ts'

const FORMAT = 1
const ALGORITHM = 'aes-256-gcm'
const TAG_BYTES = 16

/** Length of the random part of an envelope. */
export const NONCE_BYTES = 12

/** What an envelope says in clear, and what it hides. */
export interface Envelope {
  readonly keyId: string
  readonly grantNumber: number
  readonly nonce: Uint8Array
  readonly ciphertext: Uint8Array
  readonly tag: Uint8Array
}

/** Everything a sealed value is bound to. */
export interface Binding {
  readonly keyId: string
  readonly prefix: string
  readonly context: SealContext
}

/** Each text as u16 BE byte length and UTF-8 bytes, so that no two lists of texts give the same bytes. */
export function lengthPrefixed(...texts: string[]): Buffer {
  const bytes = Buffer.alloc(texts.reduce((size, text) => size + 2 + Buffer.byteLength(text), 0))
  let at = 0
  for (const text of texts) {
    const length = bytes.write(text, at + 2)
    at = bytes.writeUInt16BE(length, at) + length
  }
  return bytes
}

/** The additional data that is authenticated with a value: its format and all of its context. */
export function additionalData({ keyId, prefix, context }: Binding): Buffer {
  return lengthPrefixed(
    String(FORMAT),
    context.purpose,
    prefix,
    context.ref.tenant,
    context.ref.connection,
    context.dataCenter ?? '',
    decimal(context.grantNumber),
    keyId,
    decimal(context.generation),
    decimal(context.expiresAt)
  )
}

/** Encrypts under a given nonce, which must never be used twice with one key. */
export function sealWithNonce(plaintext: string, key: KeyObject, nonce: Uint8Array, binding: Binding): Buffer {
  const cipher = createCipheriv(ALGORITHM, key, nonce).setAAD(additionalData(binding))
  const keyId = Buffer.from(binding.keyId, 'utf8')
  const grantNumber = Buffer.alloc(4)
  grantNumber.writeUInt32BE(binding.context.grantNumber ?? 0)
  return Buffer.concat([
    Buffer.of(FORMAT, keyId.length),
    keyId,
    grantNumber,
    nonce,
    cipher.update(plaintext, 'utf8'),
    cipher.final(),
    cipher.getAuthTag()
  ])
}

/** Takes an envelope apart; undefined when it is none of this format. Nothing in it is to be trusted yet. */
export function parseEnvelope(bytes: Uint8Array): Envelope | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const keyIdEnd = 2 + (buffer[1] ?? 0)
  const nonceStart = keyIdEnd + 4
  const cipherStart = nonceStart + NONCE_BYTES
  if (buffer[0] !== FORMAT || buffer.length < cipherStart + TAG_BYTES) return undefined
  return {
    keyId: buffer.toString('utf8', 2, keyIdEnd),
    grantNumber: buffer.readUInt32BE(keyIdEnd),
    nonce: buffer.subarray(nonceStart, cipherStart),
    ciphertext: buffer.subarray(cipherStart, -TAG_BYTES),
    tag: buffer.subarray(-TAG_BYTES)
  }
}

/** Decrypts; undefined when the key, the binding or any byte is not the one that sealed. */
export function openEnvelope(envelope: Envelope, key: KeyObject, binding: Binding): string | undefined {
  // The grant number in clear is a copy of the bound one; a false copy must not pass.
  if (envelope.grantNumber !== (binding.context.grantNumber ?? 0)) return undefined
  const decipher = createDecipheriv(ALGORITHM, key, envelope.nonce, { authTagLength: TAG_BYTES })
  decipher.setAAD(additionalData(binding)).setAuthTag(envelope.tag)
  try {
    return Buffer.concat([decipher.update(envelope.ciphertext), decipher.final()]).toString('utf8')
  } catch {
    return undefined
  }
}

function decimal(value: number | undefined): string {
  if (value === undefined) return ''
  if (!Number.isSafeInteger(value) || value < 0) throw new TypeError('a sealed value is bound to whole numbers only')
  return String(value)
}
