import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { CONTROL_INPUTS, type ControlName, faultOf, inputOfForm } from './control-inputs.ts'
import { ControlError } from './control-lookups.ts'
import { controlPage } from './control-page.ts'
import { controlPath } from './control-path.ts'
import type { Controls } from './controls.ts'
import { PAGE_HEADERS } from './page.ts'
import { readBody } from './read-body.ts'

const MAX_BODY_BYTES = 16 * 1024 * 1024

const JSON_HEADERS = { 'content-type': 'application/json' }

interface Reply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  /** A text goes out as it is, all else as JSON. */
  readonly body: unknown
}

/**
 * The controls over HTTP: POST with a JSON object, or with a form by the buttons of the page at `/`; GET for those that
 * need no input. It does not listen yet.
 */
export function createControlServer(controls: Controls): Server {
  const names = new Map(Object.keys(CONTROL_INPUTS).map((name) => [controlPath(name), name as ControlName]))

  return createServer({ keepAliveTimeout: 120_000 }, (request, response) => {
    reply(request)
      .catch((error: unknown) => failure(error))
      .then((answer) => send(response, answer))
  })

  async function reply(request: IncomingMessage): Promise<Reply> {
    const path = (request.url ?? '/').split('?')[0] ?? '/'
    if (path === '/') return start(request)
    const name = names.get(path)
    if (!name) return refused(404, `There is no control at ${path}; GET / lists them.`)
    if (request.method !== 'POST' && request.method !== 'GET') return refused(405, 'Use POST, or GET without input.')
    const isForm = request.headers['content-type']?.startsWith('application/x-www-form-urlencoded') ?? false
    const input = request.method === 'GET' ? {} : await inputOf(name, request, isForm)
    const fault = faultOf(name, input)
    if (fault) return refused(400, fault)
    const control = controls[name] as (input: unknown) => unknown
    const body = control(input)
    return isForm ? { status: 303, headers: { location: '/' }, body: '' } : { status: 200, body }
  }

  function start({ headers }: IncomingMessage): Reply {
    if (!headers.accept?.includes('text/html')) return { status: 200, body: { controls: [...names.keys()] } }
    return { status: 200, headers: PAGE_HEADERS, body: controlPage(controls) }
  }
}

async function inputOf(name: ControlName, request: IncomingMessage, isForm: boolean): Promise<unknown> {
  const body = await readBody(request, MAX_BODY_BYTES)
  if (!body) throw new ControlError('The body is larger than 16 MB.')
  if (isForm) return inputOfForm(name, new URLSearchParams(body.toString()))
  try {
    return body.length === 0 ? {} : JSON.parse(body.toString())
  } catch {
    throw new ControlError('The body must be JSON.')
  }
}

function failure(error: unknown): Reply {
  if (error instanceof ControlError) return refused(400, error.message)
  return refused(500, error instanceof Error ? error.message : 'The simulator failed.')
}

function refused(status: number, error: string): Reply {
  return { status, body: { error } }
}

function send(response: ServerResponse, { status, headers = JSON_HEADERS, body }: Reply): void {
  response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body))
}
