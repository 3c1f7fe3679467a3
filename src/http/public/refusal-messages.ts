import type { CallbackRefusal, LinkRefusal } from '../../domain/connect-broker.ts'
import type { BrokerErrorCode } from '../../domain/errors.ts'
import type { Message } from './result-messages.ts'

/** What the public listener refuses by itself, or fails at. */
type OwnRefusal =
  | 'callback_invalid'
  | 'foreign_origin'
  | 'flow_unknown'
  | 'not_found'
  | 'bad_request'
  | 'too_many_requests'
  | 'store_unavailable'
  | 'internal_error'

/** Every refusal that has a page. Support finds it in `docs/errors.md`. */
export type RefusalCode = LinkRefusal | CallbackRefusal | OwnRefusal

type Refusal = Omit<Message, 'tone'> & { readonly status: number }

const ASK = 'Ask the person who gave you the link for a new one.'
const AGAIN = 'Nothing was connected. Open the link that you were given again.'

/** The page of every refusal. A new one does not compile without it. */
export const REFUSALS: Readonly<Record<RefusalCode, Refusal>> = {
  link_unknown: {
    status: 404,
    title: 'There is no such link',
    text: 'The address may be incomplete, or the link ended long ago.',
    next: `Check that you opened the whole address. ${ASK}`
  },
  link_expired: {
    status: 410,
    title: 'This link has expired',
    text: 'Connect links work for a short time only.',
    next: ASK
  },
  link_spent: {
    status: 410,
    title: 'This link has already done its work',
    text: 'A connection was made with it, and it works only once.',
    next: 'If that was you, you are done. If not, tell the person who gave you the link.'
  },
  link_revoked: {
    status: 410,
    title: 'This link was taken back',
    text: 'An administrator has ended it.',
    next: ASK
  },
  too_many_starts: {
    status: 410,
    title: 'This link was tried too often',
    text: 'A link may be started a few times only, and this one has reached its end.',
    next: ASK
  },
  app_unknown: {
    status: 410,
    title: 'This link cannot be used any more',
    text: 'The Zoho application that it was made for is not set up here any more.',
    next: 'Send the code below to the person who gave you the link.'
  },
  state_unknown: {
    status: 400,
    title: 'This attempt cannot be continued',
    text: 'It took longer than ten minutes, or its answer from Zoho was used already.',
    next: 'If you are not sure that you are connected, open the link that you were given again.'
  },
  browser_mismatch: {
    status: 400,
    title: 'This attempt was started in another browser',
    text: 'The browser that comes back from Zoho has to be the one that went there, and it has to accept cookies.',
    next: AGAIN
  },
  data_center_mismatch: {
    status: 400,
    title: 'The answer does not fit your Zoho region',
    text: 'It names a region that does not exist, is not allowed here or contradicts itself. We asked nobody and kept nothing.',
    next: `${AGAIN} If it happens again, send the code below to the person who gave you the link.`
  },
  callback_invalid: {
    status: 400,
    title: 'The answer from Zoho is not complete',
    text: 'The address that brought you here was cut off or changed on its way.',
    next: AGAIN
  },
  foreign_origin: {
    status: 403,
    title: 'Please use the button on our own page',
    text: 'This request was sent by another page, so we did not follow it.',
    next: 'Nothing was started. Open the link that you were given and press the button there.'
  },
  flow_unknown: {
    status: 404,
    title: 'There is nothing to show here',
    text: 'The address may be incomplete, or the attempt ended more than a day ago.',
    next: 'If you are not sure that you are connected, ask the person who gave you the link.'
  },
  not_found: {
    status: 404,
    title: 'There is no such page',
    text: 'This service has pages for connect links only.',
    next: 'Check that you opened the whole address of your link.'
  },
  bad_request: {
    status: 400,
    title: 'The request could not be understood',
    text: 'It was cut off, too large or changed on its way.',
    next: 'Open the link that you were given again.'
  },
  too_many_requests: {
    status: 429,
    title: 'Too many requests',
    text: 'Many requests came from your network within a minute.',
    next: 'Wait a minute, then open the link that you were given again.'
  },
  store_unavailable: {
    status: 503,
    title: 'We cannot do this right now',
    text: 'A part of our service does not answer.',
    next: 'Wait a few minutes, then try the link again.'
  },
  internal_error: {
    status: 500,
    title: 'Something went wrong on our side',
    text: 'You did nothing wrong.',
    next: 'Try the link again later. If it happens again, send the code and the reference below to the person who gave you the link.'
  }
}

/** The page for an error that a route threw. */
export function refusalOf(code: BrokerErrorCode, status: number): RefusalCode {
  if (code === 'ERR_INVALID_REQUEST') return 'bad_request'
  if (code === 'ERR_ROUTE_NOT_FOUND') return 'not_found'
  if (code === 'ERR_RATE_LIMITED') return 'too_many_requests'
  return status === 503 ? 'store_unavailable' : 'internal_error'
}
