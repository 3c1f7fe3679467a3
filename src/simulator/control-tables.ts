import { button } from './control-button.ts'
import { type Html, html } from './html.ts'
import type { LedgerEntry } from './ledger.ts'
import type { showAccessToken, showGrant } from './show.ts'

const MOST_ROWS = 50

/** The newest grants. What matters most comes first: a phone shows little more. */
export function grantTable(grants: readonly ReturnType<typeof showGrant>[]): Html {
  return table(
    ['Grant', 'User', 'State', '', 'Tokens', 'Scopes', 'Made', 'Client'],
    grants,
    (grant) => html`<td><code>${grant.grant}</code></td><td>${grant.data_center}/${grant.user}</td>
<td class="${grant.state === 'live' ? '' : 'bad'}">${grant.state}</td>
<td>${grant.state === 'live' ? removal(grant) : undefined}</td><td>${grant.live_access_tokens}</td>
<td title="${grant.scopes.join(' ')}">${grant.scopes.length} (${grant.access_type})</td>
<td>${timeOf(grant.created_at_ms)}</td><td><code>${grant.client_id}</code></td>`
  )
}

/** The newest access tokens. */
export function tokenTable(tokens: readonly ReturnType<typeof showAccessToken>[]): Html {
  return table(
    ['Token', 'Grant', 'User', 'Made', 'Expires'],
    tokens,
    (token) => html`<td><code>${token.access_token}</code></td><td><code>${token.grant}</code></td>
<td>${token.data_center}/${token.user}</td><td>${timeOf(token.issued_at_ms)}</td><td>${timeOf(token.expires_at_ms)}</td>`
  )
}

/** The last calls, newest first. */
export function ledgerTable(entries: readonly LedgerEntry[]): Html {
  return table(
    ['Nr', 'Outcome', 'Status', 'Call', 'Where', 'Time', 'Code', 'Grant', 'Token'],
    entries,
    (entry) => html`<td>${entry.seq}</td><td class="${isFine(entry) ? '' : 'bad'}">${entry.fault ?? entry.outcome}</td>
<td>${entry.status ?? '…'}</td><td>${entry.method} ${entry.path} ${entry.grant_type ?? ''}</td>
<td>${entry.data_center}</td><td>${timeOf(entry.time_ms)}</td><td><code>${entry.code ?? ''}</code></td>
<td><code>${entry.refresh_token ?? ''}</code></td><td><code>${entry.access_token ?? ''}</code></td>`
  )
}

function table<Row>(heads: readonly string[], rows: readonly Row[], cellsOf: (row: Row) => Html): Html {
  if (rows.length === 0) return html`<p class="soft">None.</p>`
  const shown = rows.slice(-MOST_ROWS).reverse()
  return html`<div class="wide"><table>
<tr>${heads.map((head) => html`<th>${head}</th>`)}</tr>
${shown.map((row) => html`<tr>${cellsOf(row)}</tr>`)}
</table></div>${rows.length > MOST_ROWS ? html`<small>The last ${MOST_ROWS} of ${rows.length}.</small>` : undefined}`
}

function removal({ data_center, user, client_id }: ReturnType<typeof showGrant>): Html {
  return button({ control: 'removeConnectedApp', label: 'Remove', input: { data_center, user, client_id } })
}

function isFine({ outcome, fault }: LedgerEntry): boolean {
  return fault === null && (outcome === 'ok' || outcome === 'screen' || outcome === 'arrived')
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString().slice(11, 19)
}
