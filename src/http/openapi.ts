import swagger from '@fastify/swagger'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { stringify } from 'yaml'
import { finishDocument, PROBLEMS } from './openapi-document.ts'
import { NoQuery } from './schemas.ts'

/** Collects the routes that are added to `app` from now on. */
export async function describeRoutes(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Zoho token broker',
        version: '1',
        description:
          'Hands short-lived Zoho access tokens to internal services. Refresh tokens never leave it. Every answer carries `cache-control: no-store`.',
        license: { name: 'Proprietary', identifier: 'LicenseRef-Proprietary' }
      },
      servers: [{ url: '/', description: 'The api listener.' }],
      tags: [
        { name: 'tokens', description: 'For services: get an access token, report one that Zoho refused.' },
        { name: 'connections', description: 'For admins: import, look at, refresh, stop and end connections.' },
        { name: 'connecting', description: 'For admins: links for people to connect, and what became of them.' },
        { name: 'catalogue', description: 'What is configured.' },
        { name: 'description', description: 'This document.' }
      ],
      security: [{ apiKey: [] }],
      components: {
        securitySchemes: {
          apiKey: { type: 'http', scheme: 'bearer', description: 'The API key of a consumer from the configuration.' }
        }
      }
    },
    convertConstToEnum: false,
    transform: ({ schema, url, route }) => ({
      schema: { ...schema, [PROBLEMS]: route.config?.problems ?? [] },
      url
    }),
    transformObject: (document) =>
      'openapiObject' in document ? finishDocument({ ...document.openapiObject }) : document.swaggerObject
  })
}

/** The document of a ready `app` as YAML; the same routes give the same bytes. */
export function openapiYaml(app: FastifyInstance): string {
  return stringify(app.swagger(), { aliasDuplicateObjects: false, lineWidth: 0 })
}

/** Serves the document to anyone who reaches the listener: it holds no secret. */
export function openapiRoute(app: FastifyInstance): void {
  let text: string | undefined
  app.get(
    '/openapi.yaml',
    {
      schema: {
        operationId: 'readOpenapi',
        tags: ['description'],
        summary: 'Read this document',
        description: 'The OpenAPI description of this listener. Needs no API key.',
        security: [],
        querystring: NoQuery,
        produces: ['application/yaml'],
        response: { 200: Type.String({ description: 'OpenAPI 3.1.' }) }
      },
      config: { problems: ['ERR_INVALID_REQUEST', 'ERR_INTERNAL'] }
    },
    (_request, reply) => {
      text ??= openapiYaml(app)
      return reply.type('application/yaml').send(text)
    }
  )
}
