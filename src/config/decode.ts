import { KindGuard, type TArray, type TObject, type TRecord, type TSchema, type TUnion } from '@sinclair/typebox'
import { type ValueError, ValueErrorType } from '@sinclair/typebox/errors'
import { Value } from '@sinclair/typebox/value'
import type { Faults, Path } from './faults.ts'
import { isReference, type ReferenceSource, resolveReference } from './references.ts'

/** What decoding needs: where references lead and where faults go. */
export interface DecodeContext {
  readonly source: ReferenceSource
  readonly faults: Faults
}

/**
 * Reads a raw value by its schema: resolves references, fills in defaults, reports every fault.
 * What comes back fits the schema only where no fault was added.
 */
export async function decode(schema: TSchema, raw: unknown, path: Path, context: DecodeContext): Promise<unknown> {
  if (raw === undefined) return decodeAbsent(schema, path, context)
  if (KindGuard.IsObject(schema)) return decodeObject(schema, raw, path, context)
  if (KindGuard.IsRecord(schema)) return decodeRecord(schema, raw, path, context)
  if (KindGuard.IsArray(schema)) return decodeArray(schema, raw, path, context)
  return decodeScalar(schema, raw, path, context)
}

function decodeAbsent(schema: TSchema, path: Path, context: DecodeContext): unknown {
  if (schema.default !== undefined) return decode(schema, structuredClone(schema.default), path, context)
  if (!KindGuard.IsOptional(schema) && context.faults.clean(path)) context.faults.add(path, 'is missing')
  return undefined
}

async function decodeObject(schema: TObject, raw: unknown, path: Path, context: DecodeContext): Promise<unknown> {
  if (!isMapping(raw)) return void context.faults.add(path, notThis('a mapping', raw))
  for (const key of Object.keys(raw)) {
    if (!Object.hasOwn(schema.properties, key)) refuseKey(schema, key, path, context.faults)
  }
  const result: Record<string, unknown> = {}
  for (const [key, property] of Object.entries(schema.properties)) {
    const value = await decode(property, Object.hasOwn(raw, key) ? raw[key] : undefined, [...path, key], context)
    if (value !== undefined) result[key] = value
  }
  return result
}

function refuseKey(schema: TObject, key: string, path: Path, faults: Faults): void {
  const planned = schema.notYet && Object.hasOwn(schema.notYet, key) ? schema.notYet[key] : undefined
  if (planned?.instead !== undefined) faults.spoil([...path, planned.instead])
  const problem = planned ? `${planned.what} is not supported yet` : 'is not a setting of this program'
  faults.add([...path, key], problem)
}

async function decodeRecord(schema: TRecord, raw: unknown, path: Path, context: DecodeContext): Promise<unknown> {
  if (!isMapping(raw)) return void context.faults.add(path, notThis('a mapping', raw))
  const [pattern, value] = Object.entries(schema.patternProperties)[0] as [string, TSchema]
  const keys = Object.keys(raw)
  if (keys.length < (schema.minProperties ?? 0)) context.faults.add(path, 'needs at least one entry')
  const decoded: [string, unknown][] = []
  for (const key of keys) {
    if (new RegExp(pattern).test(key)) decoded.push([key, await decode(value, raw[key], [...path, key], context)])
    else context.faults.add([...path, key], `the name must be ${schema.expects}`)
  }
  return Object.fromEntries(decoded)
}

async function decodeArray(schema: TArray, raw: unknown, path: Path, context: DecodeContext): Promise<unknown> {
  if (!Array.isArray(raw)) return void context.faults.add(path, notThis('a list', raw))
  if (raw.length < (schema.minItems ?? 0)) context.faults.add(path, 'needs at least one entry')
  const items: unknown[] = []
  for (const [i, item] of raw.entries()) {
    const decoded = await decode(schema.items, item, [...path, i], context)
    if (schema.uniqueItems && decoded !== undefined && items.includes(decoded)) {
      context.faults.add([...path, i], 'stands twice in the list')
    }
    items.push(decoded)
  }
  return items
}

async function decodeScalar(schema: TSchema, raw: unknown, path: Path, context: DecodeContext): Promise<unknown> {
  const { faults, source } = context
  let value = raw
  if (isMapping(raw)) {
    if (schema.mappingNotYet && !isReference(raw)) {
      return void faults.add(path, `${schema.mappingNotYet} is not supported yet: give a plain host:port`)
    }
    if (!isReference(raw)) return void faults.add(path, 'must be a plain value, { file: PATH } or { env: NAME }')
    const resolved = await resolveReference(raw, source)
    if ('problem' in resolved) return void faults.add(path, resolved.problem)
    value = convert(schema, resolved.text)
  }
  const error = Value.Errors(schema, value).First()
  if (error) return void faults.add(path, explain(schema, error))
  return value
}

/** A file or variable holds only text, so numbers and booleans from there are converted; plain YAML never is. */
function convert(schema: TSchema, text: string): unknown {
  if (KindGuard.IsInteger(schema) && /^-?\d{1,15}$/.test(text)) return Number(text)
  if (KindGuard.IsBoolean(schema) && /^(true|false)$/.test(text)) return text === 'true'
  return text
}

function explain(schema: TSchema, error: ValueError): string {
  switch (error.type) {
    case ValueErrorType.String:
      return notThis('text', error.value)
    case ValueErrorType.Integer:
      return notThis('a whole number', error.value)
    case ValueErrorType.Boolean:
      return notThis('true or false', error.value)
    case ValueErrorType.IntegerMinimum:
      return `must be at least ${schema.minimum}`
    case ValueErrorType.IntegerMaximum:
      return `must be at most ${schema.maximum}`
    case ValueErrorType.Union:
      return `must be one of ${(schema as TUnion).anyOf.map((literal) => literal.const).join(', ')}`
    default:
      return `must be ${schema.expects}`
  }
}

function notThis(wanted: string, value: unknown): string {
  if (value === null) return `is empty, must be ${wanted}`
  if (wanted === 'text' && typeof value !== 'object') return 'must be text: put it in quotes'
  if (typeof value === 'string') return `must be ${wanted}, not text`
  return `must be ${wanted}`
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
