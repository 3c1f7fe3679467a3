import { type Button, button } from './control-button.ts'
import { grantTable, ledgerTable, tokenTable } from './control-tables.ts'
import type { Controls } from './controls.ts'
import { type Html, html } from './html.ts'
import { renderPage } from './page.ts'
import { throttledBody } from './token-answer.ts'

const REFRESH_SECONDS = 2
const MOST_USERS = 50

/** The page for people: what stands, what happened last, and the switches. */
export function controlPage(controls: Controls): string {
  const body = html`<main>
<h1>Zoho, simulated</h1>
<p class="soft">Everything here is made up and lives in memory. The buttons do what the control API does.</p>
<h2>Data centers</h2>
${dataCenters(controls)}
${faults(controls)}
<h2>Clients</h2>
${clients(controls)}
<h2>Users</h2>
${users(controls)}
<h2>Grants</h2>
${grantTable(controls.listGrants().grants)}
<h2>Live access tokens</h2>
${tokenTable(controls.listAccessTokens({ state: 'live' }).access_tokens)}
<h2>Last calls</h2>
${ledgerTable(controls.ledger().entries)}
<div class="row">${button({ control: 'clearLedger', label: 'Clear the ledger' })}</div>
</main>`
  return renderPage({ title: 'Zoho simulator', body, refreshSeconds: REFRESH_SECONDS })
}

function dataCenters(controls: Controls): Html[] {
  const knobs = controls.knobs()
  const throttle = { kind: 'raw', status: `${knobs.throttle_status}`, body: JSON.stringify(throttledBody(knobs)) }
  return Object.entries(controls.listDataCenters().data_centers).map(([key, origin]) => {
    const outage = (label: string, input: Button['input']): Html =>
      button({ control: 'setFault', label, input: { ...input, data_center: key } })
    return html`<div class="card"><strong>${key}</strong> <code>${origin}</code>
<div class="row">
${outage('Throttle tokens', throttle)}
${outage('Outage: 502', { kind: 'html_502' })}
${outage('Outage: hang', { kind: 'hang' })}
${outage('Outage: reset', { kind: 'reset' })}
${button({ control: 'clearFaults', label: 'Clear', input: { data_center: key } })}
</div></div>`
  })
}

function faults(controls: Controls): Html | undefined {
  const set = controls.listFaults().faults
  if (set.length === 0) return undefined
  const shown = set.map((fault) => {
    const { kind, data_center: where = 'everywhere', endpoint = 'token' } = fault
    return html`<code>${kind}${'status' in fault ? ` ${fault.status}` : ''}, ${where}, ${endpoint}</code>`
  })
  return html`<div class="row bad">Faults that are set: ${shown} ${button({ control: 'clearFaults', label: 'Clear all' })}</div>`
}

function clients(controls: Controls): Html[] {
  return controls.listClients().clients.map(
    ({ client_id, secrets, redirect_uris }) => html`<div class="card"><code>${client_id}</code>
<span class="soft">in ${Object.keys(secrets).join(', ')}; secrets: <a href="/list-clients">list-clients</a></span><br>
<span class="soft">${redirect_uris.length > 0 ? redirect_uris.join(', ') : 'any …/oauth/callback on loopback'}</span>
<div class="row">
${button({ control: 'rotateSecret', label: 'Rotate secret', input: { client_id } })}
${button({ control: 'deleteClient', label: 'Delete client', input: { client_id } })}
</div></div>`
  )
}

function users(controls: Controls): Html[] {
  const all = controls.listUsers().users
  const cards = all.slice(0, MOST_USERS).map(({ data_center, user, email, orgs, active }) => {
    const named = { data_center, user }
    return html`<div class="card"><strong>${user}</strong>
<span class="soft">${email} · ${data_center} · ${orgs.map(({ id }) => id).join(', ')}</span>
${active ? undefined : DEACTIVATED}
<div class="row">
${
  active
    ? button({ control: 'deactivateUser', label: 'Deactivate', input: named })
    : button({ control: 'deactivateUser', label: 'Activate', input: { ...named, active: 'true' } })
}
${button({ control: 'removeConnectedApp', label: 'Remove connected apps', input: named })}
</div></div>`
  })
  if (all.length <= MOST_USERS) return cards
  return [...cards, html`<small>The first ${MOST_USERS} of ${all.length}.</small>`]
}

const DEACTIVATED = html`<span class="bad">deactivated</span>`
