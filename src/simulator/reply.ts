import type { ServerResponse } from 'node:http'
import type { Answer } from './endpoint.ts'
import type { BrokenReply } from './faults.ts'

/** An HTTP answer without its framing. */
type Message = Pick<Answer, 'status' | 'headers' | 'body'>

/** Sends an answer as it is. */
export function send(response: ServerResponse, { status, headers, body }: Message): void {
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body)
}

/** Sends what the fault makes of the answer; `answer` is undefined when Zoho has done nothing. */
export function sendBroken(response: ServerResponse, fault: BrokenReply, answer: Answer | undefined): void {
  const message = answer ?? { status: 200, headers: {}, body: '{}' }
  if (fault.kind === 'hang') return
  if (fault.kind === 'reset') {
    response.socket?.resetAndDestroy()
  } else if (fault.kind === 'hang_body') {
    const headers = { ...message.headers, 'content-length': Buffer.byteLength(message.body) }
    response.writeHead(message.status, headers).write(firstHalf(message.body))
  } else {
    send(response, rewritten(fault, message))
  }
}

type Silent = 'hang' | 'reset' | 'hang_body'

function rewritten(fault: Exclude<BrokenReply, { kind: Silent }>, message: Message): Message {
  switch (fault.kind) {
    case 'truncated_json':
      return { ...message, body: firstHalf(message.body) }
    case 'html_502':
      return { status: 502, headers: contentType('text/html'), body: BAD_GATEWAY }
    case 'status':
      return { status: fault.status ?? 503, headers: contentType(JSON_TYPE), body: '{}' }
    case 'big_body':
      return { ...message, body: padded(message.body, fault.bytes) }
    case 'redirect': {
      const location = fault.location ?? 'https://accounts.zoho.example/oauth/v2/token'
      return { ...message, status: fault.status ?? 302, headers: { ...message.headers, location } }
    }
    case 'empty':
      return { status: 200, headers: {}, body: '' }
    case 'raw':
      return { status: fault.status ?? 200, headers: contentType(fault.content_type ?? JSON_TYPE), body: fault.body }
  }
}

const JSON_TYPE = 'application/json;charset=UTF-8'
const BAD_GATEWAY = '<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>'

function contentType(type: string): Message['headers'] {
  return { server: 'ZGS', 'content-type': type }
}

function firstHalf(body: string): string {
  return body.slice(0, Math.ceil(body.length / 2))
}

/** Still valid JSON, so that nothing but its size can be held against it. */
function padded(body: string, bytes: number): string {
  const open = `${body.slice(0, -1)},"padding":"`
  return `${open}${'x'.repeat(Math.max(0, bytes - open.length - 2))}"}`
}
