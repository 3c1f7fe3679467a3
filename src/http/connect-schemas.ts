import { type Static, Type } from '@sinclair/typebox'
import type { ConnectFlowStatus } from '../domain/connect-link.ts'
import { RESULT_CODES } from './public/result-messages.ts'
import { CLOSED, DATA_CENTER_PATTERN, id, oneOf, time } from './schema-parts.ts'

/** Control and direction signs could make one text look like another. */
const LABEL_PATTERN = '^(?!\\s)[^\\u0000-\\u001f\\u007f-\\u009f\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]{1,100}$'

const LINK_STATES = ['open', 'spent', 'revoked', 'expired'] as const
const FLOW_STATES: readonly ConnectFlowStatus[] = ['open', 'exchanging', 'awaiting_confirmation', 'done', 'failed']

const connectionPath = { tenant_id: id('The tenant'), connection_id: id('The connection, unique in its tenant') }
const flowId = { pattern: '^[0-9a-f]{32}$', examples: ['0123456789abcdef0123456789abcdef'] }

const userRef = (description: string) =>
  Type.String({ pattern: '^[^\\u0000-\\u001f\\u007f]{1,256}$', description, examples: ['user-42'] })

/** Path of the routes about one link. */
export const LinkParams = Type.Object(
  {
    ...connectionPath,
    link_id: Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$', description: 'a link_id as listed.' })
  },
  CLOSED
)

/** Path of the routes about one flow. */
export const FlowParams = Type.Object(
  {
    ...connectionPath,
    flow_id: Type.String({ ...flowId, description: 'connect_flow as the return URL has it: 32 hex digits.' })
  },
  CLOSED
)

/** What a link is for. */
export const LinkBody = Type.Object(
  {
    app: Type.String({
      minLength: 1,
      maxLength: 128,
      description: 'the name of a configured app.',
      examples: ['desk']
    }),
    tenant_label: Type.Optional(
      Type.String({
        pattern: LABEL_PATTERN,
        description: 'how the pages name the tenant: 1 to 100 printable characters. Default: its id.',
        examples: ['Acme Inc.']
      })
    ),
    return_to: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$',
        description: 'the id of a configured return URL; without it the person ends on a page of the broker.',
        examples: ['portal']
      })
    ),
    data_center: Type.Optional(
      Type.String({
        pattern: DATA_CENTER_PATTERN,
        description: 'the key of the data center where the flow starts. Default: the start_at of the app.',
        examples: ['eu']
      })
    ),
    confirm: Type.Optional(
      Type.Boolean({ description: 'true: the grant is used only once your backend has confirmed it; needs user_ref.' })
    ),
    user_ref: Type.Optional(
      userRef('your name for the user who is to consent, 1 to 256 characters; the confirmation has to repeat it.')
    ),
    revoke_superseded: Type.Optional(
      oneOf(['later', 'now'], {
        description:
          'now or later: when a grant that is replaced is revoked. Default: later, when its last access token has expired.'
      })
    ),
    expires_in_seconds: Type.Optional(
      Type.Integer({
        minimum: 60,
        maximum: 86_400,
        description: 'a whole number from 60 to 86400: how long the link lives. Default: as configured, 600.'
      })
    )
  },
  {
    ...CLOSED,
    title: 'NewConnectLink',
    description: 'Who may connect what.',
    if: { properties: { confirm: { const: true } }, required: ['confirm'] },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: { properties: { user_ref: {} }, required: ['user_ref'] }
  }
)

/** A link, told once. */
export const LinkReply = Type.Object(
  {
    link_id: Type.String({ description: 'Names the link for you; harmless.' }),
    url: Type.String({
      description: 'What you give to the person. Whoever has it may connect: treat it as a secret. It is told once.',
      examples: ['https://connect.example.com/connect/the-token']
    }),
    expires_at: time('When it stops working.')
  },
  { ...CLOSED, title: 'ConnectLinkCreated', description: 'The new link.' }
)

/** A link as admins see it; never its token, never the user_ref. */
export const LinkView = Type.Object(
  {
    link_id: Type.String(),
    state: oneOf(LINK_STATES, { description: 'spent: a grant was stored through it.' }),
    app: Type.String({ examples: ['desk'] }),
    tenant_label: Type.Optional(Type.String()),
    return_to: Type.Optional(Type.String()),
    data_center: Type.Optional(Type.String({ examples: ['eu'] })),
    confirm: Type.Boolean({ description: 'The grant waits for a confirmation.' }),
    revoke_superseded: oneOf(['later', 'now'], { description: 'When a grant that is replaced is revoked.' }),
    created_at: time('When it was made.'),
    created_by: Type.String({ description: 'The consumer that made it.' }),
    expires_at: time('When it stops working.'),
    starts: Type.Integer({ minimum: 0, description: 'Flows started from it.' }),
    spent_by: Type.Optional(Type.String({ description: 'The flow whose grant was stored.' })),
    revoked_at: Type.Optional(time('When it was taken back.'))
  },
  { ...CLOSED, title: 'ConnectLink', description: 'One connect link.' }
)

/** All links of a connection. */
export const LinkList = Type.Object(
  { links: Type.Array(LinkView) },
  { ...CLOSED, title: 'ConnectLinkList', description: 'The links of one connection that are not forgotten yet.' }
)

/** A flow as admins see it. */
export const FlowView = Type.Object(
  {
    flow_id: Type.String({ examples: flowId.examples }),
    link_id: Type.String(),
    status: oneOf(FLOW_STATES, { description: 'Where it stands.' }),
    result: Type.Optional(oneOf(RESULT_CODES, { description: 'How it came out; docs/errors.md explains each.' })),
    data_center: Type.String({ examples: ['eu'] }),
    started_at: time('When the person pressed the button.'),
    deadline_at: time('When it ends by itself.'),
    ended_at: Type.Optional(time('When it ended.'))
  },
  { ...CLOSED, title: 'ConnectFlow', description: 'One attempt to connect.' }
)

/** Who consented, by the word of the product's backend. */
export const ConfirmBody = Type.Object(
  { user_ref: userRef('your name for the user who consented, as it was given with the link.') },
  { ...CLOSED, title: 'Confirmation', description: 'Who consented.' }
)

/** Why hand-outs stop. */
export const QuarantineBody = Type.Object(
  {
    reason: Type.Optional(
      Type.String({
        pattern: '^[^\\u0000-\\u001f\\u007f]{1,200}$',
        description: 'why, for the record: 1 to 200 printable characters, no secret.',
        examples: ['suspicious traffic']
      })
    )
  },
  { ...CLOSED, title: 'Quarantine', description: 'Why; may be left out.' }
)

/** Query of a disconnect. */
export const DisconnectQuery = Type.Object(
  {
    purge: Type.Optional(
      oneOf(['true', 'false'], {
        description: 'true or false: whether the tombstone is forgotten too, once Zoho has revoked. Default: false.'
      })
    )
  },
  CLOSED
)

/** The view of a link as a value. */
export type LinkViewBody = Static<typeof LinkView>

/** The view of a flow as a value. */
export type FlowViewBody = Static<typeof FlowView>
