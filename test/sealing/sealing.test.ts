import { createSecretKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { inspect } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { type BrokerError, isBrokerError } from '../../src/domain/errors.ts'
import type { SealContext } from '../../src/domain/ports.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createDerivedKeys, deriveConnectionKey } from '../../src/sealing/derived-keys.ts'
import {
  additionalData,
  lengthPrefixed,
  NONCE_BYTES,
  parseEnvelope,
  sealWithNonce
} from '../../src/sealing/envelope.ts'
import { createFingerprint } from '../../src/sealing/fingerprint.ts'
import { createKeyring } from '../../src/sealing/keyring.ts'

interface Vector {
  name: string
  keyring_key_base64: string
  key_id: string
  context: {
    prefix: string
    tenant: string
    connection: string
    purpose: SealContext['purpose']
    data_center?: string
    grant_number?: number
    generation?: number
    expiry_ms?: number
  }
  nonce_hex: string
  plaintext: string
  derived_key_hex: string
  aad_hex: string
  envelope_hex: string
}

const FIXTURE = new URL('../fixtures/sealing-vectors.json', import.meta.url)
const { vectors } = JSON.parse(readFileSync(FIXTURE, 'utf8')) as { vectors: Vector[] }

const contextOf = ({ context: c }: Vector): SealContext => ({
  purpose: c.purpose,
  ref: { tenant: c.tenant, connection: c.connection },
  ...(c.data_center !== undefined && { dataCenter: c.data_center }),
  ...(c.grant_number !== undefined && { grantNumber: c.grant_number }),
  ...(c.generation !== undefined && { generation: c.generation }),
  ...(c.expiry_ms !== undefined && { expiresAt: c.expiry_ms })
})

const K1 = { id: 'k1', key: Buffer.alloc(32, 1) }
const K2 = { id: 'k2', key: Buffer.alloc(32, 2) }
const TOKEN = '1000.0123456789abcdef.fedcba9876543210'
const CONTEXT = {
  purpose: 'access',
  ref: { tenant: 'acme', connection: 'desk' },
  dataCenter: 'us',
  grantNumber: 1,
  generation: 1_795_000_000,
  expiresAt: 1_795_003_600_000
} as const satisfies SealContext

const keyring = (...keys: (typeof K1)[]) => createKeyring({ keys, prefix: 'ztb' })

/** What `open` throws for something that it cannot read; fails the test for anything else. */
function refusal(open: () => unknown): BrokerError {
  try {
    open()
  } catch (error) {
    if (isBrokerError(error, 'ERR_SEALED_UNREADABLE')) return error
    throw error
  }
  throw new Error('it was opened')
}

for (const vector of vectors) {
  t.test(`known answer: ${vector.name}`, async (t) => {
    const context = contextOf(vector)
    const { prefix } = vector.context
    const keyBytes = Buffer.from(vector.keyring_key_base64, 'base64')
    const binding = { keyId: vector.key_id, prefix, context }
    const derived = deriveConnectionKey(createSecretKey(keyBytes), prefix, context)
    const envelope = sealWithNonce(vector.plaintext, derived, Buffer.from(vector.nonce_hex, 'hex'), binding)

    t.equal(derived.export().toString('hex'), vector.derived_key_hex)
    t.equal(additionalData(binding).toString('hex'), vector.aad_hex)
    t.equal(envelope.toString('hex'), vector.envelope_hex)
    const sealer = createKeyring({ keys: [{ id: vector.key_id, key: keyBytes }], prefix })
    t.equal(sealer.open(Buffer.from(vector.envelope_hex, 'hex'), context).reveal(), vector.plaintext)
  })
}

t.test('a sealed value opens only in the context that it was sealed in', async (t) => {
  const sealer = keyring(K1)
  const sealed = sealer.seal(new Secret(TOKEN), CONTEXT)
  t.equal(sealer.open(sealed, { ...CONTEXT }).reveal(), TOKEN)

  const { generation: _g, ...withoutGeneration } = CONTEXT
  const { expiresAt: _e, ...withoutExpiry } = CONTEXT
  const moved: SealContext[] = [
    { ...CONTEXT, purpose: 'refresh' },
    { ...CONTEXT, ref: { tenant: 'globex', connection: 'desk' } },
    { ...CONTEXT, ref: { tenant: 'acme', connection: 'crm' } },
    { ...CONTEXT, ref: { tenant: 'acm', connection: 'edesk' } },
    { ...CONTEXT, ref: { tenant: 'desk', connection: 'acme' } },
    { ...CONTEXT, dataCenter: 'eu' },
    { ...CONTEXT, grantNumber: 2 },
    { ...CONTEXT, generation: CONTEXT.generation + 1 },
    { ...CONTEXT, expiresAt: CONTEXT.expiresAt + 1 },
    { ...CONTEXT, generation: CONTEXT.expiresAt, expiresAt: CONTEXT.generation },
    { ...CONTEXT, dataCenter: '' },
    withoutGeneration,
    withoutExpiry,
    { purpose: 'state', ref: CONTEXT.ref }
  ]
  for (const context of moved) refusal(() => sealer.open(sealed, context))
  refusal(() => createKeyring({ keys: [K1], prefix: 'staging' }).open(sealed, CONTEXT))
  refusal(() => keyring({ id: 'k1', key: K2.key }).open(sealed, CONTEXT))
  refusal(() => keyring({ id: 'k2', key: K1.key }).open(sealed, CONTEXT))
})

t.test('a change of any byte, a cut or an addition makes an envelope unreadable', async (t) => {
  const sealer = keyring(K1, K2)
  const sealed = Buffer.from(sealer.seal(new Secret(TOKEN), CONTEXT))
  for (let at = 0; at < sealed.length; at++) {
    for (const mask of [0x01, 0x80, 0xff]) {
      const changed = Buffer.from(sealed)
      changed[at] = (changed[at] ?? 0) ^ mask
      refusal(() => sealer.open(changed, CONTEXT))
    }
    refusal(() => sealer.open(sealed.subarray(0, at), CONTEXT))
    refusal(() => sealer.open(sealed.subarray(at + 1), CONTEXT))
  }
  refusal(() => sealer.open(Buffer.concat([sealed, Buffer.of(0)]), CONTEXT))
  refusal(() => sealer.open(Buffer.alloc(0), CONTEXT))
  refusal(() => sealer.open(Buffer.alloc(500, 0xff), CONTEXT))
  t.equal(sealer.open(new Uint8Array(sealed), CONTEXT).reveal(), TOKEN, 'the original still opens')
})

t.test('a refusal tells neither the secret nor the bytes nor the keys', async (t) => {
  const sealed = keyring(K1).seal(new Secret(TOKEN), CONTEXT)
  const unknownKey = refusal(() => keyring(K2).open(sealed, CONTEXT))
  const badTag = refusal(() => keyring({ id: 'k1', key: K2.key }).open(sealed, CONTEXT))
  const noEnvelope = refusal(() => keyring(K1).open(Buffer.from(TOKEN), CONTEXT))
  t.match(unknownKey.message, 'sealing key is not in the configuration')
  t.match(badTag.message, 'changed, moved, or sealed with another key')
  t.match(noEnvelope.message, 'not in a form that this version knows')
  const hidden = [
    TOKEN,
    Buffer.from(sealed).toString('hex'),
    Buffer.from(sealed).toString('base64'),
    K1.key.toString('hex')
  ]
  for (const error of [unknownKey, badTag, noEnvelope]) {
    for (const value of hidden) t.notOk(inspect(error, { depth: 5 }).includes(value))
  }
})

t.test('the first key seals, all open', async (t) => {
  const old = keyring(K1).seal(new Secret('old'), CONTEXT)
  const rotating = keyring(K2, K1)
  const fresh = rotating.seal(new Secret('fresh'), CONTEXT)
  t.equal(parseEnvelope(old)?.keyId, 'k1')
  t.equal(parseEnvelope(fresh)?.keyId, 'k2')
  t.equal(parseEnvelope(fresh)?.grantNumber, 1)
  t.equal(rotating.open(old, CONTEXT).reveal(), 'old')
  t.equal(keyring(K1, K2).open(fresh, CONTEXT).reveal(), 'fresh')
  refusal(() => keyring(K2).open(old, CONTEXT))
})

t.test('10 000 seals of one value use 10 000 nonces', async (t) => {
  const sealer = keyring(K1)
  const secret = new Secret(TOKEN)
  const nonces = new Set<string>()
  for (let i = 0; i < 10_000; i++) {
    nonces.add(Buffer.from(parseEnvelope(sealer.seal(secret, CONTEXT))?.nonce ?? []).toString('hex'))
  }
  t.equal(nonces.size, 10_000)
  t.ok([...nonces].every((nonce) => nonce.length === NONCE_BYTES * 2))
})

t.test('whatever is sealed comes back, and only with its own context', async () => {
  const id = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._~-]{0,20}$/)
  const context = fc.record({
    purpose: fc.constantFrom('refresh' as const, 'access' as const),
    ref: fc.record({ tenant: id, connection: id }),
    dataCenter: fc.constantFrom('us', 'eu', 'in'),
    grantNumber: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    generation: fc.maxSafeNat(),
    expiresAt: fc.maxSafeNat()
  })
  const sealer = keyring(K1, K2)
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 500 }), context, context, (text, own, other) => {
      const sealed = sealer.seal(new Secret(text), own)
      if (sealer.open(sealed, own).reveal() !== text) return false
      if (JSON.stringify(own) !== JSON.stringify(other)) refusal(() => sealer.open(sealed, other))
      return true
    }),
    { numRuns: 300 }
  )
})

t.test('length prefixes keep neighbours apart', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.string()), fc.array(fc.string()), (a, b) => {
      return JSON.stringify(a) === JSON.stringify(b) || !lengthPrefixed(...a).equals(lengthPrefixed(...b))
    })
  )
  t.equal(lengthPrefixed('a', '', 'é').toString('hex'), '00016100000002c3a9')
  t.throws(() => lengthPrefixed('x'.repeat(65_536)), RangeError)
})

t.test('a caller that forgets part of a context is told so at once', async (t) => {
  const sealer = keyring(K1)
  const ref = CONTEXT.ref
  const wrong: SealContext[] = [
    { purpose: 'refresh', ref },
    { purpose: 'refresh', ref, dataCenter: 'us' },
    { purpose: 'state', ref, dataCenter: 'us', grantNumber: 0 },
    { ...CONTEXT, generation: 1.5 },
    { ...CONTEXT, expiresAt: 2 ** 53 },
    { ...CONTEXT, expiresAt: -1 }
  ]
  for (const context of wrong) t.throws(() => sealer.seal(new Secret('x'), context), TypeError)
  t.throws(() => sealer.seal(new Secret('x'), { ...CONTEXT, grantNumber: 2 ** 32 }), RangeError)
})

t.test('a keyring without a usable key is refused', async (t) => {
  t.throws(() => keyring(), TypeError)
  t.throws(() => keyring(K1, { id: 'k1', key: K2.key }), TypeError)
  t.throws(() => keyring({ id: 'k1', key: Buffer.alloc(31) }), { message: 'key "k1" is 31 bytes, needs 32' })
  t.throws(() => keyring({ id: '', key: K1.key }), TypeError)
  t.throws(() => keyring({ id: 'x'.repeat(256), key: K1.key }), TypeError)
})

t.test('derived keys are remembered, and never more than the bound', async (t) => {
  const keyOf = createDerivedKeys(createSecretKey(K1.key), 'ztb', 2)
  const of = (connection: string): SealContext => ({ purpose: 'refresh', ref: { tenant: 'acme', connection } })
  const a = keyOf(of('a'))
  const b = keyOf(of('b'))
  t.equal(keyOf(of('a')), a)
  keyOf(of('c'))
  t.equal(keyOf(of('a')), a, 'what was used last stays')
  t.not(keyOf(of('b')), b, 'what was not used for longest was forgotten')
  t.ok(keyOf(of('b')).equals(b), 'and is derived again')
  t.notOk(keyOf({ ...of('b'), purpose: 'access' }).equals(b))
})

t.test('a fingerprint names a secret without telling it', async (t) => {
  const fingerprint = createFingerprint({ keys: [K1, K2], prefix: 'ztb' })
  const name = fingerprint(new Secret(TOKEN))
  t.match(name, /^[0-9a-f]{8}$/)
  t.equal(fingerprint(new Secret(TOKEN)), name)
  t.not(fingerprint(new Secret(`${TOKEN}x`)), name)
  t.not(createFingerprint({ keys: [K2], prefix: 'ztb' })(new Secret(TOKEN)), name)
  t.not(createFingerprint({ keys: [K1], prefix: 'staging' })(new Secret(TOKEN)), name)
  t.throws(() => createFingerprint({ keys: [], prefix: 'ztb' }), TypeError)
})
