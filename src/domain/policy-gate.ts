import type { ConnectionRef } from './ids.ts'
import { forbidden, notFound } from './issue.ts'
import { type Action, type Consumer, judge } from './policy.ts'

/** Throws the 404 for what the consumer may not see, the 403 for what it may not do there. */
export function requireAllowed(consumer: Consumer, action: Action, ref: ConnectionRef): void {
  const verdict = judge(consumer, action, ref)
  if (verdict === 'hidden') throw notFound()
  if (verdict === 'forbidden') throw forbidden(action)
}
