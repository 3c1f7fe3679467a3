import type { Static } from '@sinclair/typebox'
import type { Clients } from './clients.ts'
import type { ClientName, NewClientInput, RedirectUris, Rotation } from './control-inputs.ts'
import { ControlError, knownClient, knownDataCenter } from './control-lookups.ts'
import { showClient } from './show.ts'
import type { Users } from './users.ts'
import type { World } from './world.ts'

interface Deps {
  readonly dataCenters: readonly string[]
  readonly world: World
  readonly users: Users
  readonly clients: Clients
}

/** What the API console can do. */
export function createClientControls({ world, users, clients, dataCenters }: Deps) {
  return {
    createClient: (input: Static<typeof NewClientInput>) => {
      for (const key of Object.keys(input.secrets ?? {})) knownDataCenter(dataCenters, key)
      if (clients.get(input.client_id)) throw new ControlError(`There is a client ${input.client_id} already.`)
      const { client_id: id, secret, secrets, redirect_uris: redirectUris } = input
      return showClient(clients.add({ id, secret, secrets, redirectUris }))
    },
    /** Secrets are in clear. */
    listClients: () => ({ clients: clients.list().map(showClient) }),
    setRedirectUris: ({ client_id, redirect_uris }: Static<typeof RedirectUris>) => {
      const client = knownClient(clients, client_id)
      client.redirectUris = redirect_uris
      return { client_id, redirect_uris }
    },
    /** Returns the new secret in clear. */
    rotateSecret: ({ client_id, data_center, secret }: Static<typeof Rotation>) => {
      const client = knownClient(clients, client_id)
      if (data_center !== undefined) knownDataCenter(dataCenters, data_center)
      return { client_id, secret: clients.rotateSecret(client, data_center, secret) }
    },
    /** The client's grants and consents die with it; calls with its id get `invalid_client`. */
    deleteClient: ({ client_id }: Static<typeof ClientName>) => {
      clients.remove(knownClient(clients, client_id).id)
      for (const user of users.list()) user.consents.delete(client_id)
      const ending = world.grants().filter((grant) => grant.clientId === client_id && grant.state === 'live')
      for (const grant of ending) world.endGrant(grant, 'client_deleted')
      return { ended: ending.length }
    }
  }
}
