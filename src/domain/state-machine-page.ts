import { type ConnectionEvent, type Effect, EVENTS, type Outcome, STATUSES, TABLE } from './connection.ts'

const EVENT_MEANINGS: { readonly [E in ConnectionEvent]: string } = {
  issue: 'a service asks for a token, or says that one was rejected',
  forced_refresh: 'an admin asks for a refresh now',
  link: 'an admin makes a connect link',
  grant_stored: 'a consent, a confirmation or an import brings a grant',
  quarantine: 'an admin stops or resumes hand-outs',
  disconnect: 'an admin ends the connection',
  refresh_answered: 'Zoho answered a refresh, and epoch and generation are still those seen before it'
}

const EFFECT_MEANINGS: { readonly [E in Effect]: string } = {
  serve: 'hand out the token',
  refresh_if_needed: 'refresh if the token is too old',
  refresh_once: 'one refresh, whatever the back-off; never past the budget',
  create_link: 'create the link',
  store_grant: 'store the grant',
  supersede_old_grant: 'the old grant waits for its revoke',
  keep_waiting_revokes: 'what waits for its revoke goes on',
  set_quarantine_flag: 'set or clear the flag `quarantined`',
  end_links_flows_candidates: 'end links, flows and candidates',
  revoke_current_grant: 'the current grant is revoked now',
  store_access_or_fate: 'store the token, or what went wrong'
}

/** Changes of status that follow from what the table's effects come to. */
const CONSEQUENCES: readonly (readonly [from: string, to: string, why: string])[] = [
  ['active', 'reconnect_required', 'grant refused twice, 60 s apart'],
  ['pending', 'disconnecting', 'disconnect, with a candidate to revoke'],
  ['disconnecting', 'disconnected', 'last grant revoked or given up'],
  ['disconnected', '[*]', 'purged, or after 90 days'],
  ['pending', '[*]', '7 days without a usable link']
]

const FLOW_STEPS: readonly (readonly [from: string, to: string, why: string])[] = [
  ['[*]', 'open', 'the person presses the button'],
  ['open', 'exchanging', 'Zoho sent a code, and everything fits'],
  ['open', 'failed', 'refused at Zoho, link spent, connection changed, or 10 minutes over'],
  ['exchanging', 'done', 'grant stored'],
  ['exchanging', 'awaiting_confirmation', 'grant stored as a candidate'],
  ['exchanging', 'failed', 'no grant, or outcome unknown after 60 s'],
  ['awaiting_confirmation', 'done', 'confirmed by the right user'],
  ['awaiting_confirmation', 'failed', 'another user, a newer candidate, disconnected, or 10 minutes over']
]

const INTRODUCTION = `# The life of a connection

<!-- Generated from src/domain/connection.ts. Do not edit: run \`UPDATE=1 node test/domain/state-machine.test.ts\`. -->

One table in \`src/domain/connection.ts\` says what may happen to a connection. This page prints it.
`

const FLAGS = `## Beside the status

- \`quarantined\`: nothing is handed out (\`ERR_QUARANTINED\`) and nothing is refreshed by itself; the grant is kept, and
  lifting the quarantine makes the connection due at once. A new grant leaves the flag, a disconnect clears it.
- \`purge\`: the tombstone is forgotten as soon as everything is revoked. A new grant clears it.
- Failure data (code, count, since, next try): why the last refresh brought no token. A success clears it. It is no
  status: a connection with failures is \`active\`, and its token is handed out while it lives.
- \`epoch\` rises with a connect, a reconnect and a disconnect; \`generation\` with every access token. An answer of Zoho
  is stored only while both are those that were seen before the call.
- Grants that are not current wait beside the record: a \`candidate\` for its confirmation, a \`superseded\` one for its
  revoke. Nothing is handed out from them. Once a revoke has begun, its token cannot become current again.
`

/** The text of `docs/state-machine.md`. */
export function stateMachinePage(): string {
  const columns = ['absent', ...STATUSES] as const
  const rows = EVENTS.map((event) => row([`\`${event}\``, ...columns.map((status) => cell(TABLE[event][status]))]))
  const meanings = EVENTS.map((event) => `- \`${event}\`: ${EVENT_MEANINGS[event]}.`)
  return [
    INTRODUCTION,
    `## What each event does in each status\n\n${meanings.join('\n')}\n`,
    [
      row(['event', ...columns.map((status) => `\`${status}\``)]),
      row(['---', ...columns.map(() => '---')]),
      ...rows
    ].join('\n'),
    '\n`absent` means that there is no record. `dropped`: the answer is not stored, and the event is counted.\n',
    `## Changes of status\n\n${diagram([...changes(), ...CONSEQUENCES])}\n`,
    'An answered refresh that succeeds makes `reconnect_required` `active` again; only a forced refresh tries that.\n',
    FLAGS,
    `## A connect flow\n\n${diagram(FLOW_STEPS)}\n`,
    'A disconnect ends every flow that is not `done` or `failed`. Ended flows are kept for 24 hours.\n'
  ].join('\n')
}

function cell(outcome: Outcome): string {
  if ('refuse' in outcome) return `\`${outcome.refuse}\``
  if ('drop' in outcome) return 'dropped'
  const effects = outcome.effects.map((effect) => EFFECT_MEANINGS[effect])
  const said = [...(outcome.to === 'same' ? [] : [`→ \`${outcome.to}\``]), ...effects]
  return said.length > 0 ? said.join('; ') : 'nothing new'
}

/** Every change of status in the table, with the events that make it. */
function changes(): [from: string, to: string, why: string][] {
  const events = new Map<string, ConnectionEvent[]>()
  for (const event of EVENTS) {
    for (const from of ['absent', ...STATUSES] as const) {
      const outcome = TABLE[event][from]
      if (!('to' in outcome) || outcome.to === 'same' || outcome.to === from) continue
      const change = `${from === 'absent' ? '[*]' : from} ${outcome.to}`
      events.set(change, [...(events.get(change) ?? []), event])
    }
  }
  return [...events].map(([change, by]) => {
    const [from = '', to = ''] = change.split(' ')
    return [from, to, by.join(', ')]
  })
}

function diagram(arrows: readonly (readonly [from: string, to: string, why: string])[]): string {
  const lines = arrows.map(([from, to, why]) => `  ${from} --> ${to}: ${why}`)
  return `\`\`\`mermaid\nstateDiagram-v2\n${lines.join('\n')}\n\`\`\``
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}
