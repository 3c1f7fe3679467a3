import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import type { GrantAdmin, LinkOptions } from '../../domain/connect-broker.ts'
import type { Clock } from '../../domain/ports.ts'
import { acceptJsonOnly, acceptNoBody } from '../body-parsers.ts'
import { flowView, linkView } from '../connect-replies.ts'
import { ConfirmBody, FlowParams, FlowView, LinkBody, LinkList, LinkParams, LinkReply } from '../connect-schemas.ts'
import { consumerOf } from '../consumer-auth.ts'
import { connectionView, rfc3339 } from '../replies.ts'
import { ConnectionParams, ConnectionView, described, NoQuery } from '../schemas.ts'
import { CONFIRMING, LINKING, ONE_CONNECTION, ONE_LINK } from './problem-codes.ts'

/** What the routes about links and flows need. */
export interface ConnectRouteDeps {
  readonly grantAdmin: GrantAdmin
  /** The origin that a link begins with. */
  readonly publicUrl: string
  readonly clock: Clock
}

const ONE = '/v1/tenants/:tenant_id/connections/:connection_id'
const LINKS = `${ONE}/connect-links`
const FLOW = `${ONE}/connect-flows/:flow_id`

/** What admins do so that a person can connect: make, list and take back links, look at flows, confirm them. */
export async function connectRoutes(scope: FastifyInstance, deps: ConnectRouteDeps): Promise<void> {
  listLinksRoute(scope, deps)
  readFlowRoute(scope, deps)
  await scope.register(async (json) => {
    acceptJsonOnly(json)
    createLinkRoute(json, deps)
    confirmRoute(json, deps)
  })
  await scope.register(async (bodyless) => {
    acceptNoBody(bodyless)
    revokeLinkRoute(bodyless, deps)
  })
}

function createLinkRoute(scope: FastifyInstance, { grantAdmin, publicUrl }: ConnectRouteDeps): void {
  scope.withTypeProvider<TypeBoxTypeProvider>().post(
    LINKS,
    {
      schema: {
        operationId: 'createConnectLink',
        tags: ['connecting'],
        summary: 'Make a connect link',
        description:
          'A link for one person to connect this connection, or to replace its grant without an outage. It is spent by the first grant that is stored.',
        params: ConnectionParams,
        querystring: NoQuery,
        body: LinkBody,
        response: { 201: described(LinkReply, 'The link; its URL is told only here.') }
      },
      config: { problems: LINKING }
    },
    async (request, reply) => {
      const { tenant_id: tenant, connection_id: connection } = request.params
      const { link, token } = await grantAdmin.createLink({
        consumer: consumerOf(request),
        ref: { tenant, connection },
        options: optionsOf(request.body)
      })
      // The link's own words: this answer is the one place where they leave.
      const url = `${publicUrl}/connect/${token.reveal()}`
      return reply.code(201).send({ link_id: link.id, url, expires_at: rfc3339(link.expiresAt) })
    }
  )
}

function optionsOf(body: Static<typeof LinkBody>): LinkOptions {
  return {
    app: body.app,
    ...(body.tenant_label !== undefined && { tenantLabel: body.tenant_label }),
    ...(body.return_to !== undefined && { returnTo: body.return_to }),
    ...(body.data_center !== undefined && { dataCenter: body.data_center }),
    ...(body.confirm !== undefined && { confirm: body.confirm }),
    ...(body.user_ref !== undefined && { userRef: body.user_ref }),
    ...(body.revoke_superseded !== undefined && { revokeSupersededNow: body.revoke_superseded === 'now' }),
    ...(body.expires_in_seconds !== undefined && { expiresInMs: body.expires_in_seconds * 1000 })
  }
}

function listLinksRoute(scope: FastifyInstance, { grantAdmin, clock }: ConnectRouteDeps): void {
  scope.withTypeProvider<TypeBoxTypeProvider>().get(
    LINKS,
    {
      schema: {
        operationId: 'listConnectLinks',
        tags: ['connecting'],
        summary: 'List the connect links of a connection',
        description: 'Open links and those that ended within a day; never their URLs.',
        params: ConnectionParams,
        querystring: NoQuery,
        response: { 200: LinkList }
      },
      config: { problems: ONE_CONNECTION }
    },
    async (request) => {
      const { tenant_id: tenant, connection_id: connection } = request.params
      const links = await grantAdmin.links({ consumer: consumerOf(request), ref: { tenant, connection } })
      return { links: links.map((link) => linkView(link, clock.now())) }
    }
  )
}

function revokeLinkRoute(scope: FastifyInstance, { grantAdmin }: ConnectRouteDeps): void {
  scope.withTypeProvider<TypeBoxTypeProvider>().delete(
    `${LINKS}/:link_id`,
    {
      schema: {
        operationId: 'revokeConnectLink',
        tags: ['connecting'],
        summary: 'Take a connect link back',
        description: 'Nobody can start from it any more. Takes no body.',
        params: LinkParams,
        querystring: NoQuery,
        response: { 204: Type.Null({ description: 'It is taken back.' }) }
      },
      config: { problems: ONE_LINK }
    },
    async (request, reply) => {
      const { tenant_id: tenant, connection_id: connection, link_id: linkId } = request.params
      await grantAdmin.revokeLink({ consumer: consumerOf(request), ref: { tenant, connection }, linkId })
      return reply.code(204).send(null)
    }
  )
}

function readFlowRoute(scope: FastifyInstance, { grantAdmin }: ConnectRouteDeps): void {
  scope.withTypeProvider<TypeBoxTypeProvider>().get(
    FLOW,
    {
      schema: {
        operationId: 'readConnectFlow',
        tags: ['connecting'],
        summary: 'Read a connect flow',
        description: 'How one attempt to connect stands or came out. The return URL names it as connect_flow.',
        params: FlowParams,
        querystring: NoQuery,
        response: { 200: FlowView }
      },
      config: { problems: ONE_LINK }
    },
    async (request) => {
      const { tenant_id: tenant, connection_id: connection, flow_id: flowId } = request.params
      return flowView(await grantAdmin.flow({ consumer: consumerOf(request), ref: { tenant, connection }, flowId }))
    }
  )
}

function confirmRoute(scope: FastifyInstance, { grantAdmin }: ConnectRouteDeps): void {
  scope.withTypeProvider<TypeBoxTypeProvider>().post(
    `${FLOW}/confirm`,
    {
      schema: {
        operationId: 'confirmConnectFlow',
        tags: ['connecting'],
        summary: 'Confirm who consented',
        description:
          'Puts the grant of a flow that waits for it into use. Another user_ref than that of the link revokes the grant. Confirming twice is fine.',
        params: FlowParams,
        querystring: NoQuery,
        body: ConfirmBody,
        response: { 200: ConnectionView }
      },
      config: { problems: CONFIRMING }
    },
    async (request) => {
      const { tenant_id: tenant, connection_id: connection, flow_id: flowId } = request.params
      const ref = { tenant, connection }
      const userRef = request.body.user_ref
      return connectionView(await grantAdmin.confirm({ consumer: consumerOf(request), ref, flowId, userRef }))
    }
  )
}
