import type { Call } from './call.ts'
import type { Client, Clients } from './clients.ts'

/** The client of the call, if this data center knows it. */
export function clientOf(clients: Clients, { dataCenter, parameters }: Call): Client | undefined {
  const client = clients.get(parameters.get('client_id') ?? '')
  return client?.secrets.has(dataCenter) ? client : undefined
}

/** True if the call carries the client's secret of this data center. */
export function hasSecret(client: Client, { dataCenter, parameters }: Call): boolean {
  return client.secrets.get(dataCenter) === parameters.get('client_secret')
}
