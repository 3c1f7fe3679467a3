const DESK = [
  ...['tickets', 'contacts', 'accounts', 'tasks', 'calls', 'events', 'activities', 'products', 'articles'],
  ...['basic', 'settings', 'search', 'agents', 'departments', 'organization', 'webhooks', 'community']
]
const CRM = ['users', 'org', 'settings', 'modules', 'bulk', 'coql', 'notifications']
const OPERATIONS = ['READ', 'WRITE', 'CREATE', 'UPDATE', 'DELETE', 'ALL']

const product = (name: string, modules: readonly string[]) =>
  modules.flatMap((module) => OPERATIONS.map((operation) => `${name}.${module}.${operation}`))

/** Scopes that Zoho knows unless told otherwise: Desk (zoho.md §7), the commonest of CRM, and the own profile. */
export const KNOWN_SCOPES: readonly string[] = [
  ...product('Desk', DESK),
  ...product('ZohoCRM', CRM),
  'AaaServer.profile.READ'
]

// The accounts server's own scopes are seen in any case (zoho.md §1.7).
function scopeKey(scope: string): string {
  return /^aaaserver\./i.test(scope) ? scope.toLowerCase() : scope
}

/** True if `scope` is among `scopes`. */
export function includesScope(scopes: readonly string[], scope: string): boolean {
  return scopes.some((one) => scopeKey(one) === scopeKey(scope))
}
