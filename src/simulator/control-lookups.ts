import type { Client, Clients } from './clients.ts'
import type { User, Users } from './users.ts'

/** A control was asked for something that does not exist; the message is a sentence for the caller. */
export class ControlError extends Error {}

/** The data center of that key. Throws ControlError. */
export function knownDataCenter(dataCenters: readonly string[], key: string): string {
  if (dataCenters.includes(key)) return key
  throw new ControlError(`There is no data center ${key}; there are ${dataCenters.join(', ')}.`)
}

/** The client of that id, without one the first. Throws ControlError. */
export function knownClient(clients: Clients, id = clients.list()[0]?.id): Client {
  const client = id === undefined ? undefined : clients.get(id)
  if (client) return client
  throw new ControlError(id === undefined ? 'There is no client.' : `There is no client ${id}.`)
}

/** The user of that name. Throws ControlError. */
export function knownUser(users: Users, dataCenter: string, name: string): User {
  const user = users.find(dataCenter, name)
  if (user) return user
  throw new ControlError(`There is no user ${name} in ${dataCenter}.`)
}

/** True for rows in which every member of the filter is equal. */
export function fits<T extends object>(filter: Partial<Record<string, unknown>>): (row: T) => boolean {
  return (row) => Object.entries(filter).every(([name, value]) => row[name as keyof T] === value)
}
