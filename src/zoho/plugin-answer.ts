import type { CallFacts, Ended } from './call.ts'
import { MAX_BYTES } from './namespaces.ts'
import { decidedByStatus, type Failed, failed, isObject, type RawReply } from './token-reply.ts'

/** The answer that arrived, whichever way the plugin reports it, or why none did. */
export function toRawReply(ended: Ended<unknown>): RawReply | Failed {
  const { status, contentType, sent, timedOut } = ended.facts
  const error = 'error' in ended ? describe(ended.error) : undefined
  if (status === undefined) {
    return { kind: 'failed', code: timedOut || error?.status === 504 ? 'timeout' : 'network', sent }
  }
  if (error === undefined) return { status, contentType, body: 'value' in ended ? ended.value : undefined }
  if (error.isAnswer) return { status, contentType, body: error.payload }
  const lost = decidedByStatus(status) === undefined ? whyLost(ended.facts, error.status) : undefined
  if (lost !== undefined) return lost
  // A bare TypeError: the plugin stumbled over an empty body or one that is no object.
  return { status, contentType, body: error.status === undefined ? null : undefined }
}

/** Why the body of an answer was not read to its end; undefined when it was. */
function whyLost({ timedOut, receivedBytes }: CallFacts, errorStatus: number | undefined): Failed | undefined {
  if (timedOut || errorStatus === 408) return failed('timeout')
  if (errorStatus === 413) return failed('too_large')
  // A body that is cut at the limit looks to the plugin like one that the other side cut.
  if (errorStatus === 500) return failed(receivedBytes > MAX_BYTES ? 'too_large' : 'network')
  return undefined
}

/** What may be known of a Boom error. The error itself holds request and response, so it goes no further. */
function describe(error: unknown) {
  const { output, data } = isObject(error) ? (error as { output?: { statusCode?: number }; data?: BoomData }) : {}
  return { status: output?.statusCode, isAnswer: data?.isResponseError === true, payload: data?.payload }
}

interface BoomData {
  readonly isResponseError?: boolean
  readonly payload?: unknown
}
