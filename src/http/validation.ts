import type { FastifyRequest, FastifySchema } from 'fastify'
import { BrokerError } from '../domain/errors.ts'

/** What Fastify adds to an error of its validator. */
interface ValidationError {
  readonly validation: readonly {
    readonly instancePath: string
    readonly keyword: string
    readonly params: Readonly<Record<string, unknown>>
  }[]
  readonly validationContext: 'body' | 'params' | 'querystring' | 'headers'
}

const PLACES = { body: 'the body', params: 'the path', querystring: 'the query', headers: 'the headers' } as const

/** Fastify's own refusals that have a narrower status or want another sentence than "could not be understood". */
const FRAMEWORK_REFUSALS: ReadonlyMap<string, readonly [status: number, detail: string]> = new Map([
  ['FST_ERR_BAD_URL', [400, 'The path is not valid percent-encoded UTF-8.']],
  ['FST_ERR_CTP_BODY_TOO_LARGE', [413, 'The body is larger than the 16384 bytes that are allowed.']],
  ['FST_ERR_CTP_INVALID_CONTENT_LENGTH', [400, 'The body is not as long as its content-length says.']],
  [
    'FST_ERR_CTP_INVALID_MEDIA_TYPE',
    [415, 'The content-type is not one that this route takes; a body is application/json.']
  ]
])

/** Judges whether `error` says that the request was wrong; undefined when the fault is ours. */
export function invalidRequest(
  error: unknown,
  request: FastifyRequest
): { error: BrokerError; status: number } | undefined {
  if (!(error instanceof Error)) return undefined
  if (isValidationError(error)) return refusal(400, describe(error, request.routeOptions.schema))
  const { code, statusCode } = error as Error & { code?: unknown; statusCode?: unknown }
  const known = FRAMEWORK_REFUSALS.get(String(code))
  if (known) return refusal(...known)
  // The caller went away while it was sending: nobody reads this answer, and no operator need look.
  if (code === 'ECONNRESET' && request.raw.readableAborted) return refusal(400, 'The body ended too early.')
  const theirs = typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500
  // Only the framework's word counts: an error from elsewhere may carry a status that was meant for us.
  if (theirs && String(code).startsWith('FST_ERR_')) return refusal(statusCode, 'The request could not be understood.')
  return undefined
}

function refusal(status: number, detail: string) {
  return { error: new BrokerError('ERR_INVALID_REQUEST', detail), status }
}

function isValidationError(error: Error): error is Error & ValidationError {
  return Array.isArray((error as Partial<ValidationError>).validation)
}

/** Which field is wrong and what is allowed there. Never repeats a value: it may be a secret. */
function describe({ validation, validationContext }: ValidationError, schema: FastifySchema | undefined): string {
  const place = PLACES[validationContext]
  const shape = shapeOf(schema, validationContext)
  const allowed = Object.keys(shape)
  const members = allowed.length > 0 ? `Allowed: ${allowed.join(', ')}.` : 'Nothing is allowed there.'
  const [first] = validation
  if (first?.keyword === 'additionalProperties') {
    return `Unknown ${quote(first.params.additionalProperty)} in ${place}. ${members}`
  }
  if (first?.keyword === 'required') {
    const name = String(first.params.missingProperty)
    return `Missing "${name}" in ${place}: ${shape[name]?.description ?? members}`
  }
  const name = first?.instancePath.split('/')[1]
  if (name === undefined || name === '') return `Send a JSON object as ${place}. ${members}`
  return `Not acceptable: "${name}" in ${place}. Allowed: ${shape[name]?.description ?? 'see openapi.yaml.'}`
}

function shapeOf(
  schema: FastifySchema | undefined,
  context: ValidationError['validationContext']
): Readonly<Record<string, { readonly description?: string }>> {
  const part = schema?.[context] as { properties?: Record<string, { description?: string }> } | undefined
  return part?.properties ?? {}
}

function quote(name: unknown): string {
  return JSON.stringify(String(name).slice(0, 64))
}
