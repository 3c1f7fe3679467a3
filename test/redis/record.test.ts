import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { type Connection, type Details, STATUSES } from '../../src/domain/connection.ts'
import { createKeys, shardOf } from '../../src/redis/keys.ts'
import { decodeRecord, encodeHeader, encodeRecord } from '../../src/redis/record.ts'
import { createRecordMemo } from '../../src/redis/record-memo.ts'
import { connection, successor } from '../helpers/connections.ts'

const ref = { tenant: 'acme', connection: 'desk' }

const wholeNumber = fc.maxSafeNat()
const sealed = fc.uint8Array({ minLength: 1, maxLength: 400 }).map((bytes) => Buffer.from(bytes))
const details = fc
  .record({
    app: fc.string({ unit: 'binary' }),
    dataCenter: fc.string(),
    clientId: fc.string(),
    grantNumber: wholeNumber,
    scopes: fc.record({ requested: fc.array(fc.string()), granted: fc.array(fc.string()) }),
    times: fc.record({ created: wholeNumber, statusSince: wholeNumber }),
    unknown: fc.jsonValue()
  })
  // What JSON cannot say (-0) is not in a record either.
  .map((value): Details => JSON.parse(JSON.stringify(value)))

const connections: fc.Arbitrary<Connection> = fc
  .record({
    revision: wholeNumber,
    writeId: fc.stringMatching(/^[0-9a-f]{16}$/),
    epoch: wholeNumber,
    generation: wholeNumber,
    status: fc.constantFrom(...STATUSES),
    quarantined: fc.boolean(),
    purge: fc.boolean(),
    access: fc.option(fc.record({ sealed, expiresAt: wholeNumber }, { noNullPrototype: true }), { nil: undefined }),
    sealedRefresh: fc.option(sealed, { nil: undefined }),
    details
  })
  .map(({ access, sealedRefresh, ...rest }) => ({
    ref,
    ...rest,
    ...(access && { access }),
    ...(sealedRefresh && { sealedRefresh })
  }))

t.test('the bytes of a record are those of the design', async (t) => {
  const bytes = encodeRecord({
    ref,
    revision: 258,
    writeId: '0123456789abcdef',
    epoch: 1_700_000_000_000,
    generation: 1_700_000_000,
    status: 'reconnect_required',
    quarantined: true,
    purge: true,
    access: { sealed: Buffer.from('AT'), expiresAt: 1_700_003_600_000 },
    sealedRefresh: Buffer.from('RTX'),
    details: connection(ref).details
  })
  t.equal(
    bytes.subarray(0, 52).toString('hex'),
    [
      '01',
      '0000000000000102',
      '0123456789abcdef',
      '0000018bcfe56800',
      '000000006553f100',
      '0000018bd01c5680',
      '03',
      '03',
      '00024154',
      '0003525458'
    ].join('')
  )
  t.strictSame(JSON.parse(bytes.subarray(52).toString()), connection(ref).details)
})

t.test('every connection comes back from its bytes as it went in, with members that nobody knows', async (t) => {
  fc.assert(
    fc.property(connections, (value) => isDeepStrictEqual(decodeRecord(ref, encodeRecord(value)), value)),
    { numRuns: 300 }
  )
  t.pass()
})

t.test('the guard of a write is bytes 1 to 16 of the record', async (t) => {
  fc.assert(
    fc.property(connections, (value) => encodeHeader(value).equals(encodeRecord(value).subarray(1, 17))),
    { numRuns: 50 }
  )
  t.pass()
})

t.test('any bytes decode or are refused with the name of the connection, and cutting never decodes', async (t) => {
  const whole = encodeRecord(connection(ref))
  const refused = (bytes: Buffer) => {
    try {
      decodeRecord(ref, bytes)
      return false
    } catch (error) {
      return (error as { code?: string }).code === 'ERR_INTERNAL' && String(error).includes('acme/desk')
    }
  }
  const lengths = Array.from({ length: whole.length }, (_, length) => length)
  t.strictSame(
    lengths.filter((length) => !refused(whole.subarray(0, length))),
    []
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decodeRecord(ref, Buffer.from(bytes))
        return true
      } catch {
        return refused(Buffer.from(bytes))
      }
    })
  )
})

t.test('a damaged record says what is wrong with it', async (t) => {
  const damage = (at: number, ...bytes: number[]) => {
    const record = encodeRecord(connection(ref))
    record.set(bytes, at)
    return record
  }
  const withDetails = (json: string) =>
    Buffer.concat([encodeRecord(connection(ref)).subarray(0, 86), Buffer.from(json)])
  const good = connection(ref).details
  const cases: [string, Buffer, RegExp][] = [
    ['empty', Buffer.alloc(0), /format byte 0/],
    ['format', damage(0, 0), /format byte 0/],
    ['status', damage(41, 9), /status byte 9/],
    ['revision', damage(1, 0xff), /revision out of range/],
    ['expiry', damage(33, 0xff), /access expiry out of range/],
    ['length', damage(43, 0xff, 0xff), /the access token is cut off/],
    ['UTF-8', withDetails('{"app":"\xff"').fill(0xff, 90, 92), /not JSON/],
    ['JSON', withDetails('{'), /not JSON/],
    ['list', withDetails('[]'), /not an object/],
    ['app', withDetails(JSON.stringify({ ...good, app: 1 })), /details\.app is not a string/],
    ['number', withDetails(JSON.stringify({ ...good, grantNumber: '1' })), /details\.grantNumber/],
    ['scopes', withDetails(JSON.stringify({ ...good, scopes: { requested: [] } })), /details\.scopes\.granted/],
    ['times', withDetails(JSON.stringify({ ...good, times: { created: 1 } })), /details\.times\.statusSince/]
  ]
  for (const [name, bytes, what] of cases) {
    t.throws(() => decodeRecord(ref, bytes), { code: 'ERR_INTERNAL', message: what }, name)
  }
})

t.test('what a newer version wrote can be read and is marked', async (t) => {
  const record = encodeRecord(connection(ref))
  t.notOk('readOnly' in decodeRecord(ref, record))
  record[0] = 2
  t.match(decodeRecord(ref, record), { readOnly: true, status: 'active', details: { app: 'desk' } })
  record[0] = 1
  record[42] = 4
  t.match(decodeRecord(ref, record), { readOnly: true, quarantined: false, purge: false }, 'an unknown flag too')
})

t.test('what cannot be stored as it is is refused before anything is sent', async (t) => {
  const bad: Partial<Connection>[] = [
    { revision: -1 },
    { epoch: 1.5 },
    { generation: 2 ** 53 },
    { writeId: 'xyz' },
    { writeId: '0123456789ABCDEF' },
    { sealedRefresh: Buffer.alloc(65_536) },
    { access: { sealed: Buffer.alloc(0), expiresAt: 1 } },
    { access: { sealed: Buffer.from('x'), expiresAt: Number.NaN } }
  ]
  for (const changes of bad) t.throws(() => encodeRecord(connection(ref, changes)), TypeError)
  t.ok(encodeRecord(connection(ref, { sealedRefresh: Buffer.alloc(65_535) })))
})

t.test('equal bytes give the same object, other bytes another, and the memo keeps only so many', async (t) => {
  const memo = createRecordMemo(2)
  const first = encodeRecord(connection(ref))
  const one = memo('a', ref, first)
  t.equal(memo('a', ref, Buffer.from(first)), one)
  const changed = encodeRecord(successor(one))
  const two = memo('a', ref, changed)
  t.not(two, one)
  t.equal(two.revision, 2)

  memo('b', ref, first)
  t.equal(memo('a', ref, changed), two, 'a was used last')
  memo('c', ref, first)
  t.equal(memo('a', ref, changed), two, 'so b had to go')
})

t.test('the memo pins no buffer of the socket', async (t) => {
  const reply = Buffer.alloc(65_536)
  const record = encodeRecord(connection(ref))
  record.copy(reply, 100)
  const decoded = createRecordMemo(10)('a', ref, reply.subarray(100, 100 + record.length))
  t.equal(decoded.sealedRefresh?.buffer.byteLength, record.length)
  reply.fill(0)
  t.equal(Buffer.from(decoded.sealedRefresh ?? []).toString(), 'sealed refresh token')
})

t.test('keys of one connection share a hash tag, and every name is the one of the design', async (t) => {
  const keys = createKeys('ztb')
  t.strictSame(
    [keys.record, keys.lease, keys.budget, keys.grants, keys.outbox].map((key) => key(ref)),
    ['c', 'l', 'b', 'g', 'o'].map((kind) => `ztb:${kind}:{acme/desk}`)
  )
  t.match(keys.due(ref), /^ztb:due:(\d|1[0-5])$/)
  t.equal(keys.index('acme'), `ztb:index:${shardOf('acme')}`)
  t.equal(keys.status('disconnecting'), 'ztb:s:disconnecting')
  t.strictSame([keys.audit, keys.wake], ['ztb:audit', 'ztb:wake'])
  // Part of the stored format: these numbers must never change.
  t.strictSame([shardOf('acme'), shardOf('acme/desk'), shardOf('')], [2, 14, 3])
  for (const prefix of ['', 'a{b', 'a}b', 'a b', 'a*']) t.throws(() => createKeys(prefix), TypeError)
})
