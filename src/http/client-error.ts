import { randomUUID } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { BrokerError } from '../domain/errors.ts'
import { CONSTANT_HEADERS } from './headers.ts'
import { PROBLEM_TYPE, problemOf } from './problem.ts'

const REFUSALS: ReadonlyMap<string, readonly [status: number, detail: string]> = new Map([
  ['ERR_HTTP_REQUEST_TIMEOUT', [408, 'The request took too long to arrive.']],
  ['HPE_HEADER_OVERFLOW', [431, 'The request line and headers are larger than the 16 KiB that are allowed.']],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', [413, 'The chunk extensions are too large.']]
])

/** Answers what Node's HTTP parser refused, before there was a request: same shape as every other problem, then closes. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const [status, detail] = REFUSALS.get(error.code ?? '') ?? [400, 'This is not a well-formed HTTP request.']
  const body = JSON.stringify(problemOf(new BrokerError('ERR_INVALID_REQUEST', detail), randomUUID(), status))
  const headers = {
    ...CONSTANT_HEADERS,
    'content-type': PROBLEM_TYPE,
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close'
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`)
  socket.destroySoon()
}
