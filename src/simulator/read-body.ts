import type { IncomingMessage } from 'node:http'

/** The whole body, or undefined when it is larger than `limitBytes`. */
export async function readBody(request: IncomingMessage, limitBytes: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    size += (chunk as Buffer).length
    if (size <= limitBytes) chunks.push(chunk as Buffer)
  }
  return size > limitBytes ? undefined : Buffer.concat(chunks)
}
