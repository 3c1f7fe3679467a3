import type { Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { type ClientOptions, createClients } from './clients.ts'
import { createCodes } from './codes.ts'
import { createControlServer } from './control-server.ts'
import { type Controls, createControls } from './controls.ts'
import { createDataCenterServer } from './data-center.ts'
import { createFaults } from './faults.ts'
import { createGate } from './gate.ts'
import { DEFAULT_KNOBS, type Knobs } from './knobs.ts'
import { createLedger } from './ledger.ts'
import { createRoutes } from './routes.ts'
import { randomClientId } from './token-format.ts'
import { createUsers } from './users.ts'
import { createWorld } from './world.ts'

/** How to start a simulator. Everything has a default. */
export interface SimulatorOptions {
  /** Data center → port, 0 for any. Default: us and eu on any port. */
  readonly dataCenters?: Readonly<Record<string, number>> | undefined
  readonly controlPort?: number | undefined
  /** Default: one client that is made up; `listClients` shows it. */
  readonly clients?: readonly ClientOptions[] | undefined
  /** Redirect URIs of clients that name none. Default: any callback on loopback. */
  readonly redirectUris?: readonly string[] | undefined
  /** Scopes of a grant that names none. */
  readonly scopes?: readonly string[] | undefined
  readonly knobs?: Partial<Knobs> | undefined
  /** Zoho's clock in ms, for tests that move it. */
  readonly now?: (() => number) | undefined
}

/** A running simulator. All of it listens on 127.0.0.1. */
export interface Simulator {
  /** Data center → the origin that serves its accounts, API and Desk hosts. */
  readonly dataCenters: Readonly<Record<string, string>>
  /** Origin of the control API. */
  readonly control: string
  /** The same controls for use in this process. */
  readonly controls: Controls
  /** Stops at once; calls that hang or wait are cut. */
  close(): Promise<void>
}

const DEFAULT_SCOPES = ['Desk.tickets.READ', 'Desk.basic.READ', 'ZohoCRM.users.READ', 'AaaServer.profile.READ']

/** Somebody to click in a fresh simulator. */
const DEFAULT_USERS: Readonly<Record<string, readonly string[]>> = { us: ['ada', 'grace'], eu: ['anna', 'emil'] }

/** Starts one server per data center and the control server. Rejects when a port cannot be had. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const { dataCenters: ports = { us: 0, eu: 0 }, controlPort = 0 } = options
  const origins: Record<string, string> = {}
  const { controls, serverOf } = createParts(options, Object.keys(ports), origins)
  const servers: Server[] = []
  const close = async () => void (await Promise.all(servers.map(stop)))

  try {
    for (const [key, port] of Object.entries(ports)) {
      const server = serverOf(key)
      origins[key] = await listen(server, port)
      servers.push(server)
    }
    const server = createControlServer(controls)
    const control = await listen(server, controlPort)
    servers.push(server)
    return { dataCenters: origins, control, controls, close }
  } catch (error) {
    await close()
    throw error
  }
}

function createParts(options: SimulatorOptions, dataCenters: string[], origins: Readonly<Record<string, string>>) {
  const { now = Date.now, scopes = DEFAULT_SCOPES, redirectUris = [] } = options
  const knobs: Knobs = { ...DEFAULT_KNOBS, ...options.knobs }
  const secrets = new Set<string>()
  const remember = (secret: string) => void secrets.add(secret)
  const clients = createClients({ dataCenters, redirectUris, remember })
  for (const client of options.clients ?? [{ id: randomClientId() }]) clients.add(client)
  const users = createUsers()
  for (const key of dataCenters) for (const name of DEFAULT_USERS[key] ?? ['sam']) users.ensure(key, name)
  const codes = createCodes({ knobs, now, remember })
  const world = createWorld({ knobs, now, remember })
  const parts = { world, clients, users, codes, knobs, now, origins, remember }
  const traffic = { ledger: createLedger(now), faults: createFaults(), gate: createGate() }
  const routes = createRoutes(parts)
  const connectionOf = createConnectionNumbers()
  return {
    controls: createControls({ ...parts, ...traffic, dataCenters, scopes, routes, secrets }),
    serverOf: (dataCenter: string) => createDataCenterServer(dataCenter, { routes, connectionOf, ...traffic })
  }
}

function createConnectionNumbers(): (socket: Socket) => number {
  const numbers = new WeakMap<Socket, number>()
  let last = 0
  return (socket) => {
    const number = numbers.get(socket) ?? ++last
    numbers.set(socket, number)
    return number
  }
}

function listen(server: Server, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    // The backlog lets a burst of some thousand callers connect at once.
    server.listen({ port, host: '127.0.0.1', backlog: 4096 }, () => {
      server.off('error', reject)
      resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    })
  })
}

function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
