import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { type TSchema, Type } from '@sinclair/typebox'
import fastify from 'fastify'
import t, { type Test } from 'tap'
import { parse, stringify } from 'yaml'
import type { Config } from '../../src/config/config.ts'
import { decode } from '../../src/config/decode.ts'
import { createEnvironment, readEnvironment } from '../../src/config/environment.ts'
import { ConfigError, createFaults } from '../../src/config/faults.ts'
import { configJsonSchema } from '../../src/config/json-schema.ts'
import { loadConfig } from '../../src/config/load.ts'
import { configurationPage } from '../../src/config/reference-page.ts'
import { SettingsSchema } from '../../src/config/schema.ts'
import { ZOHO_DATA_CENTERS } from '../../src/domain/data-center.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const KEY_1 = Buffer.alloc(32, 'a').toString('base64')
const KEY_2 = Buffer.alloc(32, 'b').toString('base64')
const hash = (digit: string) => `sha256:${digit.repeat(64)}`

type Tree = { [key: string]: unknown }

/** The smallest configuration that is accepted. */
const minimal = () => ({
  public_url: 'https://connect.example.com',
  redis: { url: 'redis://127.0.0.1:6379/0' } as Tree,
  sealing: { keys: [{ id: 'k1', key: KEY_1 }] as unknown[] } as Tree,
  apps: { desk: app() } as Tree,
  consumers: { sync: consumer(hash('a')) } as Tree
})
const app = (more: Tree = {}): Tree => ({
  product: 'desk',
  client_id: '1000.ABC',
  client_secret: 'hush',
  scopes: ['Desk.tickets.READ'],
  ...more
})
const consumer = (key: string, more: Tree = {}): Tree => ({
  keys: [key],
  allow: [{ actions: ['token'], tenants: ['*'], connections: ['desk'] }],
  ...more
})

function load(
  t: Test,
  config: Tree | string,
  variables: Record<string, string> = {},
  files: Record<string, string | Buffer> = {}
) {
  const directory = t.testdir({})
  const path = join(directory, 'broker.yaml')
  writeFileSync(path, typeof config === 'string' ? config : stringify(config))
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true })
    writeFileSync(join(directory, name), content)
  }
  return loadConfig({ path, environment: createEnvironment(variables) })
}

/** The faults of a configuration, one line each. */
async function faultsOf(...input: Parameters<typeof load>): Promise<string[]> {
  try {
    await load(...input)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n')
    throw error
  }
}

t.test('the smallest configuration gets every documented default', async (t) => {
  const config = await load(t, minimal())
  t.match(config, {
    publicUrl: 'https://connect.example.com',
    listen: {
      public: { host: '0.0.0.0', port: 8080 },
      api: { host: '0.0.0.0', port: 8081 },
      management: { host: '0.0.0.0', port: 8082 }
    },
    trustProxy: [],
    redis: { prefix: 'ztb', waitReplicas: 0, waitMs: 1000, commandTimeoutMs: 200 },
    limits: { token: { perSecond: 1000, burst: 4000 }, adminPerMinute: 600, publicPerMinute: 300 },
    log: { level: 'info' },
    shutdown: { drainMs: 2000, deadlineMs: 25000 }
  })
  t.strictSame(config.refresh, {
    budget: 5,
    budgetWindowMs: 600000,
    upstreamTimeoutMs: 8000,
    connectTimeoutMs: 2000,
    leaseTtlMs: 15000,
    callerDeadlineMs: 9000,
    secondStrikeMs: 60000,
    backoffFirstMs: 5000,
    backoffMaxMs: 300000,
    storeRetryMs: 10000,
    inFlight: 50,
    inFlightReserved: 10
  })
  const desk = config.apps.get('desk')
  t.strictSame(
    desk?.dataCenters,
    ZOHO_DATA_CENTERS.map(({ key }) => key),
    'an app is allowed in all data centers'
  )
  t.equal(desk?.startAt, 'us')
  t.equal(desk?.clientSecrets.get('jp')?.reveal(), 'hush')
  t.strictSame([...config.dataCenters.values()], [...ZOHO_DATA_CENTERS])
  t.strictSame(config.consumers, [
    {
      name: 'sync',
      keyHashes: ['a'.repeat(64)],
      allow: [{ actions: ['token'], tenants: ['*'], connections: ['desk'] }]
    }
  ])
})

t.test('the result cannot be changed and shows no secret', async (t) => {
  const config: Config = await load(t, { ...minimal(), redis: { url: 'redis://:redispass@127.0.0.1/0' } })
  const writes: (() => unknown)[] = [
    () => Object.assign(config.refresh, { budget: 9 }),
    () => Object.assign(config.consumers[0]?.allow[0] ?? {}, { actions: [] }),
    () => (config.apps as Map<string, unknown>).set('other', {}),
    () => (config.dataCenters as Map<string, unknown>).clear(),
    () => Object.assign(config.apps.get('desk')?.scopes ?? {}, ['x'])
  ]
  for (const write of writes) t.throws(write, TypeError)
  const shown = `${inspect(config, { depth: 10, showHidden: true })}${JSON.stringify(config)}`
  for (const value of ['hush', 'redispass', KEY_1]) t.notOk(shown.includes(value))
  t.equal(config.redis.target.kind === 'single' && config.redis.target.url.reveal(), 'redis://:redispass@127.0.0.1/0')
  t.equal(config.sealing.keys[0]?.key.reveal(), KEY_1)
})

t.test('any scalar may stand in a file or a variable', async (t) => {
  const config = await load(
    t,
    {
      ...minimal(),
      public_url: { env: 'PUBLIC_URL' },
      listen: { api: { env: 'API' } },
      sealing: { keys: [{ id: { env: 'KEY_ID' }, key: { file: 'secrets/k1' } }] },
      apps: {
        desk: app({ client_secret: { file: 'secrets/desk' }, scopes: [{ env: 'SCOPE' }], product: { env: 'PRODUCT' } })
      },
      refresh: { budget: { env: 'BUDGET' }, budget_window_ms: { file: 'window' } }
    },
    {
      PUBLIC_URL: 'http://127.0.0.1:8080/',
      API: '[::1]:0',
      KEY_ID: '2026-11',
      SCOPE: 'A.b',
      PRODUCT: 'api',
      BUDGET: '100'
    },
    { 'secrets/k1': `${KEY_1}\n`, 'secrets/desk': 'from-file\r\n', window: '1234\n' }
  )
  t.match(config, {
    publicUrl: 'http://127.0.0.1:8080',
    listen: { api: { host: '::1', port: 0 } },
    sealing: { keys: [{ id: '2026-11' }] },
    refresh: { budget: 100, budgetWindowMs: 1234 }
  })
  t.match(config.apps.get('desk'), { scopes: ['A.b'], product: 'api' })
  t.equal(config.apps.get('desk')?.clientSecrets.get('us')?.reveal(), 'from-file')
  t.equal(config.sealing.keys[0]?.key.reveal(), KEY_1)
})

t.test('a reference that leads nowhere is named and what it holds is not repeated', async (t) => {
  const secretOf = (reference: unknown) => ({ ...minimal(), apps: { desk: app({ client_secret: reference }) } })
  const path = 'apps.desk.client_secret'
  const cases: [unknown, string][] = [
    [{ file: 'secrets/desk' }, `${path}: file secrets/desk cannot be read (ENOENT)`],
    [{ file: 'empty' }, `${path}: file empty is empty`],
    [{ file: 'big' }, `${path}: file big is not a file of at most 64 kB`],
    [{ file: 'binary' }, `${path}: file binary is not UTF-8 text`],
    [{ file: '.' }, `${path}: file . is not a file of at most 64 kB`],
    [{ file: 'a\0b' }, `${path}: file "a\\u0000b" cannot be read (ERR_INVALID_ARG_VALUE)`],
    [{ file: 'two-lines' }, `${path}: must be text without white space`],
    [{ env: 'NOT_SET' }, `${path}: environment variable NOT_SET is not set or empty`],
    [{ env: 'EMPTY' }, `${path}: environment variable EMPTY is not set or empty`],
    [{ env: '__proto__' }, `${path}: environment variable __proto__ is not set or empty`],
    [{ env: 'hush hush' }, `${path}: env must be the name of an environment variable`],
    [{ file: 'a', env: 'B' }, `${path}: must be a plain value, { file: PATH } or { env: NAME }`],
    [{ vault: 'a' }, `${path}: must be a plain value, { file: PATH } or { env: NAME }`],
    [['hush'], `${path}: must be text`],
    [null, `${path}: is empty, must be text`],
    [12345, `${path}: must be text: put it in quotes`]
  ]
  const files = {
    empty: '\n',
    big: 'x'.repeat(65537),
    binary: Buffer.of(0xff, 0xfe, 0x00),
    'two-lines': 'hush\nhush\n'
  }
  for (const [reference, fault] of cases) {
    t.strictSame(await faultsOf(t, secretOf(reference), { EMPTY: '' }, files), [fault])
  }
})

t.test('a secret mounted as a symbolic link is followed', async (t) => {
  const directory = t.testdir({ data: { desk: 'linked\n' } })
  symlinkSync(join(directory, 'data', 'desk'), join(directory, 'desk'))
  const config = { ...minimal(), apps: { desk: app({ client_secret: { file: join(directory, 'desk') } }) } }
  const path = join(directory, 'broker.yaml')
  writeFileSync(path, stringify(config))
  const { apps } = await loadConfig({ path, environment: createEnvironment({}) })
  t.equal(apps.get('desk')?.clientSecrets.get('us')?.reveal(), 'linked')
})

t.test('only a referenced value is converted, plain YAML never is', async (t) => {
  const withBudget = (budget: unknown) => ({ ...minimal(), refresh: { budget } })
  for (const budget of ['100', 5.5, true, [5]]) {
    const [fault] = await faultsOf(t, withBudget(budget))
    t.match(fault, /^refresh\.budget: must be a whole number/, inspect(budget))
  }
  for (const text of ['0x10', ' 5', '5 ', '1e3', '5.0', '', 'five', '9'.repeat(20)]) {
    const faults = await faultsOf(t, withBudget({ env: 'BUDGET' }), { BUDGET: text })
    t.equal(faults.length, 1, `"${text}" is no number`)
  }
  const flag: TSchema = Type.Boolean()
  const decodeFlag = async (text: string) => {
    const faults = createFaults()
    const source = { directory: '.', environment: createEnvironment({ FLAG: text }) }
    const value = await decode(flag, { env: 'FLAG' }, ['flag'], { source, faults })
    return faults.clean(['flag']) ? value : 'refused'
  }
  t.strictSame(await Promise.all(['true', 'false', 'yes', '1'].map(decodeFlag)), [true, false, 'refused', 'refused'])
})

t.test('all faults come at once, each with its path', async (t) => {
  const faults = await faultsOf(
    t,
    {
      public_url: 'https://connect.example.com/base',
      listen: { public: '0.0.0.0', api: '0.0.0.0:99999', admin: 'x:1' },
      trust_proxy: ['10.0.0.0/8', '10.0.0.0/40', '0.0.0.0/0', 'loopback'],
      redis: { url: 'http://localhost', prefix: 'a:b', wait_replicas: -1 },
      sealing: { keys: [{ id: 'k1', key: Buffer.alloc(12).toString('base64') }, { id: 'k1' }] },
      apps: {
        desk: app({ client_secret: { file: 'secrets/desk' }, data_centers: ['us', 'xx'], start_at: 'eu' }),
        'a b': app(),
        crm: app({ product: 'crm', scopes: ['A.b', 'A.b', 'A,b'], data_centers: ['us'], start_at: 'eu', colour: 'red' })
      },
      consumers: {
        a: consumer(hash('a')),
        b: consumer(hash('A'), { allow: [{ actions: ['rule'], tenants: ['*x'], connections: [] }] }),
        c: consumer('sha256:short')
      },
      refresh: { budget: 2, lease_ttl_ms: 8000, caller_deadline_ms: 8000 },
      log: { level: 'loud' },
      Limits: {}
    },
    { LOG_LEVEL: 'louder' }
  )
  t.strictSame(
    faults.sort(),
    [
      'Limits: is not a setting of this program',
      'LOG_LEVEL: must be one of silent, fatal, error, warn, info, debug, trace',
      'apps."a b": the name must be a name of at most 63 letters, digits, dots, dashes and underscores',
      'apps.crm.colour: is not a setting of this program',
      'apps.crm.product: must be one of desk, api',
      'apps.crm.scopes[1]: stands twice in the list',
      'apps.crm.scopes[2]: must be one scope without spaces and commas',
      'apps.crm.start_at: is not a data center of this app',
      'apps.desk.client_secret: file secrets/desk cannot be read (ENOENT)',
      'apps.desk.data_centers[1]: is not in the table of data centers (us, eu, in, au, jp, ca, sa, cn, uk, ae, sg)',
      'consumers.b.allow[0].actions[0]: must be one of token, read, connect, refresh, disconnect, audit',
      'consumers.b.allow[0].connections: needs at least one entry',
      'consumers.b.allow[0].tenants[0]: must be an id, `*`, or the beginning of an id and `*`',
      'consumers.c.keys[0]: must be sha256: and 64 hex digits, as `keys consumer` prints them',
      'listen.admin: is not a setting of this program',
      'listen.api: is not a possible address',
      'listen.public: must be host:port, such as 0.0.0.0:8080 or [::]:8080',
      'log.level: must be one of silent, fatal, error, warn, info, debug, trace',
      'public_url: must be an origin such as https://host, without path, query or user',
      'redis.prefix: must be at most 32 letters, digits, dashes and underscores',
      'redis.url: must be a redis:// or rediss:// URL',
      'redis.wait_replicas: must be at least 0',
      'refresh.budget: must be at least 3',
      'refresh.caller_deadline_ms: must be more than refresh.upstream_timeout_ms',
      'refresh.lease_ttl_ms: must exceed refresh.upstream_timeout_ms by 900 for the store (2 × redis.command_timeout_ms + 500)',
      'sealing.keys[0].key: is 12 bytes, needs 32',
      'sealing.keys[1].key: is missing',
      'trust_proxy[1]: has an impossible prefix length',
      'trust_proxy[2]: would trust every address',
      'trust_proxy[3]: must be an IP address or a CIDR range'
    ].sort()
  )
})

t.test('an empty mapping names everything that is missing', async (t) => {
  t.strictSame(await faultsOf(t, '{}'), [
    'public_url: is missing',
    'redis: is missing',
    'sealing: is missing',
    'apps: is missing',
    'consumers: is missing'
  ])
})

t.test('what is planned but not built is refused by name and never called unknown', async (t) => {
  const base = minimal()
  const cases: [Tree, string[]][] = [
    [
      { ...base, sealing: undefined, sealing_file: 'k.yaml' },
      ['sealing_file: a sealing file of its own is not supported yet']
    ],
    [
      { ...base, consumers: undefined, consumers_file: 'c.yaml' },
      ['consumers_file: a consumers file of its own is not supported yet']
    ],
    [
      { ...base, consumers: { ops: { ...consumer(hash('a')), keys: undefined, jwt: { issuer: 'x' } } } },
      ['consumers.ops.jwt: a consumer that comes with a JWT is not supported yet']
    ],
    [
      { ...base, listen: { api: { address: '0.0.0.0:8081', tls: {} } } },
      ['listen.api: TLS on the api listener is not supported yet: give a plain host:port']
    ]
  ]
  for (const [config, faults] of cases) t.strictSame(await faultsOf(t, JSON.parse(JSON.stringify(config))), faults)
})

t.test('sealing keys have an id and material of their own', async (t) => {
  const keys = (...list: unknown[]) => faultsOf(t, { ...minimal(), sealing: { keys: list } })
  t.strictSame(await keys({ id: 'k1', key: KEY_1 }, { id: 'k2', key: KEY_2 }), [])
  t.strictSame(await keys({ id: 'k1', key: KEY_1 }, { id: 'k1', key: KEY_2 }), [
    'sealing.keys[1].id: is the same as sealing.keys[0].id'
  ])
  t.strictSame(await keys({ id: 'k1', key: KEY_1 }, { id: 'k2', key: KEY_1 }), [
    'sealing.keys[1].key: is the same as sealing.keys[0].key'
  ])
  t.strictSame(await keys(), ['sealing.keys: needs at least one entry'])
  t.strictSame(await keys({ id: 'k1', key: `${KEY_1.slice(0, -2)}!=` }), [
    'sealing.keys[0].key: must be base64 (standard alphabet)'
  ])
})

t.test('one API key belongs to one consumer', async (t) => {
  const consumers = { a: consumer(hash('a')), b: consumer(hash('b'), { keys: [hash('b'), hash('A')] }) }
  t.strictSame(await faultsOf(t, { ...minimal(), consumers }), [
    'consumers.b.keys[1]: is the same as consumers.a.keys[0]'
  ])
})

t.test('secrets and people go to https or to this machine only', async (t) => {
  const publicUrl = (url: string) => faultsOf(t, { ...minimal(), public_url: url })
  for (const url of [
    'https://a.example',
    'https://a.example:8443/',
    'http://localhost:8080',
    'http://127.0.0.2',
    'http://[::1]:1'
  ]) {
    t.strictSame(await publicUrl(url), [], url)
  }
  const refused = [
    'http://a.example',
    'http://127.0.0.1.evil.example',
    'http://localhost.evil.example',
    'ftp://a.example'
  ]
  const alsoRefused = [
    'https://u:p@a.example',
    'https://a.example/x',
    'https://a.example?x',
    'https://a.example#x',
    'https://a b',
    '//a'
  ]
  for (const url of [...refused, ...alsoRefused]) t.equal((await publicUrl(url)).length, 1, url)

  const row = { accounts: 'http://accounts.example', api: 'https://a.example', desk: 'https://a.example' }
  t.strictSame(await faultsOf(t, { ...minimal(), data_centers: { us: row } }), [
    'data_centers.us.accounts: must be https (plain http only on loopback)'
  ])
  const return_urls = {
    a: 'https://a.example/path?x=1',
    b: 'http://a.example',
    c: 'https://u@a.example',
    d: 'https://a.example/#x'
  }
  t.strictSame(await faultsOf(t, { ...minimal(), return_urls }), [
    'return_urls.b: must be https (plain http only on loopback)',
    'return_urls.c: must not hold a user or password',
    'return_urls.d: must not have a fragment'
  ])
})

t.test('a Redis URL cannot bring options of the client with it', async (t) => {
  const redis = (url: string) => faultsOf(t, { ...minimal(), redis: { url } })
  for (const url of ['redis://h', 'rediss://u:p@h:6380/3', 'redis://[::1]:6379/'])
    t.strictSame(await redis(url), [], url)
  for (const url of ['redis://h/0?enableOfflineQueue=true', 'redis://h/zero', 'redis://', 'redis://h#x']) {
    t.equal((await redis(url)).length, 1, url)
  }
})

t.test(
  'Redis is one server, a primary behind sentinels or a cluster, and what belongs to another way is refused',
  async (t) => {
    const faults = (redis: Tree) => faultsOf(t, { ...minimal(), redis })
    const sentinels = ['127.0.0.1:26379', 's2:26379']
    const cluster = ['[::1]:7001']
    const pem = '-----BEGIN CERTIFICATE-----'
    const cases: [Tree, string[]][] = [
      [{ sentinels, name: 'main', password: 'p', sentinel_password: 's', database: 3, tls: {} }, []],
      [{ cluster, username: 'broker', password: 'p', tls: { ca: pem, cert: pem, key: pem } }, []],
      [{ url: 'rediss://h', tls: { servername: 'redis' } }, []],
      [{}, ['redis: needs one of url, sentinels with name, and cluster']],
      [{ url: 'redis://h', cluster }, ['redis.cluster: cannot stand beside redis.url']],
      [{ sentinels }, ['redis.name: is missing: the sentinels know the primary by a name']],
      [{ sentinels: [], name: 'main' }, ['redis.sentinels: needs at least one entry']],
      [
        { cluster: ['h:0', 'h'] },
        [
          'redis.cluster[1]: must be host:port, such as 0.0.0.0:8080 or [::]:8080',
          'redis.cluster[0]: is not a possible address'
        ]
      ],
      [
        { cluster, name: 'main', database: 1 },
        ['redis.name: goes with redis.sentinels only', 'redis.database: goes with redis.sentinels only']
      ],
      [{ url: 'redis://h', password: 'p' }, ['redis.password: goes with redis.sentinels or redis.cluster only']],
      [{ url: 'redis://h', tls: {} }, ['redis.tls: needs a rediss:// URL']],
      [{ cluster, tls: { cert: pem } }, ['redis.tls.key: is missing: cert needs it']],
      [{ cluster, tls: { key: pem } }, ['redis.tls.cert: is missing: key needs it']],
      [{ cluster, tls: { ca: 'ca.pem' } }, ['redis.tls.ca: must be PEM text']]
    ]
    for (const [redis, expected] of cases)
      t.strictSame((await faults(redis)).toSorted(), expected.toSorted(), JSON.stringify(redis))

    const config = await load(t, { ...minimal(), redis: { sentinels, name: 'main', password: 'hidden', tls: {} } })
    t.match(config.redis.target, {
      kind: 'sentinel',
      sentinels: [
        { host: '127.0.0.1', port: 26379 },
        { host: 's2', port: 26379 }
      ],
      name: 'main',
      database: 0
    })
    t.notMatch(inspect(config, { depth: 9 }), /hidden/)
  }
)

t.test('data centers may be replaced and added, and apps use only rows of the table', async (t) => {
  const rowAt = (port: number) => ({
    accounts: `http://127.0.0.1:${port}/`,
    api: 'http://127.0.0.1:2',
    desk: 'http://127.0.0.1:3'
  })
  const config = await load(t, {
    ...minimal(),
    data_centers: { us: rowAt(1), sim: rowAt(4) },
    apps: { desk: app({ data_centers: ['sim', 'us'] }), crm: app({ data_centers: ['sim', 'eu'] }) }
  })
  t.strictSame(config.dataCenters.get('us'), {
    key: 'us',
    accounts: 'http://127.0.0.1:1',
    api: 'http://127.0.0.1:2',
    desk: 'http://127.0.0.1:3'
  })
  t.equal(config.dataCenters.size, ZOHO_DATA_CENTERS.length + 1)
  t.equal(config.apps.get('desk')?.startAt, 'us', 'us is the start where the app has it')
  t.equal(config.apps.get('crm')?.startAt, 'sim', 'else its first')
})

t.test('client secrets cover every data center that the app uses', async (t) => {
  const desk = (more: Tree) => faultsOf(t, { ...minimal(), apps: { desk: app(more) } })
  t.strictSame(
    await desk({ client_secret: undefined, client_secrets: { us: 'a', eu: 'b' }, data_centers: ['us', 'eu'] }),
    []
  )
  t.strictSame(
    await desk({ client_secret: undefined, client_secrets: { us: 'a' }, data_centers: ['us', 'eu', 'in'] }),
    ["apps.desk.client_secrets: lacks eu, in: add them or name the app's data_centers"]
  )
  t.strictSame(await desk({ client_secrets: { us: 'a' } }), [
    'apps.desk.client_secrets: stands beside client_secret: use one of the two'
  ])
  t.strictSame(await desk({ client_secret: undefined }), [
    'apps.desk.client_secret: is missing (or give client_secrets)'
  ])
  t.strictSame(await desk({ client_secret: undefined, client_secrets: { us: 'a', zz: 'b' }, data_centers: ['us'] }), [
    'apps.desk.client_secrets.zz: is not in the table of data centers'
  ])
})

t.test('times and numbers that cannot work together are refused', async (t) => {
  const refresh = (values: Tree) => faultsOf(t, { ...minimal(), refresh: values })
  t.strictSame(
    await refresh({ upstream_timeout_ms: 300, lease_ttl_ms: 1200, caller_deadline_ms: 400, connect_timeout_ms: 100 }),
    []
  )
  t.strictSame(await refresh({ connect_timeout_ms: 8001, backoff_max_ms: 1, in_flight: 10 }), [
    'refresh.upstream_timeout_ms: must be at least refresh.connect_timeout_ms',
    'refresh.backoff_max_ms: must be at least refresh.backoff_first_ms',
    'refresh.in_flight: must be more than refresh.in_flight_reserved'
  ])
  t.strictSame(await refresh({ budget_window_ms: 2 ** 31 }), ['refresh.budget_window_ms: must be at most 2147483647'])
  t.strictSame(await faultsOf(t, { ...minimal(), shutdown: { deadline_ms: 2000 } }), [
    'shutdown.deadline_ms: must be more than shutdown.drain_ms'
  ])
  t.strictSame(await faultsOf(t, { ...minimal(), listen: { public: '0.0.0.0:1', api: '0.0.0.0:1' } }), [
    'listen.api: is also listen.public'
  ])
  t.strictSame(await faultsOf(t, { ...minimal(), listen: { public: '127.0.0.1:0', api: '127.0.0.1:0' } }), [])
})

t.test('a file that is no mapping of settings is refused without quoting it', async (t) => {
  const secretLine = 'client_secret: "hush'
  const cases: [string, RegExp][] = [
    ['', /^broker\.yaml: is not a mapping of settings$/],
    ['- a', /is not a mapping of settings/],
    ['a: 1\na: 2', /^broker\.yaml:2:1: a key stands twice in one mapping$/],
    [`${secretLine}\nb: 1`, /^broker\.yaml:\d+:\d+: is not valid YAML \(\w+\)/],
    ['a: *nowhere', /is not valid YAML \(BAD_ALIAS\)|aliases/],
    ['a: !hush 1', /is not valid YAML \(TAG_RESOLVE_FAILED\)/],
    ['a: 1\n---\nb: 2', /is not valid YAML \(MULTIPLE_DOCS\)/],
    [
      `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [${'*a,'.repeat(9)}]\nc: &c [${'*b,'.repeat(9)}]\nd: [${'*c,'.repeat(9)}]`,
      /too many/
    ]
  ]
  for (const [text, expected] of cases) {
    const message = (await faultsOf(t, text)).join('\n')
    t.match(message, expected)
    t.notMatch(message, /hush/)
  }
  const environment = createEnvironment({})
  await t.rejects(loadConfig({ path: join(t.testdirName, 'absent.yaml'), environment }), {
    message: 'absent.yaml: cannot be read (ENOENT)'
  })
})

t.test('hostile keys are refused like any other', async (t) => {
  const text = `${stringify(minimal())}__proto__: { polluted: true }\nconstructor: 1\n"${'k'.repeat(1000)}": 1\n"a\\nb": 1\n`
  const faults = await faultsOf(t, text)
  t.equal(faults.length, 4)
  t.strictSame(
    faults.map((fault) => fault.length < 200 && fault.endsWith('is not a setting of this program')),
    [true, true, true, true]
  )
  t.equal(({} as Tree).polluted, undefined)
  const apps = { toString: app() }
  t.equal((await load(t, { ...minimal(), apps })).apps.get('toString')?.name, 'toString')
})

t.test('LOG_LEVEL wins over the file', async (t) => {
  t.equal((await load(t, minimal(), { LOG_LEVEL: 'debug' })).log.level, 'debug')
  t.equal((await load(t, { ...minimal(), log: { level: 'warn' } })).log.level, 'warn')
})

t.test('the environment of the process is read in one place, empty means not set', async (t) => {
  const environment = createEnvironment({ BROKER_CONFIG: 'b.yaml', REDIS_URL: 'redis://:pw@h', DEBUG: '' })
  t.match(environment, { configPath: 'b.yaml', logLevel: undefined, debug: undefined })
  t.equal(environment.redisUrl?.reveal(), 'redis://:pw@h')
  t.notMatch(inspect(environment), /pw/)
  t.equal(environment.get('toString'), undefined)
  t.type(readEnvironment().get('PATH'), 'string')
})

t.test('no secret has a default and every leaf says what it is for', async (t) => {
  const leaves = (schema: TSchema, described: boolean): void => {
    const children: TSchema[] = [
      ...Object.values<TSchema>(schema.properties ?? {}),
      ...Object.values<TSchema>(schema.patternProperties ?? {}),
      ...(schema.items ? [schema.items as TSchema] : [])
    ]
    for (const child of children) leaves(child, described || Boolean(schema.description))
    if (children.length > 0) return
    t.ok(schema.description || described)
    if (schema.writeOnly) t.equal(schema.default, undefined)
  }
  leaves(SettingsSchema, false)
})

t.test('the published JSON Schema accepts what the broker accepts, references included', async (t) => {
  const validator = fastify({
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false } }
  })
  validator.post('/', { schema: { body: configJsonSchema() } }, async () => 'accepted')
  const accepts = async (value: object) => (await validator.inject({ method: 'POST', url: '/', payload: value })).body
  t.equal(await accepts(minimal()), 'accepted')
  t.equal(await accepts(parse(readFileSync(join(ROOT, 'examples/broker.yaml'), 'utf8'))), 'accepted')
  t.equal(await accepts({ ...minimal(), refresh: { budget: { env: 'BUDGET' } } }), 'accepted')
  t.match(await accepts({ ...minimal(), refresh: { budget: '5' } }), 'body/refresh/budget must be integer')
  t.match(await accepts({ ...minimal(), apps: { desk: app({ client_secret: { vault: 'x' } }) } }), 'client_secret')
  t.match(await accepts({ ...minimal(), other: 1 }), 'must NOT have additional properties')
  t.notMatch(JSON.stringify(configJsonSchema()), /"(expects|notYet|keyName)"/)
})

t.test('docs/configuration.md is what the schema says', async (t) => {
  const path = join(ROOT, 'docs/configuration.md')
  if (process.env.UPDATE === '1') writeFileSync(path, configurationPage())
  t.equal(readFileSync(path, 'utf8'), configurationPage(), 'UPDATE=1 node test/config/config.test.ts rewrites it')
})
