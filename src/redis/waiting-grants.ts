import { BrokerError } from '../domain/errors.ts'
import { type ConnectionRef, refKey } from '../domain/ids.ts'
import type { WaitingGrant } from '../domain/ports.ts'

type Candidate = NonNullable<WaitingGrant['candidate']>

/** An entry of the hash `ztb:g` as it is stored: JSON, sealed bytes in base64. Members that this version does not know stay in it. */
export function encodeWaitingGrant(grant: WaitingGrant): string {
  const { number: _field, sealedRefresh, candidate, ...rest } = grant
  return JSON.stringify({
    ...rest,
    refresh: toBase64(sealedRefresh),
    ...(candidate && { candidate: encodeCandidate(candidate) })
  })
}

/** The grants in the hash `ztb:g`, in order of their number. Throws `ERR_INTERNAL` for a damaged entry: a grant must not be overlooked. */
export function decodeWaitingGrants(ref: ConnectionRef, entries: Readonly<Record<string, string>>): WaitingGrant[] {
  return Object.entries(entries)
    .map(([number, entry]) => decodeEntry(ref, number, entry))
    .sort((a, b) => a.number - b.number)
}

function decodeEntry(ref: ConnectionRef, number: string, entry: string): WaitingGrant {
  const stored = parse(entry)
  if (!isWhole(stored)) {
    throw new BrokerError(
      'ERR_INTERNAL',
      `Grant ${number} of ${refKey(ref)} is stored in a damaged form. It was left as it is.`
    )
  }
  const { refresh, candidate, ...rest } = stored
  return {
    ...rest,
    number: Number(number),
    sealedRefresh: Buffer.from(refresh, 'base64'),
    ...(candidate && { candidate: decodeCandidate(candidate) })
  }
}

/** The grant with its sealed bytes as text. */
type Stored = Omit<WaitingGrant, 'number' | 'sealedRefresh' | 'candidate'> & {
  readonly refresh: string
  readonly candidate?: StoredCandidate
}
type StoredCandidate = Omit<Candidate, 'sealedAccess'> & { readonly access: string }

function encodeCandidate({ sealedAccess, ...rest }: Candidate): StoredCandidate {
  return { ...rest, access: toBase64(sealedAccess) }
}

function decodeCandidate({ access, ...rest }: StoredCandidate): Candidate {
  return { ...rest, sealedAccess: Buffer.from(access, 'base64') }
}

function isWhole(stored: Record<string, unknown>): stored is Record<string, unknown> & Stored {
  const { kind, candidate } = stored
  return (
    (kind === 'candidate' || kind === 'superseded') &&
    ['reason', 'app', 'clientId', 'dataCenter', 'refresh'].every((name) => typeof stored[name] === 'string') &&
    ['due', 'tries'].every((name) => Number.isFinite(stored[name])) &&
    (candidate === undefined || isWholeCandidate(candidate))
  )
}

function isWholeCandidate(candidate: unknown): boolean {
  if (!isObject(candidate) || !isObject(candidate.scopes)) return false
  const { flowId, access, accessIssued, accessExpiresAt, scopes } = candidate
  return (
    typeof flowId === 'string' &&
    typeof access === 'string' &&
    Number.isFinite(accessIssued) &&
    Number.isFinite(accessExpiresAt) &&
    Array.isArray(scopes.requested) &&
    Array.isArray(scopes.granted)
  )
}

function parse(entry: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(entry)
    return isObject(parsed) ? parsed : {}
  } catch {
    return {}
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}
