import { KindGuard, type TObject, type TSchema } from '@sinclair/typebox'
import { SettingsSchema } from './schema.ts'

type JsonSchema = { readonly [keyword: string]: unknown }

const REFERENCE: JsonSchema = {
  description: 'A value that stands elsewhere: in a file (relative to this one) or in an environment variable.',
  oneOf: [
    { type: 'object', properties: { file: { type: 'string' } }, required: ['file'], additionalProperties: false },
    { type: 'object', properties: { env: { type: 'string' } }, required: ['env'], additionalProperties: false }
  ]
}

/** The JSON Schema (draft 7, which editors know best) of the configuration file, for editors. Every scalar may also be a reference. */
export function configJsonSchema(): JsonSchema {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Configuration of the Zoho token broker',
    ...published(SettingsSchema),
    definitions: { reference: REFERENCE }
  }
}

function published(schema: TSchema): JsonSchema {
  const about = pick(schema, ['description', 'default'])
  if (KindGuard.IsObject(schema)) return { ...about, ...publishedObject(schema) }
  if (KindGuard.IsRecord(schema)) {
    const patternProperties = mapValues(schema.patternProperties as Record<string, TSchema>, published)
    return {
      ...about,
      type: 'object',
      ...pick(schema, ['minProperties']),
      patternProperties,
      additionalProperties: false
    }
  }
  if (KindGuard.IsArray(schema)) {
    return { ...about, type: 'array', ...pick(schema, ['minItems', 'uniqueItems']), items: published(schema.items) }
  }
  return { ...about, anyOf: [plainScalar(schema), { $ref: '#/definitions/reference' }] }
}

function publishedObject(schema: TObject): JsonSchema {
  const required = Object.entries(schema.properties)
    .filter(([, property]) => isRequired(property))
    .map(([key]) => key)
  return {
    type: 'object',
    properties: mapValues(schema.properties, published),
    ...(required.length > 0 && { required }),
    additionalProperties: false
  }
}

function plainScalar(schema: TSchema): JsonSchema {
  if (KindGuard.IsUnion(schema)) return { enum: schema.anyOf.map((literal) => literal.const) }
  return pick(schema, ['type', 'pattern', 'minimum', 'maximum', 'writeOnly'])
}

/** Whether a file without this property is refused. */
export function isRequired(property: TSchema): boolean {
  return property.default === undefined && !KindGuard.IsOptional(property)
}

function pick(schema: TSchema, keywords: readonly string[]): JsonSchema {
  const present = keywords.filter((keyword) => schema[keyword] !== undefined && schema[keyword] !== '')
  return Object.fromEntries(present.map((keyword) => [keyword, schema[keyword]]))
}

function mapValues<T, U>(entries: { readonly [key: string]: T }, change: (value: T) => U): { [key: string]: U } {
  return Object.fromEntries(Object.entries(entries).map(([key, value]) => [key, change(value)]))
}
