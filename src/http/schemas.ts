import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { type FailureCode, STATUSES, type Status } from '../domain/connection.ts'
import { CLOSED, DATA_CENTER_PATTERN, id, names, oneOf, time } from './schema-parts.ts'

const FAILURES: readonly FailureCode[] = [
  'grant_refused',
  'client_refused',
  'wrong_data_center',
  'throttled',
  'upstream_unavailable',
  'client_changed'
]

/** A query value is text: validated as `pattern`, converted by the route, documented as the integer that it means. */
const integerText = (
  pattern: string,
  means: { minimum: number; maximum: number; default?: number; description: string }
) => Type.String({ pattern, description: means.description, 'x-integer': means })

/** For routes without a query: a misspelt parameter is refused, not ignored. */
export const NoQuery = Type.Object({}, CLOSED)

/** Path of the routes about one tenant. */
export const TenantParams = Type.Object({ tenant_id: id('The tenant') }, CLOSED)

/** Path of the routes about one connection. */
export const ConnectionParams = Type.Object(
  { tenant_id: id('The tenant'), connection_id: id('The connection, unique in its tenant') },
  CLOSED
)

/** Query of the token route. */
export const TokenQuery = Type.Object(
  {
    min_ttl_seconds: Type.Optional(
      integerText('^(?:[1-9][0-9]{0,2}|1[0-7][0-9]{2}|1800)$', {
        minimum: 1,
        maximum: 1800,
        description:
          'a whole number from 1 to 1800: how long the token must still live. Without it: 300, or a quarter of the life of the token if that is less.'
      })
    )
  },
  CLOSED
)

/** Query of a paged list. */
export const ListQuery = Type.Object(
  {
    cursor: Type.Optional(
      Type.String({ pattern: '^[A-Za-z0-9_-]{1,400}$', description: 'the next_cursor of the page before.' })
    ),
    limit: Type.Optional(
      integerText('^(?:[1-9][0-9]?|1[0-9]{2}|200)$', {
        minimum: 1,
        maximum: 200,
        default: 50,
        description: 'a whole number from 1 to 200: how many connections a page may hold.'
      })
    )
  },
  CLOSED
)

/** Which token Zoho refused. */
export const RejectedBody = Type.Object(
  {
    generation: Type.Integer({
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      description: 'a whole number: the generation of the token that Zoho refused.',
      examples: [1795000000]
    })
  },
  { ...CLOSED, title: 'RejectedToken', description: 'Which token Zoho refused.' }
)

/** A grant to take over. */
export const ImportBody = Type.Object(
  {
    app: Type.String({
      minLength: 1,
      maxLength: 128,
      description: 'the name of a configured app.',
      examples: ['desk']
    }),
    data_center: Type.String({
      pattern: DATA_CENTER_PATTERN,
      description: 'the key of the data center where the grant lives, such as us or eu.',
      examples: ['eu']
    }),
    refresh_token: Type.String({
      pattern: '^[\\x21-\\x7e]{1,2048}$',
      description: 'the refresh token to take over: 1 to 2048 visible ASCII characters.',
      examples: ['the-refresh-token']
    })
  },
  { ...CLOSED, title: 'Import', description: 'The grant to take over.' }
)

/** A token on its way to a consumer. Closed: the serialiser drops whatever else is in the object. */
export const TokenReply = Type.Object(
  {
    access_token: Type.String({
      description: 'Send it as "Authorization: Zoho-oauthtoken <access_token>".',
      examples: ['the-access-token']
    }),
    token_type: oneOf(['Zoho-oauthtoken'], { description: 'The scheme that Zoho wants in front of the token.' }),
    expires_in: Type.Integer({ minimum: 0, description: 'Whole seconds from now.', examples: [3412] }),
    expires_at: time('When it ends.'),
    refresh_at: time('From when on a fresh token may be had.'),
    generation: Type.Integer({
      minimum: 0,
      description: 'Names this token among those of the connection.',
      examples: [1795000000]
    }),
    data_center: Type.String({ examples: ['eu'] }),
    api_domain: Type.String({ description: 'Where calls to Zoho APIs go.', examples: ['https://www.zohoapis.eu'] }),
    origins: Type.Object(
      {
        api: Type.String({ examples: ['https://www.zohoapis.eu'] }),
        desk: Type.String({ examples: ['https://desk.zoho.eu'] })
      },
      CLOSED
    ),
    org_id: Type.Optional(Type.String({ description: 'The organisation at Zoho, where it is known.' })),
    scope: names('What the grant covers.'),
    health: oneOf(['ok', 'degraded'], { description: 'degraded: it lives, but a wanted refresh did not succeed.' })
  },
  { ...CLOSED, title: 'Token', description: 'A live access token.' }
)

/** What an admin may see of a connection. Closed like the token reply. */
export const ConnectionView = Type.Object(
  {
    tenant_id: Type.String(),
    connection_id: Type.String(),
    app: Type.String({ examples: ['desk'] }),
    data_center: Type.String({ examples: ['eu'] }),
    status: oneOf<Status>(STATUSES, { description: 'disconnected is a tombstone.' }),
    quarantined: Type.Boolean({ description: 'Hand-outs are stopped, the grant is kept.' }),
    generation: Type.Integer({ minimum: 0, description: 'Of the newest access token.' }),
    created_at: time('When the record was made.'),
    connected_at: Type.Optional(time('When the grant came.')),
    status_since: time('Since when the status holds.'),
    access_expires_at: Type.Optional(time('When the stored access token ends.')),
    scopes: Type.Object(
      {
        requested: names('What the app asks for.'),
        granted: names('What the grant covers.'),
        missing: names('Requested, but not granted.')
      },
      CLOSED
    ),
    zoho_user_id: Type.Optional(Type.String()),
    org_id: Type.Optional(Type.String()),
    last_error: Type.Optional(
      Type.Object(
        {
          code: oneOf(FAILURES, { description: 'Why the last refresh brought no token.' }),
          at: time('When that was.'),
          next_try_at: time('No further try before this time, except a forced one.')
        },
        CLOSED
      )
    )
  },
  { ...CLOSED, title: 'Connection', description: 'One connection; never a token.' }
)

/** A page of connections. */
export const ConnectionList = Type.Object(
  {
    connections: Type.Array(ConnectionView),
    next_cursor: Type.Optional(Type.String({ description: 'Pass it as cursor for the next page; absent on the last.' }))
  },
  { ...CLOSED, title: 'ConnectionList', description: 'One page of connections, in order of their id.' }
)

/** The configured apps. */
export const AppList = Type.Object(
  {
    apps: Type.Array(
      Type.Object(
        {
          name: Type.String({ examples: ['desk'] }),
          product: oneOf(['desk', 'api'], { description: 'Which origin the calls of the product go to.' }),
          client_id: Type.String(),
          scopes: names('What a connect flow asks for.'),
          data_centers: names('Where it may be used.'),
          start_at: Type.String({ description: 'Where a connect flow starts.' })
        },
        CLOSED
      )
    )
  },
  { ...CLOSED, title: 'AppList', description: 'The configured apps, without their secrets.' }
)

/** The table of data centers. */
export const DataCenterList = Type.Object(
  {
    data_centers: Type.Array(
      Type.Object({ key: Type.String(), accounts: Type.String(), api: Type.String(), desk: Type.String() }, CLOSED)
    )
  },
  { ...CLOSED, title: 'DataCenterList', description: 'The table of data centers: key and origins.' }
)

/** The same shape with another sentence for one status. */
export function described<T extends TSchema>(schema: T, description: string): T {
  return { ...schema, 'x-response-description': description }
}

/** The token reply as a value. */
export type TokenReplyBody = Static<typeof TokenReply>

/** The view of a connection as a value. */
export type ConnectionViewBody = Static<typeof ConnectionView>
