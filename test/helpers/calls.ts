import { Agent, request } from 'node:http'

/** One answer, read whole. */
export interface Answer {
  readonly status: number
  readonly headers: NodeJS.Dict<string | string[]>
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests read JSON by name
  readonly body: any
  readonly ms: number
}

export interface CallOptions {
  readonly key?: string
  readonly body?: unknown
  readonly headers?: Record<string, string>
  /** Called when the whole request has been handed to the system. */
  readonly onSent?: () => void
}

const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY })

/** One HTTP call; never throws for a status. */
export function call(method: string, url: string, { key, body, headers, onSent }: CallOptions = {}): Promise<Answer> {
  const started = performance.now()
  const payload = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const outgoing = request(
      url,
      {
        method,
        agent,
        headers: {
          ...(key && { authorization: `Bearer ${key}` }),
          ...(payload !== undefined && {
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(payload)
          }),
          ...headers
        }
      },
      (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (part) => {
          text += part
        })
        response.on('error', reject)
        response.on('end', () => {
          const isJson = /json/.test(response.headers['content-type'] ?? '')
          resolve({
            status: response.statusCode as number,
            headers: response.headers,
            text,
            body: isJson ? JSON.parse(text) : undefined,
            ms: performance.now() - started
          })
        })
      }
    )
    outgoing.on('error', reject)
    if (onSent) outgoing.on('finish', onSent)
    outgoing.end(payload)
  })
}
