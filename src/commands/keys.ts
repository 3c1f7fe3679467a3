import { createHash, randomBytes, randomInt } from 'node:crypto'
import { NAME } from '../config/schema-parts.ts'
import { type Command, EXIT_OK, EXIT_USAGE } from './io.ts'

const USAGE = `usage: zoho-token-broker keys consumer NAME    an API key for a consumer, and its hash for the configuration
       zoho-token-broker keys sealing [ID]     a sealing key (ID: k1)
`
const DIGITS_AND_LOWER = '0123456789abcdefghijklmnopqrstuvwxyz'
const BASE62 = `${DIGITS_AND_LOWER}ABCDEFGHIJKLMNOPQRSTUVWXYZ`
const SEALING_KEY_BYTES = 32

/** `keys consumer NAME` and `keys sealing [ID]`: prints a new key and the configuration that goes with it. Keeps neither. */
export const keysCommand: Command = async (argv, { stdout, stderr }) => {
  const output = describeKey(argv)
  if (output === undefined) {
    stderr.write(USAGE)
    return EXIT_USAGE
  }
  stdout.write(output)
  return EXIT_OK
}

/** A new API key: `ztb_`, 8 of a-z0-9, `_`, 43 of base62 (256 random bits in the last part alone). */
export function createApiKey(): string {
  return `ztb_${randomText(DIGITS_AND_LOWER, 8)}_${randomText(BASE62, 43)}`
}

/** How an API key stands in the configuration: `sha256:` and the hex hash of the whole key. */
export function hashApiKey(key: string): string {
  return `sha256:${createHash('sha256').update(key).digest('hex')}`
}

function describeKey([kind, name, ...rest]: string[]): string | undefined {
  if (rest.length > 0 || (name !== undefined && !new RegExp(NAME.pattern).test(name))) return undefined
  if (kind === 'consumer' && name !== undefined) return describeConsumerKey(name)
  if (kind === 'sealing') return describeSealingKey(name ?? 'k1')
  return undefined
}

function describeConsumerKey(name: string): string {
  const key = createApiKey()
  return `API key of ${name}. It is shown only now: give it to the service and keep no copy.

${key}

For the configuration, which keeps only the hash (allow no more than the service needs):

consumers:
  "${name}":
    keys: ["${hashApiKey(key)}"]
    allow:
      - { actions: [token], tenants: ["*"], connections: ["*"] }
`
}

function describeSealingKey(id: string): string {
  return `# A new sealing key. Keep a copy apart from Redis and its backups: without it no stored token can be opened.
# The first key of the list seals, all open. Better than inline is a secret file: key: { file: PATH }
sealing:
  keys:
    - id: "${id}"
      key: "${randomBytes(SEALING_KEY_BYTES).toString('base64')}"
`
}

function randomText(alphabet: string, length: number): string {
  // randomInt draws again instead of taking a remainder, so every sign is equally likely.
  return Array.from({ length }, () => alphabet.charAt(randomInt(alphabet.length))).join('')
}
