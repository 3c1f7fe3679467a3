import { BrokerError } from '../domain/errors.ts'
import { type ConnectionRef, refKey } from '../domain/ids.ts'
import type { WaitingGrant } from '../domain/ports.ts'

/** The grants in the hash `ztb:g`, in order of their number. Throws `ERR_INTERNAL` for a damaged entry: a grant must not be overlooked. */
export function decodeWaitingGrants(ref: ConnectionRef, entries: Readonly<Record<string, string>>): WaitingGrant[] {
  return Object.entries(entries)
    .map(([number, entry]) => decodeEntry(ref, number, entry))
    .sort((a, b) => a.number - b.number)
}

function decodeEntry(ref: ConnectionRef, number: string, entry: string): WaitingGrant {
  const { kind, dataCenter, refresh } = parse(entry)
  if (
    (kind !== 'candidate' && kind !== 'superseded') ||
    typeof dataCenter !== 'string' ||
    typeof refresh !== 'string'
  ) {
    throw new BrokerError(
      'ERR_INTERNAL',
      `Grant ${number} of ${refKey(ref)} is stored in a damaged form. It was left as it is.`
    )
  }
  return { number: Number(number), kind, dataCenter, sealedRefresh: Buffer.from(refresh, 'base64') }
}

function parse(entry: string): { kind?: unknown; dataCenter?: unknown; refresh?: unknown } {
  try {
    return JSON.parse(entry) ?? {}
  } catch {
    return {}
  }
}
