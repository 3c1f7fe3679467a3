import { accountsPage } from './accounts-answer.ts'
import type { AuthorizeRequest, PageError } from './authorize-request.ts'
import type { Answer } from './endpoint.ts'
import { type Html, html } from './html.ts'
import { renderPage } from './page.ts'
import { type User, userKey } from './users.ts'

const MOST_USERS = 100

interface Screen {
  readonly request: AuthorizeRequest
  readonly dataCenter: string
  readonly users: readonly User[]
  readonly signedIn: User | undefined
  /** Where the buttons go. */
  readonly action: string
}

/** The page that asks a person: who they are, which portal, yes or no. */
export function consentPage({ request, dataCenter, users, signedIn, action }: Screen): Answer {
  const nearness = (user: User) => Number(user === signedIn) * 2 + Number(user.dataCenter === dataCenter)
  const shown = users.toSorted((one, other) => nearness(other) - nearness(one)).slice(0, MOST_USERS)
  const body = html`<main class="narrow">
<p class="soft">Zoho Accounts, simulated · data center ${dataCenter}</p>
<h1>An app asks for access to your data</h1>
<p><code>${request.client.id}</code> would like to</p>
<ul>${request.scopes.map((scope) => html`<li><code>${scope}</code></li>`)}</ul>
<form method="post" action="${action}">
<fieldset class="card"><legend>Sign in as</legend>
${shown.map((user, at) => userChoice(user, at === 0))}
</fieldset>
<p class="row big">
<button class="main" name="decision" value="accept">Accept</button>
<button name="decision" value="reject">Reject</button>
</p>
</form>
<p><small>${lifeOf(request)}</small></p>
</main>`
  return accountsPage(200, renderPage({ title: 'Zoho Accounts (simulated)', body }), 'screen')
}

/** Zoho's own error page; its statuses other than 500 are not documented. */
export function errorPage(error: PageError): Answer {
  const body = html`<main class="narrow">
<p class="soft">Zoho Accounts, simulated</p>
<h1 class="bad">${error}</h1>
<p>Zoho shows this page instead of sending the browser back to the app. The cause is in the app's settings.</p>
</main>`
  const status = error === 'An error occurred' ? 500 : 400
  return accountsPage(status, renderPage({ title: error, body }), error)
}

function userChoice(user: User, checked: boolean): Html {
  const key = userKey(user)
  return html`<div class="card">
<label><input type="radio" name="user" value="${key}" required${checked ? CHECKED : undefined}>
<strong>${user.name}</strong> <span class="soft">${user.email} · ${user.dataCenter}</span></label>
${user.orgs.length > 1 ? portalChoice(user, key) : undefined}
</div>`
}

function portalChoice({ name, orgs }: User, key: string): Html {
  return html`<select name="${orgField(key)}" aria-label="Portal of ${name}">
${orgs.map((org) => html`<option value="${org.id}">${org.name} (${org.id})</option>`)}
</select>`
}

/** The form field that holds the portal chosen for a user. */
export function orgField(key: string): string {
  return `org:${key}`
}

const CHECKED = html` checked`

function lifeOf({ accessType }: AuthorizeRequest): string {
  return accessType === 'offline' ? 'The app may act while you are away.' : 'The app may act for the next hour.'
}
