import { type TSchema, Type } from '@sinclair/typebox'

declare module '@sinclair/typebox' {
  interface SchemaOptions {
    /** Ends the sentence "must be …" where a pattern is not met. */
    expects?: string
    /** Stands for the key of a record in the documentation. */
    keyName?: string
    /** Keys that are planned but not built: what each is, and the setting that it would stand in for. */
    notYet?: { readonly [key: string]: { readonly what: string; readonly instead?: string } }
    /** A mapping in place of this scalar is planned but not built: what it would be. */
    mappingNotYet?: string
  }
}

/** The longest time that a timer takes, in ms. */
const TIMER_MAX_MS = 2_147_483_647

/** A pattern and how a person would say it. */
export interface Pattern {
  readonly pattern: string
  readonly expects: string
}

/** Names of apps, consumers, return addresses and sealing keys. */
export const NAME: Pattern = {
  pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$',
  expects: 'a name of at most 63 letters, digits, dots, dashes and underscores'
}

/** Keys of the data center table. */
export const DATA_CENTER_KEY: Pattern = {
  pattern: '^[a-z][a-z0-9-]{0,15}$',
  expects: 'a key of lower-case letters, digits and dashes'
}

/** Tenant and connection patterns of a policy. */
const POLICY_PATTERN: Pattern = {
  pattern: '^(\\*|[A-Za-z0-9][A-Za-z0-9._~-]{0,127}\\*?)$',
  expects: 'an id, `*`, or the beginning of an id and `*`'
}

/** Host and port. */
export const ADDRESS: Pattern = {
  pattern: '^(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9.-]+):[0-9]{1,5}$',
  expects: 'host:port, such as 0.0.0.0:8080 or [::]:8080'
}

const ORIGIN: Pattern = {
  pattern: '^https?://[^\\s/?#\\\\@]+/?$',
  expects: 'an origin such as https://host, without path, query or user'
}

/** Text that is no secret. */
export const text = (description: string, form: Pattern, options: { default?: string } = {}) =>
  Type.String({ description, ...form, ...options })

/** Text that must never be shown; it cannot have a default. */
export const secret = (description: string, form: Pattern) => Type.String({ description, ...form, writeOnly: true })

/** A number of things. */
export const count = (description: string, byDefault: number, minimum = 1, maximum = 1_000_000) =>
  Type.Integer({ description, default: byDefault, minimum, maximum })

/** A time in ms. */
export const ms = (description: string, byDefault: number, minimum = 1) =>
  Type.Integer({ description, default: byDefault, minimum, maximum: TIMER_MAX_MS })

/** One of some words. */
export const choice = <const T extends readonly string[]>(
  values: T,
  options: { description?: string; default?: T[number] }
) =>
  Type.Union(
    values.map((value) => Type.Literal(value as T[number])),
    options
  )

/** A mapping with these keys and no others. */
export const closed = <T extends Record<string, TSchema>>(properties: T, options: object = {}) =>
  Type.Object(properties, { additionalProperties: false, ...options })

/** A mapping whose keys the operator chooses. `keyName` stands for the key in the documentation. */
export const named = <T extends TSchema>(keyName: string, key: Pattern, value: T, options: object) =>
  Type.Record(Type.String({ pattern: key.pattern }), value, {
    additionalProperties: false,
    expects: key.expects,
    keyName,
    ...options
  })

/** Where a listener listens. */
export const address = (description: string, port: number, options: { mappingNotYet?: string } = {}) =>
  Type.String({ description, default: `0.0.0.0:${port}`, ...ADDRESS, ...options })

/** Scheme, host and port. */
export const origin = (description: string) => text(description, ORIGIN)

/** Tenant or connection patterns of a rule. */
export const patterns = (description: string) => Type.Array(text('', POLICY_PATTERN), { description, minItems: 1 })
