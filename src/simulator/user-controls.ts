import type { Static } from '@sinclair/typebox'
import { AUTHORIZE_PATH, DECISION_PATH } from './authorize-endpoint.ts'
import type { Call } from './call.ts'
import { orgField } from './consent-page.ts'
import type { AppOfUser, ConsentInput, NewUserInput, UserState } from './control-inputs.ts'
import { ControlError, knownDataCenter, knownUser } from './control-lookups.ts'
import type { Answer, Route } from './endpoint.ts'
import { arrivalOf, type Ledger, recordWork } from './ledger.ts'
import { showUser } from './show.ts'
import { cookieOf } from './sign-in.ts'
import { ensureOrg, type User, type Users, userKey } from './users.ts'
import type { World } from './world.ts'

interface Deps {
  readonly dataCenters: readonly string[]
  readonly origins: Readonly<Record<string, string>>
  readonly routes: ReadonlyMap<string, Route>
  readonly ledger: Ledger
  readonly world: World
  readonly users: Users
}

/** What people do: they exist, consent, remove apps, leave. */
export function createUserControls(deps: Deps) {
  const { world, users, dataCenters } = deps

  return {
    createUser: ({ data_center, ...input }: Static<typeof NewUserInput>) => {
      const dataCenter = knownDataCenter(dataCenters, data_center)
      if (users.find(dataCenter, input.name)) throw new ControlError(`There is a user ${input.name} already.`)
      return showUser(users.add({ dataCenter, ...input }))
    },
    listUsers: () => ({ users: users.list().map(showUser) }),
    consent: createConsentControl(deps),
    /** The user removes the app at accounts.zoho.com: all their grants for it die (for every app without `client_id`). */
    removeConnectedApp: ({ data_center, user: name, client_id }: Static<typeof AppOfUser>) => {
      const user = knownUser(users, knownDataCenter(dataCenters, data_center), name)
      const isMeant = (id: string) => client_id === undefined || id === client_id
      for (const id of user.consents.keys()) if (isMeant(id)) user.consents.delete(id)
      const ending = world.grants().filter((grant) => grant.user === user && grant.state === 'live')
      const chosen = ending.filter((grant) => isMeant(grant.clientId))
      for (const grant of chosen) world.endGrant(grant, 'app_removed')
      return { ended: chosen.length }
    },
    /** `active: true` brings the user back. */
    deactivateUser: ({ data_center, user: name, active = false }: Static<typeof UserState>) => {
      const user = knownUser(users, knownDataCenter(dataCenters, data_center), name)
      user.active = active
      return { user: user.name, active }
    }
  }
}

/** Opens the authorize URL and presses a button, by the very endpoints that a browser meets, but without faults and the gate. */
function createConsentControl({ dataCenters, origins, routes, ledger, users }: Deps) {
  function visit(call: Call): Answer {
    const entry = ledger.arrive(arrivalOf(call))
    const answer = routes.get(call.path)?.handle(call)
    if (!answer) throw new ControlError(`Nothing stands at ${call.path}.`)
    recordWork(entry, answer)
    entry.status = answer.status
    return answer
  }

  return (input: Static<typeof ConsentInput>) => {
    const url = URL.parse(input.authorize_url)
    const asked = Object.keys(origins).find((key) => origins[key] === url?.origin)
    if (!url || asked === undefined || url.pathname !== AUTHORIZE_PATH) {
      throw new ControlError(`authorize_url: must be ${AUTHORIZE_PATH} of a data center.`)
    }
    const user = users.ensure(knownDataCenter(dataCenters, input.data_center ?? asked), input.user)
    if (!user.active) throw new ControlError(`The user ${userKey(user)} is deactivated.`)
    const org = ensureOrg(user, input.org_id)
    const query = firstOfEach(url.searchParams)
    const base = { dataCenter: asked, headers: { cookie: cookieOf(user) }, placement: ['query'] }
    const page = visit({ ...base, method: 'GET', path: AUTHORIZE_PATH, parameters: query })
    if (page.outcome !== 'screen') return endOf(page, user, false)
    const decision = input.decision ?? 'accept'
    const form = new Map([...query, ['user', userKey(user)], [orgField(userKey(user)), org.id], ['decision', decision]])
    return endOf(visit({ ...base, method: 'POST', path: DECISION_PATH, parameters: form }), user, true)
  }
}

/** `screen` is false when Zoho asked nothing, whatever the decision was. */
function endOf({ headers, outcome }: Answer, user: User, screen: boolean) {
  if (typeof headers.location !== 'string') throw new ControlError(`Zoho shows a page instead: ${outcome}.`)
  return { location: headers.location, screen, data_center: user.dataCenter }
}

function firstOfEach(pairs: URLSearchParams): Map<string, string> {
  return new Map([...pairs].reverse())
}
