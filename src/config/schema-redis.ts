import { Type } from '@sinclair/typebox'
import { ADDRESS, closed, count, ms, type Pattern, secret, text } from './schema-parts.ts'

const REDIS_URL: Pattern = { pattern: '^rediss?://\\S+$', expects: 'a redis:// or rediss:// URL' }
const PREFIX: Pattern = {
  pattern: '^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$',
  expects: 'at most 32 letters, digits, dashes and underscores'
}
const WORD: Pattern = { pattern: '^\\S{1,256}$', expects: 'text without white space' }
const PASSWORD: Pattern = { pattern: '^[^\\x00-\\x1f\\x7f]{1,1000}$', expects: 'one line of text' }
const PEM: Pattern = { pattern: '^-----BEGIN [\\s\\S]+$', expects: 'PEM text' }

/** Servers of one kind, by their addresses. */
const nodes = (description: string) =>
  Type.Optional(Type.Array(text('', ADDRESS), { description, minItems: 1, uniqueItems: true }))

const Tls = closed(
  {
    ca: Type.Optional(text("Certificates that are trusted, in place of the system's own. PEM, from a `file`.", PEM)),
    cert: Type.Optional(text('Our certificate, where the servers ask for one. PEM.', PEM)),
    key: Type.Optional(secret('Its key. PEM.', PEM)),
    servername: Type.Optional(text("Name that stands in the servers' certificates, if not their host.", WORD))
  },
  {}
)

/** Where everything is stored. */
export const Redis = closed(
  {
    url: Type.Optional(
      secret(
        'One server: `redis://` or `rediss://` (TLS), with user, password and database number as needed.',
        REDIS_URL
      )
    ),
    sentinels: nodes('The sentinels of a primary, as `host:port`. Its `name` goes with them.'),
    name: Type.Optional(text('What the sentinels call the primary.', WORD)),
    cluster: nodes('Some nodes of a Redis Cluster, as `host:port`; the others are learned from them.'),
    username: Type.Optional(text('User on the servers behind `sentinels` or `cluster`.', WORD)),
    password: Type.Optional(secret('Password on them.', PASSWORD)),
    sentinel_username: Type.Optional(text('User on the sentinels themselves.', WORD)),
    sentinel_password: Type.Optional(secret('Password on them.', PASSWORD)),
    database: Type.Optional(
      Type.Integer({ description: 'Database number, with `sentinels`. Without it: 0.', minimum: 0, maximum: 65_535 })
    ),
    tls: Type.Optional(Tls),
    prefix: text('First part of every key. A backup opens only under the same prefix.', PREFIX, { default: 'ztb' }),
    wait_replicas: count('Replicas that must hold a grant-changing write before it counts.', 0, 0, 16),
    wait_ms: ms('How long to wait for them.', 1000),
    command_timeout_ms: ms('Time for one command of a request.', 200)
  },
  {
    description:
      'Exactly one of `url`, `sentinels` with `name`, and `cluster`. `tls` (`{}` is enough) switches TLS on for sentinels and clusters, ' +
      'and adds to a `rediss://` URL.'
  }
)
