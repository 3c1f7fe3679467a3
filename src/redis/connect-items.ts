import type { ConnectChange, ConnectFlow, ConnectLink } from '../domain/connect-link.ts'
import type { ConnectItems } from '../domain/connect-ports.ts'
import { BrokerError } from '../domain/errors.ts'
import { type ConnectionRef, refKey } from '../domain/ids.ts'

type Item = ConnectLink | ConnectFlow

const FLOW_STATUSES: readonly unknown[] = ['open', 'exchanging', 'awaiting_confirmation', 'done', 'failed']

/** The stored text of each object that was read or is being written: what a guarded change compares, byte by byte. */
const texts = new WeakMap<Item, string>()

/** The links and flows in the hash `ztb:k`, oldest first. Throws `ERR_INTERNAL` for a damaged one. */
export function decodeConnectItems(ref: ConnectionRef, entries: Readonly<Record<string, string>>): ConnectItems {
  const links: ConnectLink[] = []
  const flows: ConnectFlow[] = []
  for (const [field, text] of Object.entries(entries)) {
    const item = parse(text)
    if (field.startsWith('link:') && isLink(item)) links.push(item)
    else if (field.startsWith('flow:') && isFlow(item)) flows.push(item)
    else throw damaged(ref, field)
    texts.set(item, text)
  }
  return {
    links: links.sort((a, b) => a.createdAt - b.createdAt),
    flows: flows.sort((a, b) => a.startedAt - b.startedAt)
  }
}

/** A change as the scripts take it: field, text seen, new text. Throws `TypeError` for a `seen` that was never stored. */
export function changeTexts({ kind, id, seen, next }: ConnectChange): [field: string, seen: string, next: string] {
  return [`${kind}:${id}`, seen ? textOf(seen) : '', next ? encode(next) : '']
}

function textOf(seen: Item): string {
  const text = texts.get(seen)
  if (text === undefined) throw new TypeError(`The ${seen.id} seen must be the very object that the store gave`)
  return text
}

/** Remembers the text, so that what was written can be what the next change has seen. */
function encode(next: Item): string {
  const text = texts.get(next) ?? JSON.stringify(next)
  texts.set(next, text)
  return text
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isLink(item: unknown): item is ConnectLink {
  return (
    isObject(item) &&
    ['id', 'app', 'createdBy'].every((name) => typeof item[name] === 'string') &&
    ['createdAt', 'expiresAt', 'starts'].every((name) => Number.isFinite(item[name])) &&
    ['confirm', 'revokeSupersededNow'].every((name) => typeof item[name] === 'boolean')
  )
}

function isFlow(item: unknown): item is ConnectFlow {
  return (
    isObject(item) &&
    ['id', 'linkId', 'dataCenter'].every((name) => typeof item[name] === 'string') &&
    ['epoch', 'startedAt', 'deadline'].every((name) => Number.isFinite(item[name])) &&
    FLOW_STATUSES.includes(item.status)
  )
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function damaged(ref: ConnectionRef, field: string): BrokerError {
  const [kind, id] = field.split(':')
  return new BrokerError(
    'ERR_INTERNAL',
    `The ${kind} ${id} of ${refKey(ref)} is stored in a damaged form. It was left as it is.`
  )
}
