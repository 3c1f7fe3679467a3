import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { readBody } from './read-body.ts'

const MAX_BODY_BYTES = 64 * 1024

/** A request as the endpoints see it. */
export interface Call {
  readonly dataCenter: string
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** Query, form or multipart body and Basic credentials together; the first of equal names counts. */
  readonly parameters: ReadonlyMap<string, string>
  /** Which of `query`, `body`, `basic` carried parameters. */
  readonly placement: readonly string[]
}

/** Reads a request. A body that is too large or not a form has no parameters. */
export async function readCall(request: IncomingMessage, dataCenter: string): Promise<Call> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://simulator')
  const body = await readBody(request, MAX_BODY_BYTES)
  const sources: [string, Iterable<[string, string]>][] = [
    ['query', searchParams],
    ['body', await formOf(body, request.headers['content-type'] ?? '')],
    ['basic', basicOf(request.headers.authorization)]
  ]
  const parameters = new Map<string, string>()
  const placement: string[] = []
  for (const [place, pairs] of sources) {
    for (const [name, value] of pairs) {
      if (!placement.includes(place)) placement.push(place)
      if (!parameters.has(name)) parameters.set(name, value)
    }
  }
  return { dataCenter, method: request.method ?? '', path: pathname, headers: request.headers, parameters, placement }
}

async function formOf(body: Buffer | undefined, contentType: string): Promise<Iterable<[string, string]>> {
  if (!body?.length || !/^(application\/x-www-form-urlencoded|multipart\/form-data)\b/i.test(contentType)) return []
  try {
    const form = await new Response(new Uint8Array(body), { headers: { 'content-type': contentType } }).formData()
    return [...form].filter((pair): pair is [string, string] => typeof pair[1] === 'string')
  } catch {
    return []
  }
}

function basicOf(authorization: string | undefined): [string, string][] {
  const encoded = /^Basic +(\S+)$/i.exec(authorization ?? '')?.[1]
  if (!encoded) return []
  const [, id = '', secret = ''] = /^([^:]*):?(.*)$/s.exec(Buffer.from(encoded, 'base64').toString()) ?? []
  return [
    ['client_id', id],
    ['client_secret', secret]
  ]
}
