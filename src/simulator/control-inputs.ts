import { type TSchema, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { FAULTS } from './faults.ts'
import { Hold } from './gate.ts'
import { Knobs } from './knobs.ts'
import { LedgerFilter } from './ledger.ts'

const text = Type.String({ minLength: 1 })
const closed = { additionalProperties: false }

/** Names one user's permission for one client. */
export const AppOfUser = Type.Object({ data_center: text, user: text, client_id: Type.Optional(text) }, closed)

/** Everything has a default but the data center: the only client, a new user, the user's portal, all scopes. */
export const NewGrantInput = Type.Object(
  {
    data_center: text,
    client_id: Type.Optional(text),
    user: Type.Optional(text),
    org_id: Type.Optional(text),
    scopes: Type.Optional(Type.Array(text))
  },
  closed
)

/** A portal or an e-mail address that is not given is made up. */
export const NewUserInput = Type.Object(
  {
    data_center: text,
    name: text,
    email: Type.Optional(text),
    orgs: Type.Optional(
      Type.Array(Type.Object({ id: Type.Optional(text), name: Type.Optional(text) }, closed), { minItems: 1 })
    )
  },
  closed
)

/** What a person does on the consent page; user and portal are made at the first mention. Default: accept. */
export const ConsentInput = Type.Object(
  {
    /** The whole URL to which the app sends the browser. */
    authorize_url: text,
    user: text,
    /** Where the user lives; default: the data center of the URL. */
    data_center: Type.Optional(text),
    org_id: Type.Optional(text),
    decision: Type.Optional(Type.Union([Type.Literal('accept'), Type.Literal('reject')]))
  },
  closed
)

/** As `createGrant`, but for a code that is still to be exchanged. Zoho's console offers 3 to 10 minutes; default 3. */
export const SelfClientInput = Type.Object(
  { ...NewGrantInput.properties, life_ms: Type.Optional(Type.Integer({ minimum: 1 })) },
  closed
)

/** Every member that is given must be equal; `grant` is the hash of a refresh token. */
export const TokenFilter = Type.Object(
  {
    data_center: Type.Optional(text),
    client_id: Type.Optional(text),
    user: Type.Optional(text),
    grant: Type.Optional(text),
    state: Type.Optional(text)
  },
  closed
)

/** Without any secret one is made up; `secrets` enables only the data centers that it names. */
export const NewClientInput = Type.Object(
  {
    client_id: text,
    secret: Type.Optional(text),
    secrets: Type.Optional(Type.Record(text, text)),
    redirect_uris: Type.Optional(Type.Array(text))
  },
  closed
)

/** Switches a user off, or with `active: true` on again. */
export const UserState = Type.Object({ data_center: text, user: text, active: Type.Optional(Type.Boolean()) }, closed)
/** An empty list: any callback on loopback. */
export const RedirectUris = Type.Object({ client_id: text, redirect_uris: Type.Array(text) }, closed)
/** Names a client. */
export const ClientName = Type.Object({ client_id: text }, closed)
/** Without `data_center` everywhere; without `secret` one is made up. */
export const Rotation = Type.Object(
  { client_id: text, data_center: Type.Optional(text), secret: Type.Optional(text) },
  closed
)
/** One data center, or without it all. */
export const Scope = Type.Object({ data_center: Type.Optional(text) }, closed)
/** Without `count` the gate opens for good; with it the first n waiters go. */
export const Release = Type.Object(
  { data_center: Type.Optional(text), count: Type.Optional(Type.Integer({ minimum: 1 })) },
  closed
)
/** The knobs to change; the others stay. */
export const KnobChange = Type.Partial(Knobs, closed)
const Nothing = Type.Object({}, closed)

/** What each control takes. */
export const CONTROL_INPUTS = {
  createGrant: NewGrantInput,
  createSelfClientCode: SelfClientInput,
  listGrants: TokenFilter,
  listAccessTokens: TokenFilter,
  createUser: NewUserInput,
  listUsers: Nothing,
  consent: ConsentInput,
  removeConnectedApp: AppOfUser,
  deactivateUser: UserState,
  createClient: NewClientInput,
  listClients: Nothing,
  setRedirectUris: RedirectUris,
  rotateSecret: Rotation,
  deleteClient: ClientName,
  listDataCenters: Nothing,
  knobs: Nothing,
  setKnobs: KnobChange,
  setFault: Type.Union(Object.values(FAULTS)),
  listFaults: Nothing,
  clearFaults: Scope,
  hold: Hold,
  release: Release,
  waiters: Scope,
  ledger: LedgerFilter,
  countCalls: LedgerFilter,
  clearLedger: Nothing,
  secrets: Nothing
} satisfies Record<string, TSchema>

/** The name of a control. */
export type ControlName = keyof typeof CONTROL_INPUTS

/** One sentence that says what is wrong with the input of a control; undefined when nothing is. */
export function faultOf(name: ControlName, input: unknown): string | undefined {
  const schema = schemaFor(name, input)
  if (!schema) return `kind: must be one of ${Object.keys(FAULTS).join(', ')}.`
  const error = Value.Errors(schema, input).First()
  return error && `${error.path.slice(1).replaceAll('/', '.') || 'body'}: ${error.message.toLowerCase()}.`
}

/** A form's texts as the numbers and booleans that the control wants; what does not fit stays a text. */
export function inputOfForm(name: ControlName, form: URLSearchParams): unknown {
  const input = Object.fromEntries(form)
  const schema = schemaFor(name, input)
  return schema ? Value.Convert(schema, input) : input
}

/** The schema of the one kind of fault, so that a message speaks of its members. */
function schemaFor(name: ControlName, input: unknown): TSchema | undefined {
  if (name !== 'setFault') return CONTROL_INPUTS[name]
  const kind = (input as { kind?: unknown } | null)?.kind
  return typeof kind === 'string' && Object.hasOwn(FAULTS, kind) ? FAULTS[kind as keyof typeof FAULTS] : undefined
}
