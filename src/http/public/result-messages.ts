import type { ConnectResult } from '../../domain/connect-link.ts'

/** What a page says. */
export interface Message {
  readonly tone: 'good' | 'wait' | 'bad'
  readonly title: string
  /** What happened. */
  readonly text: string
  /** What to do now. */
  readonly next: string
}

const AGAIN = 'Open the link that you were given again.'
const TELL = 'If it happens again, send the code below to the person who gave you the link.'

/** The page of every way in which a connect flow comes out. A new result does not compile without one. */
export const RESULTS: Readonly<Record<ConnectResult, Message>> = {
  connected: {
    tone: 'good',
    title: 'Zoho is connected',
    text: 'Zoho has confirmed your consent, and the connection is stored.',
    next: 'You can close this page.'
  },
  awaiting_confirmation: {
    tone: 'wait',
    title: 'One step is left',
    text: 'Zoho has confirmed your consent. The application that sent you here still has to confirm that it was you.',
    next: 'Go back to that application and finish there within a few minutes; otherwise your consent is withdrawn by itself.'
  },
  access_denied: {
    tone: 'bad',
    title: 'Access was declined',
    text: 'Zoho says that access was declined. Nothing was connected.',
    next: 'If you want to connect after all, open the link that you were given again. If nobody declined, wait ten minutes first.'
  },
  authorization_failed: {
    tone: 'bad',
    title: 'Zoho did not finish the consent',
    text: 'Zoho answered with an error. Nothing was connected.',
    next: `${AGAIN} ${TELL}`
  },
  no_refresh_token: {
    tone: 'bad',
    title: 'Zoho gave no lasting access',
    text: 'Zoho gave access for a short time only. Nothing was connected, and what it gave is withdrawn.',
    next: `${AGAIN} ${TELL}`
  },
  scopes_missing: {
    tone: 'bad',
    title: 'Permissions are missing',
    text: 'Zoho granted less than was asked for. Nothing was connected, and what it granted is withdrawn.',
    next: 'Open the link again and accept all permissions. If your Zoho user may not grant them, ask an administrator of your Zoho account to open the link.'
  },
  code_refused: {
    tone: 'bad',
    title: 'The answer from Zoho was too old',
    text: 'Zoho did not accept its own one-time code any more. Nothing was connected.',
    next: `${AGAIN} ${TELL}`
  },
  client_refused: {
    tone: 'bad',
    title: 'This service is not set up at Zoho as it should be',
    text: 'Zoho does not accept the credentials of this service. You did nothing wrong, and nothing was connected.',
    next: 'Trying again will not help. Send the code below to the person who gave you the link.'
  },
  wrong_data_center: {
    tone: 'bad',
    title: 'Your Zoho account is in another region',
    text: 'This link does not work with the region (data center) where your Zoho account is. Nothing was connected.',
    next: 'Open the link again and sign in with an account of the right region, or ask for a link for yours.'
  },
  upstream_unavailable: {
    tone: 'bad',
    title: 'Zoho did not answer',
    text: 'Zoho did not answer in time or not as it should. Nothing was connected.',
    next: 'Wait a few minutes, then open the link that you were given again.'
  },
  exchange_outcome_unknown: {
    tone: 'bad',
    title: 'We cannot tell how it ended',
    text: 'We were interrupted while Zoho answered. Nothing new was connected; a connection that was there before works on.',
    next: 'Open the link that you were given again. Zoho may list an access that nobody uses: you can remove it in your Zoho account, under connected apps.'
  },
  store_unavailable: {
    tone: 'bad',
    title: 'We could not store the connection',
    text: 'Zoho has confirmed your consent, but we could not store it. Nothing was connected.',
    next: `Wait a few minutes, then open the link that you were given again. ${TELL}`
  },
  not_durable: {
    tone: 'wait',
    title: 'Stored, being secured',
    text: 'Your consent is stored, but not yet copied to a second place. Until then we do not call it finished.',
    next: 'There is nothing to do now. If the application does not show it in a few minutes, send the code below to the person who gave you the link.'
  },
  grant_being_revoked: {
    tone: 'bad',
    title: 'This access is just being withdrawn',
    text: 'Zoho gave the same access that we are withdrawing at this moment, so it cannot be used.',
    next: 'Wait a few minutes, then open the link that you were given again.'
  },
  connection_changed: {
    tone: 'bad',
    title: 'The connection was changed meanwhile',
    text: 'While you were at Zoho, somebody replaced or ended the connection. Your consent was not used.',
    next: 'Ask the person who gave you the link for a new one.'
  },
  link_spent: {
    tone: 'bad',
    title: 'This link has already done its work',
    text: 'Another attempt with the same link was finished first. This one changed nothing.',
    next: 'If that attempt was yours, you are done. If not, tell the person who gave you the link.'
  },
  confirmation_expired: {
    tone: 'bad',
    title: 'The confirmation came too late',
    text: 'The application did not confirm your consent in time, so it is withdrawn. Nothing was connected.',
    next: 'Start again in the application that sent you here.'
  },
  wrong_user: {
    tone: 'bad',
    title: 'This link was made for somebody else',
    text: 'The application named another user than the one the link was made for, so the consent is withdrawn.',
    next: 'Start again in the application that sent you here, signed in as yourself.'
  },
  flow_ended: {
    tone: 'bad',
    title: 'This attempt is over',
    text: 'It took too long, was ended, or came back twice. What was stored before stays as it is.',
    next: 'If you are not sure that you are connected, open the link that you were given again.'
  }
}

/** Every result, in the order of the map. */
export const RESULT_CODES = Object.keys(RESULTS) as readonly ConnectResult[]

/** A flow that has not ended yet. */
export const UNFINISHED: Readonly<Record<'open' | 'exchanging', Message>> = {
  open: {
    tone: 'wait',
    title: 'Waiting for your consent',
    text: 'Zoho has not sent you back yet.',
    next: 'Finish at Zoho in the other window. This page looks again by itself.'
  },
  exchanging: {
    tone: 'wait',
    title: 'The connection is being finished',
    text: 'Zoho has sent its answer, and we are storing it.',
    next: 'Please wait a moment. This page looks again by itself.'
  }
}
