const VERBS: Readonly<Record<string, string>> = {
  READ: 'Read',
  CREATE: 'Create',
  WRITE: 'Create and change',
  UPDATE: 'Change',
  DELETE: 'Delete',
  ALL: 'Read, create, change and delete'
}

/** Where the rule below would give poor English. */
const SENTENCES: ReadonlyMap<string, string> = new Map([
  ['AaaServer.profile.READ', 'Read the name and e-mail address of your Zoho account'],
  ['Desk.basic.READ', 'Read basic information about your organization in Zoho Desk'],
  ['Desk.search.READ', 'Search in Zoho Desk'],
  ['ZohoCRM.modules.READ', 'Read the records of all modules in Zoho CRM'],
  ['ZohoCRM.modules.ALL', 'Read, create, change and delete the records of all modules in Zoho CRM']
])

const PART = /^[A-Za-z][A-Za-z0-9_]*$/

/** What a scope allows, in plain words; the scope's own name is shown beside it. */
export function scopeInWords(scope: string): string {
  const known = SENTENCES.get(scope)
  if (known) return known
  const parts = scope.split('.')
  const [service = '', ...modules] = parts.slice(0, -1)
  const operation = parts.at(-1)?.toUpperCase() ?? ''
  if (modules.length === 0 || !parts.every((part) => PART.test(part))) return 'Use another permission of Zoho'
  const product = `Zoho ${service.replace(/^Zoho(?=.)/, '')}`
  const [first = '', ...rest] = modules
  if (first.toLowerCase() === 'fullaccess') return `Full access to ${product}`
  // `ZohoCRM.modules.contacts.READ`: the word in the middle says nothing.
  const named = first === 'modules' && rest.length > 0 ? rest : modules
  return `${VERBS[operation] ?? 'Use'} ${named.map(inWords).join(' ')} in ${product}`
}

function inWords(name: string): string {
  return name
    .replaceAll('_', ' ')
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
}
