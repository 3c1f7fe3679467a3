import type { Connection, Details, Status } from '../domain/connection.ts'
import { BrokerError } from '../domain/errors.ts'
import { type ConnectionRef, refKey } from '../domain/ids.ts'

/** The format that this version writes. A record with a higher one is read-only here. */
export const FORMAT = 1

/** Where the status byte stands: what `commit` reads of the record that it replaces. */
export const STATUS_OFFSET = 41

const FLAGS_OFFSET = STATUS_OFFSET + 1
const FIXED_BYTES = FLAGS_OFFSET + 1
const QUARANTINED = 1
const PURGE = 2
const MAX_SEALED_BYTES = 0xffff

const STATUS_CODES: Readonly<Record<Status, number>> = {
  pending: 1,
  active: 2,
  reconnect_required: 3,
  disconnecting: 4,
  disconnected: 5
}

const STATUS_BY_CODE = new Map(Object.entries(STATUS_CODES).map(([status, code]) => [code, status as Status]))
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The status that a stored byte stands for; undefined for a byte that this version does not know. */
export function statusOf(code: number): Status | undefined {
  return STATUS_BY_CODE.get(code)
}

/** The 16 bytes of a record that a guarded write compares: revision and write id. */
export function encodeHeader(header: Pick<Connection, 'revision' | 'writeId'>): Buffer {
  const bytes = Buffer.alloc(16)
  writeNumber(bytes, header.revision, 0)
  encodeWriteId(header.writeId).copy(bytes, 8)
  return bytes
}

/** A write id as the 8 bytes that are stored. */
export function encodeWriteId(writeId: string): Buffer {
  if (!/^[0-9a-f]{16}$/.test(writeId)) throw new TypeError('A write id is 16 hex digits')
  return Buffer.from(writeId, 'hex')
}

/** The packed record of a connection (`DESIGN.md` §4). Throws `TypeError` for a value that cannot be stored as it is. */
export function encodeRecord(connection: Connection): Buffer {
  const { access, sealedRefresh } = connection
  const fixed = Buffer.alloc(FIXED_BYTES)
  fixed.writeUInt8(FORMAT, 0)
  encodeHeader(connection).copy(fixed, 1)
  writeNumber(fixed, connection.epoch, 17)
  writeNumber(fixed, connection.generation, 25)
  writeNumber(fixed, access?.expiresAt ?? 0, 33)
  fixed.writeUInt8(STATUS_CODES[connection.status], STATUS_OFFSET)
  fixed.writeUInt8((connection.quarantined ? QUARANTINED : 0) | (connection.purge ? PURGE : 0), FLAGS_OFFSET)
  return Buffer.concat([
    fixed,
    ...lengthPrefixed(access?.sealed),
    ...lengthPrefixed(sealedRefresh),
    Buffer.from(JSON.stringify(connection.details))
  ])
}

/**
 * The connection in a stored record; its sealed tokens are views on `bytes`. What a newer version wrote is marked
 * `readOnly`. Throws `ERR_INTERNAL` for a damaged record.
 */
export function decodeRecord(ref: ConnectionRef, bytes: Buffer): Connection {
  const format = bytes[0] ?? 0
  if (format < FORMAT) throw damaged(ref, `format byte ${format}`)
  if (bytes.length < FIXED_BYTES) throw damaged(ref, `only ${bytes.length} bytes`)
  const status = statusOf(bytes.readUInt8(STATUS_OFFSET))
  if (status === undefined) throw damaged(ref, `status byte ${bytes.readUInt8(STATUS_OFFSET)}`)
  const flags = bytes.readUInt8(FLAGS_OFFSET)
  const accessToken = readSealed(ref, bytes, FIXED_BYTES, 'access token')
  const refreshToken = readSealed(ref, bytes, accessToken.end, 'refresh token')
  const expiresAt = readNumber(ref, bytes, 33, 'access expiry')
  // A flag that this version does not know would be lost by a write, like a whole newer format.
  const readOnly = format > FORMAT || (flags & ~(QUARANTINED | PURGE)) !== 0

  return {
    ref: { tenant: ref.tenant, connection: ref.connection },
    revision: readNumber(ref, bytes, 1, 'revision'),
    writeId: bytes.toString('hex', 9, 17),
    epoch: readNumber(ref, bytes, 17, 'epoch'),
    generation: readNumber(ref, bytes, 25, 'generation'),
    status,
    quarantined: (flags & QUARANTINED) !== 0,
    purge: (flags & PURGE) !== 0,
    ...(accessToken.sealed && { access: { sealed: accessToken.sealed, expiresAt } }),
    ...(refreshToken.sealed && { sealedRefresh: refreshToken.sealed }),
    details: readDetails(ref, bytes.subarray(refreshToken.end)),
    ...(readOnly && { readOnly })
  }
}

function lengthPrefixed(sealed: Uint8Array | undefined): Uint8Array[] {
  if (sealed && (sealed.length === 0 || sealed.length > MAX_SEALED_BYTES)) {
    throw new TypeError(`A sealed token is 1 to ${MAX_SEALED_BYTES} bytes long, not ${sealed.length}`)
  }
  const length = Buffer.alloc(2)
  length.writeUInt16BE(sealed?.length ?? 0)
  return sealed ? [length, sealed] : [length]
}

function readSealed(ref: ConnectionRef, bytes: Buffer, at: number, what: string): { sealed?: Buffer; end: number } {
  const start = at + 2
  if (bytes.length < start) throw damaged(ref, `no length of the ${what}`)
  const end = start + bytes.readUInt16BE(at)
  if (bytes.length < end) throw damaged(ref, `the ${what} is cut off`)
  return end === start ? { end } : { sealed: bytes.subarray(start, end), end }
}

function writeNumber(bytes: Buffer, value: number, at: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new TypeError(`Cannot store ${value} as a whole number`)
  bytes.writeBigUInt64BE(BigInt(value), at)
}

function readNumber(ref: ConnectionRef, bytes: Buffer, at: number, what: string): number {
  const value = bytes.readBigUInt64BE(at)
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged(ref, `${what} out of range`)
  return Number(value)
}

function readDetails(ref: ConnectionRef, bytes: Buffer): Details {
  let details: unknown
  try {
    details = JSON.parse(UTF8.decode(bytes))
  } catch {
    throw damaged(ref, 'its details are not JSON')
  }
  const wrong = wrongDetail(details)
  if (wrong) throw damaged(ref, wrong)
  return details as Details
}

function wrongDetail(details: unknown): string | undefined {
  if (!isObject(details)) return 'its details are not an object'
  for (const name of ['app', 'dataCenter', 'clientId']) {
    if (typeof details[name] !== 'string') return `details.${name} is not a string`
  }
  if (!Number.isSafeInteger(details.grantNumber)) return 'details.grantNumber is not a whole number'
  if (!isObject(details.scopes)) return 'details.scopes is not an object'
  for (const name of ['requested', 'granted']) {
    if (!Array.isArray(details.scopes[name])) return `details.scopes.${name} is not a list`
  }
  if (!isObject(details.times)) return 'details.times is not an object'
  for (const name of ['created', 'statusSince']) {
    if (!Number.isFinite(details.times[name])) return `details.times.${name} is not a number`
  }
  return undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function damaged(ref: ConnectionRef, what: string): BrokerError {
  return new BrokerError(
    'ERR_INTERNAL',
    `The stored record of ${refKey(ref)} is damaged (${what}). It was left as it is: restore it from a backup.`
  )
}
