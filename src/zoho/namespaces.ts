import type { Agent } from 'node:http'

import oauth2, { type OAuth2Namespace } from '@fastify/oauth2'
import { type FastifyInstance, type FastifyRequest, fastify } from 'fastify'

import type { App } from '../domain/app.ts'
import type { DataCenter } from '../domain/data-center.ts'
import { createAgent } from './agent.ts'

/** What the namespaces are built from. */
export interface NamespaceOptions {
  readonly apps: readonly App[]
  readonly dataCenters: readonly DataCenter[]
  readonly maxSockets: number
  readonly timeoutMs: number
  /** Where Zoho sends the browser back to, exactly as registered there. */
  readonly callbackUri: string
  /** PEM of an additional private authority. */
  readonly ca?: string
}

/** One app at one data center. */
export interface Namespace {
  readonly app: string
  readonly dataCenter: DataCenter
  readonly oauth2: OAuth2Namespace
  readonly agent: Agent
}

/** Stands in for a browser's request: its route has already consumed the state and names it here. */
export interface StandInRequest {
  readonly consumedState: string
  readonly query?: { readonly code: string; readonly state: string }
  readonly cookies?: { readonly [name: string]: string }
}

/** Under this name the plugin hands a verifier over and wants it back. */
export const VERIFIER_COOKIE = 'oauth2-code-verifier'

/** Longest body that is read of an answer. */
export const MAX_BYTES = 64 * 1024
// A second net only. It must lie far out: after a stop of the process it fires before the sockets are read, without grace.
const NET_MS = 60_000
const DEBUG_NAMES = ['simple-oauth2:access-token', 'simple-oauth2:client', 'simple-oauth2:request-options']
// The library refuses other characters with an error that quotes the secret.
const PRINTABLE = /^[\x20-\x7e]+$/

/**
 * Registers one @fastify/oauth2 namespace per app and data center on an instance that never listens.
 * Throws an Error, without secrets, for a data center that does not exist, a missing or unprintable secret, an origin that is neither https nor loopback.
 */
export async function createNamespaces(options: NamespaceOptions): Promise<{
  readonly namespaces: readonly Namespace[]
  /** Destroys every socket. */
  close(): Promise<void>
}> {
  const instance = fastify({ logger: false })
  const namespaces: Namespace[] = []
  for (const app of options.apps) {
    for (const key of app.dataCenters) {
      const dataCenter = options.dataCenters.find((row) => row.key === key)
      if (dataCenter === undefined) throw new Error(`app "${app.name}": there is no data center "${key}"`)
      namespaces.push(await register(instance, namespaces.length, app, dataCenter, options))
    }
  }
  await instance.ready()
  return {
    namespaces,
    async close() {
      for (const { agent } of namespaces) agent.destroy()
      await instance.close()
    }
  }
}

/** Throws when this value of `DEBUG` makes simple-oauth2 print client secrets, codes and refresh tokens. */
export function assertNoDebug(debugValue: string | undefined): void {
  const patterns = (debugValue ?? '').split(/[\s,]+/)
  const skips = patterns.filter((pattern) => pattern.startsWith('-')).map((pattern) => pattern.slice(1))
  const prints = (name: string) =>
    patterns.some((pattern) => matches(pattern, name)) && !skips.some((pattern) => matches(pattern, name))
  if (!DEBUG_NAMES.some(prints)) return
  throw new Error(
    'DEBUG must not match simple-oauth2: it would print client secrets and refresh tokens. Unset DEBUG or narrow it.'
  )
}

async function register(
  instance: FastifyInstance,
  index: number,
  app: App,
  dataCenter: DataCenter,
  { maxSockets, timeoutMs, callbackUri, ca }: NamespaceOptions
): Promise<Namespace> {
  const where = `app "${app.name}" at data center "${dataCenter.key}"`
  const secret = app.clientSecrets.get(dataCenter.key)?.reveal() ?? ''
  if (!PRINTABLE.test(app.clientId) || !PRINTABLE.test(secret)) {
    throw new Error(`${where}: client id and secret must be there and hold printable ASCII only`)
  }
  const origin = requireSafe(dataCenter.accounts, where)
  const agent = createAgent({ origin, maxSockets, ...(ca !== undefined && { ca }) })
  const credentials = {
    client: { id: app.clientId, secret },
    auth: {
      tokenHost: origin,
      tokenPath: '/oauth/v2/token',
      revokePath: '/oauth/v2/token/revoke',
      authorizeHost: origin,
      authorizePath: '/oauth/v2/auth'
    },
    // Zoho's error texts follow the language asked for.
    http: {
      agent,
      maxBytes: MAX_BYTES,
      redirects: 0,
      timeout: timeoutMs + NET_MS,
      headers: { 'Accept-Language': 'en' }
    },
    options: { authorizationMethod: 'body' as const, bodyFormat: 'form' as const, scopeSeparator: ',' }
  }
  try {
    // A name of ours: an app may be called like a member of Fastify.
    await instance.register(oauth2, {
      name: `zoho${index}`,
      scope: [...app.scopes],
      credentials,
      callbackUri,
      callbackUriParams: { access_type: 'offline', prompt: 'consent' },
      pkce: 'S256',
      verifierCookieName: VERIFIER_COOKIE,
      // One parameter each: with two the plugin takes them for callback style.
      generateStateFunction: (request: FastifyRequest) => consumedState(request),
      checkStateFunction: (request: FastifyRequest) => consumedState(request) === stateInQuery(request)
    })
  } catch {
    // The plugin's own error quotes its options.
    throw new Error(`${where}: @fastify/oauth2 refused the options`)
  }
  const namespace = instance[`oauth2Zoho${index}`]
  if (namespace === undefined) throw new Error(`${where}: @fastify/oauth2 made no namespace`)
  return { app: app.name, dataCenter, oauth2: namespace, agent }
}

function requireSafe(origin: string, where: string): string {
  const url = URL.canParse(origin) ? new URL(origin) : undefined
  const isLoopback = url !== undefined && /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(url.hostname)
  if (url?.origin === origin && (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback))) return origin
  throw new Error(`${where}: the accounts origin must be https, or http on loopback, without a path`)
}

function consumedState(request: FastifyRequest): string {
  const { consumedState } = request as unknown as Partial<StandInRequest>
  if (typeof consumedState !== 'string' || consumedState === '')
    throw new Error('only a route that consumed a state may go on')
  return consumedState
}

function stateInQuery(request: FastifyRequest): unknown {
  return (request.query as { readonly state?: unknown }).state
}

function matches(pattern: string, name: string): boolean {
  const source = pattern.replace(/[^*\w]/g, '\\$&').replaceAll('*', '.*')
  return new RegExp(`^${source}$`).test(name)
}
