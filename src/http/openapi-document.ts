import type { BrokerErrorCode } from '../domain/errors.ts'
import { PROBLEM_TYPE, STATUS } from './problem.ts'

type Json = Record<string, unknown>

/** Codes of all errors, in the order of the status map. */
export const ERROR_CODES = Object.keys(STATUS) as BrokerErrorCode[]

/** The one schema of every error body. */
export const PROBLEM_SCHEMA: Json = {
  type: 'object',
  description: 'RFC 9457. Program against `code`.',
  required: ['type', 'title', 'status', 'detail', 'code', 'request_id'],
  properties: {
    type: { type: 'string', example: 'urn:zoho-token-broker:problem:reconnect-required' },
    title: { type: 'string', example: 'Reconnect required' },
    status: { type: 'integer', example: 409 },
    detail: { type: 'string', description: 'What happened and what to do next.' },
    code: { type: 'string', enum: ERROR_CODES, description: 'Stable; docs/errors.md explains each.' },
    request_id: { type: 'string', description: 'Give it to the operator when you ask about this answer.' }
  }
}

const METHODS = ['get', 'put', 'post', 'delete', 'patch'] as const

const RETRY_AFTER: Json = {
  schema: { type: 'integer', minimum: 1 },
  description: 'Whole seconds; where waiting helps.'
}

/** Finishes what the routes declare: problem answers by status, query values as integers, titled shapes as components. */
export function finishDocument(document: Json): Json {
  const schemas: Json = { Problem: PROBLEM_SCHEMA }
  const paths = document.paths as Record<string, Record<string, Json>>
  for (const item of Object.values(paths)) {
    for (const method of METHODS) {
      const operation = item[method]
      if (!operation) continue
      addProblems(operation, method)
      showIntegers(operation)
      showOptionalBody(operation)
    }
  }
  const hoisted = hoistTitled(paths, schemas)
  const components = { ...(document.components as Json), schemas }
  return { ...document, paths: hoisted, components }
}

/** The extension in which a route hands its codes over. */
export const PROBLEMS = 'x-problems'

function addProblems(operation: Json, method: string): void {
  const codes = (operation[PROBLEMS] ?? []) as readonly BrokerErrorCode[]
  delete operation[PROBLEMS]
  const byStatus = new Map<number, BrokerErrorCode[]>()
  const add = (status: number, code: BrokerErrorCode) =>
    byStatus.set(status, [...(byStatus.get(status) ?? []), code].sort())
  for (const code of codes) add(STATUS[code], code)
  if (method !== 'get') {
    add(413, 'ERR_INVALID_REQUEST')
    add(415, 'ERR_INVALID_REQUEST')
  }
  const responses = operation.responses as Json
  for (const [status, group] of [...byStatus].sort(([a], [b]) => a - b)) {
    responses[status] = {
      description: group.join(', '),
      ...(status === 429 || status === 503 ? { headers: { 'Retry-After': RETRY_AFTER } } : {}),
      content: { [PROBLEM_TYPE]: { schema: { $ref: '#/components/schemas/Problem' } } }
    }
  }
}

function showIntegers(operation: Json): void {
  for (const parameter of (operation.parameters ?? []) as Json[]) {
    const means = (parameter.schema as Json | undefined)?.['x-integer'] as Json | undefined
    if (!means) continue
    const { description: _, ...bounds } = means
    parameter.schema = { type: 'integer', ...bounds }
  }
}

// A body that needs no member need not be sent.
function showOptionalBody(operation: Json): void {
  const body = operation.requestBody as { required?: boolean; content: Record<string, { schema: Json }> } | undefined
  if (!body) return
  body.required = Object.values(body.content).some(({ schema }) => Array.isArray(schema.required))
}

// A schema with a title is a shape of its own: it goes to the components once, a reference stands wherever it was.
function hoistTitled(value: unknown, schemas: Json): unknown {
  if (Array.isArray(value)) return value.map((item) => hoistTitled(item, schemas))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([name, member]) => [name, hoistTitled(member, schemas)] as const)
  const copy: Json = Object.fromEntries(entries)
  if (typeof copy.title !== 'string' || copy.type !== 'object') return copy
  const { title, ...shape } = copy
  schemas[title as string] ??= shape
  return { $ref: `#/components/schemas/${title as string}` }
}
