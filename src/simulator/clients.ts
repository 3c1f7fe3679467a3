import { randomClientSecret } from './token-format.ts'

/** A client of the API console. It is enabled in the data centers for which it has a secret. */
export interface ClientOptions {
  readonly id: string
  /** One secret for every data center. */
  readonly secret?: string | undefined
  /** Or one secret for each enabled data center. */
  readonly secrets?: Readonly<Record<string, string>> | undefined
  readonly redirectUris?: readonly string[] | undefined
}

/** A client as the simulator keeps it. */
export interface Client {
  readonly id: string
  /** None: any callback on loopback will do. */
  redirectUris: readonly string[]
  /** Data center → secret. */
  readonly secrets: Map<string, string>
}

interface Deps {
  readonly dataCenters: readonly string[]
  /** Redirect URIs of a client that names none. */
  readonly redirectUris: readonly string[]
  /** Called with every secret, so that a leak scan can look for it. */
  readonly remember: (secret: string) => void
}

/** The clients of a simulator. */
export type Clients = ReturnType<typeof createClients>

/** The API console: clients and their secrets. */
export function createClients({ dataCenters, redirectUris, remember }: Deps) {
  const clients = new Map<string, Client>()

  /** Adds a client; without any secret one is made up for all data centers. */
  function add(options: ClientOptions): Client {
    const shared = options.secret ?? (options.secrets === undefined ? randomClientSecret() : undefined)
    const secrets = new Map<string, string>()
    for (const key of dataCenters) {
      const secret = options.secrets?.[key] ?? shared
      if (secret === undefined) continue
      secrets.set(key, secret)
      remember(secret)
    }
    const client = { id: options.id, redirectUris: options.redirectUris ?? redirectUris, secrets }
    clients.set(client.id, client)
    return client
  }

  /** Replaces the client's secret, everywhere or in one data center. The old one is worth nothing from now on. */
  function rotateSecret(client: Client, dataCenter: string | undefined, secret = randomClientSecret()): string {
    const enabled = [...client.secrets.keys()]
    for (const key of dataCenter === undefined ? enabled : [dataCenter]) client.secrets.set(key, secret)
    remember(secret)
    return secret
  }

  return {
    add,
    rotateSecret,
    get: (id: string): Client | undefined => clients.get(id),
    list: (): Client[] => [...clients.values()],
    remove: (id: string): boolean => clients.delete(id)
  }
}
