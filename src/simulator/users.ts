import { randomNumericId } from './token-format.ts'

/** A portal: what Desk calls an organization. */
export interface Org {
  readonly id: string
  readonly name: string
}

/** A Zoho account; it lives in one data center. */
export interface User {
  readonly name: string
  readonly dataCenter: string
  readonly zuid: string
  readonly email: string
  /** At least one. */
  readonly orgs: Org[]
  /** Client id → the scopes that the user once agreed to; what a revoke ends stays agreed to. */
  readonly consents: Map<string, Set<string>>
  active: boolean
}

/** What is known of a new user; the rest is made up. */
export interface NewUser {
  readonly dataCenter: string
  readonly name: string
  readonly email?: string | undefined
  readonly orgs?: readonly { readonly id?: string | undefined; readonly name?: string | undefined }[] | undefined
}

/** The users of a simulator. */
export type Users = ReturnType<typeof createUsers>

/** The accounts of all data centers; the same name may live in several, as different people. */
export function createUsers() {
  const users = new Map<string, User>()

  function add({ dataCenter, name, email, orgs = [{}] }: NewUser): User {
    const user: User = {
      name,
      dataCenter,
      zuid: randomNumericId(),
      email: email ?? (name.includes('@') ? name : `${name.replace(/[^\p{L}\p{N}]+/gu, '.')}@example.com`),
      orgs: orgs.map(({ id, name: orgName }) => newOrg(name, id, orgName)),
      consents: new Map(),
      active: true
    }
    users.set(userKey(user), user)
    return user
  }

  const find = (dataCenter: string, name: string): User | undefined => users.get(userKey({ dataCenter, name }))

  return {
    add,
    find,
    /** The user of that name in that data center, made at the first mention. */
    ensure: (dataCenter: string, name: string): User => find(dataCenter, name) ?? add({ dataCenter, name }),
    /** By what `userKey` gives. */
    byKey: (key: string): User | undefined => users.get(key),
    list: (): User[] => [...users.values()]
  }
}

/** `us/ada`: names a user in forms, cookies and limits. */
export function userKey({ dataCenter, name }: Pick<User, 'dataCenter' | 'name'>): string {
  return `${dataCenter}/${name}`
}

/** The user's portal of that id, made at the first mention; without an id the first one. */
export function ensureOrg(user: User, id: string | undefined): Org {
  const known = user.orgs.find((org) => id === undefined || org.id === id)
  if (known) return known
  const org = newOrg(user.name, id)
  user.orgs.push(org)
  return org
}

/** True if the user has agreed to all of these scopes for this client before. */
export function hasConsented(user: User, clientId: string, scopes: readonly string[]): boolean {
  const agreed = user.consents.get(clientId)
  return agreed !== undefined && scopes.every((scope) => agreed.has(scope))
}

/** Keeps that the user agreed; earlier scopes stay agreed to. */
export function recordConsent(user: User, clientId: string, scopes: readonly string[]): void {
  user.consents.set(clientId, new Set([...(user.consents.get(clientId) ?? []), ...scopes]))
}

function newOrg(owner: string, id = randomNumericId(), name = `Company of ${owner}`): Org {
  return { id, name }
}
