import { type Static, Type } from '@sinclair/typebox'
import { ACTIONS } from '../domain/policy.ts'
import { Connect, Limits, Log, Refresh, Revoke, Shutdown, Sweep } from './schema-operation.ts'
import {
  address,
  choice,
  closed,
  DATA_CENTER_KEY,
  NAME,
  named,
  origin,
  type Pattern,
  patterns,
  secret,
  text
} from './schema-parts.ts'
import { Redis } from './schema-redis.ts'

const NO_SPACE: Pattern = { pattern: '^\\S{1,1000}$', expects: 'text without white space' }
const SCOPE: Pattern = { pattern: '^[^\\s,]{1,200}$', expects: 'one scope without spaces and commas' }
const KEY_HASH: Pattern = {
  pattern: '^sha256:[0-9a-fA-F]{64}$',
  expects: 'sha256: and 64 hex digits, as `keys consumer` prints them'
}
const BASE64: Pattern = { pattern: '^[A-Za-z0-9+/]+={0,2}$', expects: 'base64 (standard alphabet)' }
const NETWORK: Pattern = { pattern: '^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$', expects: 'an IP address or a CIDR range' }
const WEB_URL: Pattern = { pattern: '^https?://\\S+$', expects: 'an https URL' }

const App = closed(
  {
    product: choice(['desk', 'api'], {
      description: 'Where calls of the product go: Zoho Desk has an origin of its own (`desk`), all else uses `api`.'
    }),
    client_id: text('Client id from the Zoho API console.', NO_SPACE),
    client_secret: Type.Optional(
      secret('Client secret, where one serves all data centers. Either this or `client_secrets`.', NO_SPACE)
    ),
    client_secrets: Type.Optional(
      named('<data center>', DATA_CENTER_KEY, secret('Client secret of this data center.', NO_SPACE), {
        minProperties: 1
      })
    ),
    scopes: Type.Array(text('', SCOPE), {
      description: 'Zoho scopes that a consent asks for.',
      minItems: 1,
      uniqueItems: true
    }),
    data_centers: Type.Optional(
      Type.Array(text('', DATA_CENTER_KEY), {
        description: 'Data centers where the app may be used. Without it: all.',
        minItems: 1,
        uniqueItems: true
      })
    ),
    start_at: Type.Optional(
      text(
        'Data center where a connect flow starts. Without it: `us` if the app has it, else its first.',
        DATA_CENTER_KEY
      )
    )
  },
  { notYet: { require_identity: { what: 'a required identity' } } }
)

const Rule = closed({
  actions: Type.Array(choice(ACTIONS, {}), { description: 'What it may do.', minItems: 1, uniqueItems: true }),
  tenants: patterns('On which tenants: ids, `*`, or the beginning of an id and `*`.'),
  connections: patterns('On which of their connections, written in the same way.')
})

const Consumer = closed(
  {
    keys: Type.Array(text('', KEY_HASH), {
      description: 'Hashes of its API keys. With two at a time a key is changed without an outage.',
      minItems: 1
    }),
    allow: Type.Array(Rule, { minItems: 1 })
  },
  { notYet: { jwt: { what: 'a consumer that comes with a JWT', instead: 'keys' } } }
)

const Listen = closed(
  {
    public: address('Address for browsers and Zoho.', 8080),
    api: address('Address for services and admins.', 8081, { mappingNotYet: 'TLS on the api listener' }),
    management: address('Address for probes and metrics.', 8082)
  },
  { default: {} }
)

const SealingKey = closed({
  id: text('Name of the key, stored with all that it sealed. Never give it to another key.', NAME),
  key: secret('32 random bytes in base64, as `keys sealing` prints them.', BASE64)
})

const DataCenterRow = closed({
  accounts: origin('Origin of its accounts server: https, or http on loopback.'),
  api: origin('Origin of its product APIs.'),
  desk: origin('Origin of its Desk API.')
})

/** The whole configuration file with each scalar in its plain form. Its descriptions and defaults are the documentation. */
export const SettingsSchema = closed(
  {
    public_url: origin('Where people and Zoho reach the public listener. No path; https, or http on loopback.'),
    listen: Listen,
    trust_proxy: Type.Array(text('', NETWORK), {
      description: 'Proxies whose `X-Forwarded-For` is believed: addresses or CIDR ranges.',
      default: []
    }),
    redis: Redis,
    sealing: closed(
      { keys: Type.Array(SealingKey, { minItems: 1 }) },
      { description: 'The first key seals, all open. Ids and keys are each unique.' }
    ),
    apps: named('<app>', NAME, App, {
      description: 'Clients of the Zoho API console, at least one.',
      minProperties: 1
    }),
    data_centers: named('<data center>', DATA_CENTER_KEY, DataCenterRow, {
      description: "Rows that replace one of Zoho's own or add to them. Client secrets and tokens go to these hosts.",
      default: {}
    }),
    return_urls: named(
      '<id>',
      NAME,
      text('A page of yours to which a person returns after a connect flow: https, or http on loopback.', WEB_URL),
      { default: {} }
    ),
    consumers: named('<consumer>', NAME, Consumer, {
      description: 'Services and admins that call the broker, at least one. What no rule allows is denied.',
      minProperties: 1
    }),
    refresh: Refresh,
    connect: Connect,
    revoke: Revoke,
    sweep: Sweep,
    limits: Limits,
    log: Log,
    shutdown: Shutdown
  },
  {
    notYet: {
      sealing_file: { what: 'a sealing file of its own', instead: 'sealing' },
      consumers_file: { what: 'a consumers file of its own', instead: 'consumers' }
    }
  }
)

/** The configuration file as it is read: references resolved, defaults filled in. */
export type Settings = Static<typeof SettingsSchema>
