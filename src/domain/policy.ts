import type { ConnectionRef } from './ids.ts'

export const ACTIONS = ['token', 'read', 'connect', 'refresh', 'disconnect', 'audit'] as const

/** What a consumer may be allowed to do. `rejected` needs `token`. */
export type Action = (typeof ACTIONS)[number]

/** One rule of a policy. Patterns: a literal, `*`, or a literal prefix and `*`. */
export interface Rule {
  readonly actions: readonly Action[]
  readonly tenants: readonly string[]
  readonly connections: readonly string[]
}

/** A service or admin that calls us, with what it may do. */
export interface Consumer {
  readonly name: string
  readonly allow: readonly Rule[]
}

/** `allowed`, `forbidden` (it may see the connection, but not do this) or `hidden` (it may do nothing there: answer as if it did not exist). */
export type Verdict = 'allowed' | 'forbidden' | 'hidden'

/** Decides one action of a consumer on one connection. Default deny. */
export function judge(consumer: Consumer, action: Action, ref: ConnectionRef): Verdict {
  const covering = consumer.allow.filter((rule) => covers(rule, ref))
  if (covering.some((rule) => rule.actions.includes(action))) return 'allowed'
  return covering.length > 0 ? 'forbidden' : 'hidden'
}

/** Whether some rule gives `action` on every tenant and connection: what app-wide routes ask for. */
export function mayEverywhere(consumer: Consumer, action: Action): boolean {
  return consumer.allow.some(
    (rule) => rule.actions.includes(action) && rule.tenants.includes('*') && rule.connections.includes('*')
  )
}

/**
 * The position in order of id from which (exclusive) to look for the next connection of `tenant` that the consumer may
 * `action`; undefined when there can be none. Made from `after` and the policy alone, so it tells no hidden id.
 */
export function seekAllowed(consumer: Consumer, action: Action, tenant: string, after: string): string | undefined {
  const patterns = consumer.allow
    .filter((rule) => rule.actions.includes(action) && rule.tenants.some((pattern) => matches(pattern, tenant)))
    .flatMap((rule) => rule.connections)
  if (patterns.some((pattern) => pattern.endsWith('*') && matches(pattern, after))) return after
  const ahead = patterns.map((pattern) => pattern.replace(/\*$/, '')).filter((start) => start > after)
  return ahead.length > 0 ? justBefore(ahead.reduce((a, b) => (a < b ? a : b))) : undefined
}

/** A text behind every id that sorts before `start`. `~` is the last character of an id, and an id has at most 128. */
function justBefore(start: string): string {
  return start.slice(0, -1) + String.fromCharCode(start.charCodeAt(start.length - 1) - 1) + '~'.repeat(128)
}

function covers(rule: Rule, ref: ConnectionRef): boolean {
  return (
    rule.tenants.some((pattern) => matches(pattern, ref.tenant)) &&
    rule.connections.some((pattern) => matches(pattern, ref.connection))
  )
}

function matches(pattern: string, value: string): boolean {
  return pattern.endsWith('*') ? value.startsWith(pattern.slice(0, -1)) : pattern === value
}
