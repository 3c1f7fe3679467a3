import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { CONTROL_INPUTS, type ControlName, faultOf } from './control-inputs.ts'
import { ControlError, type Controls } from './controls.ts'
import { readBody } from './read-body.ts'

const MAX_BODY_BYTES = 16 * 1024 * 1024

interface Reply {
  readonly status: number
  readonly body: unknown
}

/** The path of a control: `createGrant` stands at `/create-grant`. */
export function controlPath(name: string): string {
  return `/${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

/** The controls over HTTP: POST with a JSON object; GET for those that need no input. It does not listen yet. */
export function createControlServer(controls: Controls): Server {
  const names = new Map(Object.keys(CONTROL_INPUTS).map((name) => [controlPath(name), name as ControlName]))

  return createServer({ keepAliveTimeout: 120_000 }, (request, response) => {
    reply(request)
      .catch((error: unknown) => failure(error))
      .then((answer) => send(response, answer))
  })

  async function reply(request: IncomingMessage): Promise<Reply> {
    const path = (request.url ?? '/').split('?')[0] ?? '/'
    if (path === '/') return { status: 200, body: { controls: [...names.keys()] } }
    const name = names.get(path)
    if (!name) return refused(404, `There is no control at ${path}; GET / lists them.`)
    if (request.method !== 'POST' && request.method !== 'GET') return refused(405, 'Use POST, or GET without input.')
    const input = request.method === 'GET' ? {} : await jsonOf(request)
    const fault = faultOf(name, input)
    if (fault) return refused(400, fault)
    const control = controls[name] as (input: unknown) => unknown
    return { status: 200, body: control(input) }
  }
}

async function jsonOf(request: IncomingMessage): Promise<unknown> {
  const body = await readBody(request, MAX_BODY_BYTES)
  if (!body) throw new ControlError('The body is larger than 16 MB.')
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

function send(response: ServerResponse, { status, body }: Reply): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
