import { KindGuard, type TSchema } from '@sinclair/typebox'
import { isRequired } from './json-schema.ts'
import { SettingsSchema } from './schema.ts'

interface Row {
  readonly path: string
  readonly type: string
  readonly byDefault: string
  readonly meaning: string
}

const INTRODUCTION = `# Configuration

<!-- Generated from src/config/schema.ts. Do not edit: run \`UPDATE=1 node test/config/config.test.ts\`. -->

The broker reads one YAML file, named by \`--config\` or by the variable \`BROKER_CONFIG\`.
[\`examples/broker.yaml\`](../examples/broker.yaml) is a complete one. \`zoho-token-broker check --config FILE\` reports
every fault at once; \`check --schema\` prints a JSON Schema for editors.

- Any single value may be \`{ file: PATH }\` or \`{ env: NAME }\` instead. A path is relative to the configuration file, the
  file holds at most 64 kB, and one newline at its end is dropped. Only such a value is turned into a number; in the YAML
  itself a number must be a number.
- No secret has a default, and no message repeats a value.
- An unknown key is refused. So is, with a sentence of its own, what is planned but not built:
`

/** The text of `docs/configuration.md`. */
export function configurationPage(): string {
  const sections = Object.entries(SettingsSchema.properties).map(([key, schema]) => {
    const rows = rowsOf(schema, key, isRequired(schema))
    const about = isStructure(schema) && schema.description ? `${schema.description}\n\n` : ''
    return `## ${key}\n\n${about}| setting | type | default | meaning |\n|---|---|---|---|\n${rows.map(formatRow).join('\n')}\n`
  })
  const planned = plannedOf(SettingsSchema, '').map((path) => `\`${path}\``)
  return `${INTRODUCTION.trimEnd()}\n  ${planned.join(', ')}.\n\n${sections.join('\n')}`
}

function rowsOf(schema: TSchema, path: string, required: boolean): Row[] {
  if (KindGuard.IsObject(schema)) {
    return Object.entries(schema.properties).flatMap(([key, property]) =>
      rowsOf(property, `${path}.${key}`, isRequired(property))
    )
  }
  if (KindGuard.IsRecord(schema)) return rowsOf(entryOf(schema), `${path}.${schema.keyName}`, required)
  if (KindGuard.IsArray(schema) && isStructure(schema.items)) return rowsOf(schema.items, `${path}[]`, required)
  return [{ path, type: typeOf(schema), byDefault: defaultOf(schema, required), meaning: describe(schema) }]
}

function plannedOf(schema: TSchema, path: string): string[] {
  const under = (key: string) => (path === '' ? key : `${path}.${key}`)
  const own = Object.keys(schema.notYet ?? {}).map(under)
  if (schema.mappingNotYet) return [`${path} (as a mapping, for TLS)`]
  if (KindGuard.IsObject(schema)) {
    return [...own, ...Object.entries(schema.properties).flatMap(([key, value]) => plannedOf(value, under(key)))]
  }
  return KindGuard.IsRecord(schema) ? plannedOf(entryOf(schema), under(schema.keyName ?? '')) : own
}

function describe(schema: TSchema): string {
  return schema.description ?? ''
}

function defaultOf(schema: TSchema, required: boolean): string {
  if (schema.default !== undefined && !isStructure(schema))
    return `\`${JSON.stringify(schema.default).replaceAll('"', '')}\``
  return required ? '**required**' : ''
}

function typeOf(schema: TSchema): string {
  if (KindGuard.IsArray(schema)) return `list of ${typeOf(schema.items)}`
  if (KindGuard.IsUnion(schema)) return schema.anyOf.map((literal) => `\`${literal.const}\``).join(', ')
  if (KindGuard.IsInteger(schema)) return `number, at least ${schema.minimum}`
  return schema.writeOnly ? 'secret text' : 'text'
}

function entryOf(schema: TSchema): TSchema {
  return Object.values(schema.patternProperties as Record<string, TSchema>)[0] as TSchema
}

function isStructure(schema: TSchema): boolean {
  return KindGuard.IsObject(schema) || KindGuard.IsRecord(schema)
}

function formatRow({ path, type, byDefault, meaning }: Row): string {
  return `| \`${path}\` | ${type} | ${byDefault} | ${meaning} |`
}
