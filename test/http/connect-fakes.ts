import type {
  CallbackOutcome,
  CallbackRefusal,
  ConnectPages,
  GrantAdmin,
  LinkPage,
  LinkRefusal
} from '../../src/domain/connect-broker.ts'
import type { ConnectFlow, ConnectLink } from '../../src/domain/connect-link.ts'
import type { Connection } from '../../src/domain/connection.ts'
import { BrokerError } from '../../src/domain/errors.ts'
import type { ConnectionRef } from '../../src/domain/ids.ts'
import { type Action, type Consumer, judge } from '../../src/domain/policy.ts'
import { Secret } from '../../src/domain/secret.ts'

export const PUBLIC_URL = 'https://connect.example.com'
export const LINK_TOKEN = 'the-link-token'
export const FLOW_ID = '0123456789abcdef0123456789abcdef'
export const STATE = 's'.repeat(43)
export const CONSENT_URL = 'https://accounts.zoho.eu/oauth/v2/auth?client_id=1000.CLIENT&state=abc'

export const linkPageOf = (changes: Partial<LinkPage> = {}): LinkPage => ({
  tenantLabel: 'Acme Support',
  app: 'desk',
  scopes: ['Desk.tickets.READ', 'Desk.contacts.ALL', 'Desk.basic.READ', 'AaaServer.profile.READ'],
  reconnect: false,
  ...changes
})

/** The `ConnectPages` port with answers to be set; every call is noted, `failWith` makes each call fail. */
export function createFakePages() {
  const calls: { method: string; input: unknown }[] = []
  const answers: {
    page: LinkPage
    refused?: LinkRefusal
    callback: CallbackOutcome
    result: Awaited<ReturnType<ConnectPages['result']>>
    failWith?: unknown
  } = {
    page: linkPageOf(),
    callback: { kind: 'ended', flowId: FLOW_ID, result: 'connected' },
    result: { status: 'done', result: 'connected', tenantLabel: 'Acme Support', app: 'desk' }
  }
  const enter = (method: string, input: unknown) => {
    calls.push({ method, input })
    if ('failWith' in answers) throw answers.failWith
  }
  const pages: ConnectPages = {
    async look(linkToken) {
      enter('look', linkToken)
      return answers.refused ? { refused: answers.refused } : { page: answers.page }
    },
    async start(input) {
      enter('start', input)
      return answers.refused ? { refused: answers.refused } : { url: CONSENT_URL }
    },
    async callback(input) {
      enter('callback', input)
      return answers.callback
    },
    async result(flowId) {
      enter('result', flowId)
      return answers.result
    },
    async formTargets(linkToken) {
      enter('formTargets', linkToken)
      return ['https://accounts.zoho.eu', 'https://app.example.com']
    }
  }
  return { pages, pageCalls: calls, answers }
}

export const refusedCallback = (why: CallbackRefusal): CallbackOutcome => ({ kind: 'refused', why })

export function linkOf(changes: Partial<ConnectLink> = {}): ConnectLink {
  return {
    id: 'l1',
    app: 'desk',
    confirm: false,
    revokeSupersededNow: false,
    createdAt: 1_000,
    createdBy: 'ops',
    expiresAt: 601_000,
    starts: 0,
    ...changes
  }
}

export function flowOf(changes: Partial<ConnectFlow> = {}): ConnectFlow {
  return {
    id: FLOW_ID,
    linkId: 'l1',
    status: 'open',
    dataCenter: 'eu',
    epoch: 1,
    startedAt: 1_000,
    deadline: 601_000,
    ...changes
  }
}

/** The `GrantAdmin` port: policy as in the real one, every call noted; `failWith` makes each call fail. */
export function createFakeAdmin(connection: Connection) {
  const calls: { method: string; input: unknown }[] = []
  const answers: { link: ConnectLink; links: ConnectLink[]; flow: ConnectFlow; failWith?: unknown } = {
    link: linkOf(),
    links: [linkOf()],
    flow: flowOf()
  }
  const enter = (method: string, action: Action, input: { consumer: Consumer; ref: ConnectionRef }) => {
    calls.push({ method, input })
    if ('failWith' in answers) throw answers.failWith
    const verdict = judge(input.consumer, action, input.ref)
    if (verdict === 'hidden') throw new BrokerError('ERR_CONNECTION_NOT_FOUND', 'There is no such connection.')
    if (verdict === 'forbidden') throw new BrokerError('ERR_FORBIDDEN', `This needs the action "${action}".`)
  }
  const admin: GrantAdmin = {
    async createLink(input) {
      enter('createLink', 'connect', input)
      return { link: answers.link, token: new Secret(LINK_TOKEN) }
    },
    async links(input) {
      enter('links', 'connect', input)
      return answers.links
    },
    async revokeLink(input) {
      enter('revokeLink', 'connect', input)
    },
    async flow(input) {
      enter('flow', 'read', input)
      return answers.flow
    },
    async confirm(input) {
      enter('confirm', 'connect', input)
      return connection
    },
    async quarantine(input) {
      enter('quarantine', 'disconnect', input)
      return { ...connection, quarantined: true }
    },
    async liftQuarantine(input) {
      enter('liftQuarantine', 'disconnect', input)
      return connection
    },
    async disconnect(input) {
      enter('disconnect', 'disconnect', input)
      return { ...connection, status: 'disconnecting' }
    }
  }
  return { grantAdmin: admin, adminCalls: calls, adminAnswers: answers }
}
