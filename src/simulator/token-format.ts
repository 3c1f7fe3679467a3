import { createHash, randomBytes, randomInt } from 'node:crypto'

/** An access token, refresh token or code: `1000.` + 32 hex + `.` + 32 hex (zoho.md §1.4). */
export function randomToken(): string {
  const hex = randomBytes(32).toString('hex')
  return `1000.${hex.slice(0, 32)}.${hex.slice(32)}`
}

/** A client id: `1000.` + 30 upper-case alphanumerics. */
export function randomClientId(): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'
  return `1000.${Array.from({ length: 30 }, () => alphabet[randomInt(alphabet.length)]).join('')}`
}

/** A client secret: 42 lower-case hex digits. */
export function randomClientSecret(): string {
  return randomBytes(21).toString('hex')
}

/** A numeric id as Zoho gives to users and portals. */
export function randomNumericId(): string {
  return String(randomInt(10 ** 13, 10 ** 14))
}

/** What lists and the ledger show instead of a token: the first 8 hex digits of its SHA-256. */
export function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex').slice(0, 8)
}
