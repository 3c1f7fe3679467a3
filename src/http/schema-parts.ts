import { Type } from '@sinclair/typebox'
import { ID_PATTERN } from '../domain/ids.ts'

/** No member that is not named passes, in or out. */
export const CLOSED = { additionalProperties: false } as const

/** The key of a data center. */
export const DATA_CENTER_PATTERN = '^[a-z][a-z0-9-]{0,31}$'

/** One of a few texts. */
export const oneOf = <T extends string>(values: readonly T[], options: { description: string }) =>
  Type.Unsafe<T>({ type: 'string', enum: [...values], ...options })

/** A tenant or connection id. */
export const id = (description: string) =>
  Type.String({
    pattern: ID_PATTERN,
    description: `${description}: 1 to 128 of A-Z a-z 0-9 . _ ~ -, the first a letter or digit.`
  })

/** A time as we tell it. */
export const time = (description: string) =>
  Type.String({ format: 'date-time', description: `${description} RFC 3339, UTC, with milliseconds.` })

/** A list of names. */
export const names = (description: string) => Type.Array(Type.String(), { description })
