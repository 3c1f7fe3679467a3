/** Names one connection: both parts are chosen by the admin, the connection id is unique in its tenant. */
export interface ConnectionRef {
  readonly tenant: string
  readonly connection: string
}

/** What a tenant or connection id may look like (`DESIGN.md` §1). No slash, so `tenant/connection` is unambiguous. */
export const ID_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$'

const ID = new RegExp(ID_PATTERN)

/** Whether `value` is a well-formed tenant or connection id. */
export function isId(value: string): boolean {
  return ID.test(value)
}

/** The one text form of a connection: index member, wake-up message, map key. */
export function refKey(ref: ConnectionRef): string {
  return `${ref.tenant}/${ref.connection}`
}

/** The inverse of `refKey`; undefined for anything that is not two ids. */
export function parseRefKey(key: string): ConnectionRef | undefined {
  const [tenant, connection, ...rest] = key.split('/')
  if (tenant === undefined || connection === undefined || rest.length > 0) return undefined
  return isId(tenant) && isId(connection) ? { tenant, connection } : undefined
}
