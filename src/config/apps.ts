import type { App } from '../domain/app.ts'
import { type DataCenter, ZOHO_DATA_CENTERS } from '../domain/data-center.ts'
import { Secret } from '../domain/secret.ts'
import type { Faults, Path } from './faults.ts'
import type { Settings } from './schema.ts'

type AppSettings = Settings['apps'][string]

/** Zoho's table with the configured rows in place of theirs, or added. */
export function dataCenterTable(settings: Settings): Map<string, DataCenter> {
  const table = new Map(ZOHO_DATA_CENTERS.map((row) => [row.key, row]))
  for (const [key, { accounts, api, desk }] of Object.entries(settings.data_centers)) {
    table.set(key, { key, accounts: originOf(accounts), api: originOf(api), desk: originOf(desk) })
  }
  return table
}

/** Reports apps whose data centers, start and secrets do not fit together. */
export function checkApps(settings: Settings, faults: Faults): void {
  const known = [...ZOHO_DATA_CENTERS.map(({ key }) => key), ...Object.keys(settings.data_centers ?? {})]
  for (const [name, app] of Object.entries(settings.apps ?? {})) {
    if (app === undefined) continue
    checkDataCenters(app, ['apps', name], known, faults)
    checkSecrets(app, ['apps', name], known, faults)
  }
}

/** The app that a sound configuration describes. */
export function buildApp(name: string, settings: AppSettings, table: ReadonlyMap<string, DataCenter>): App {
  const dataCenters = usedDataCenters(settings, [...table.keys()])
  return {
    name,
    product: settings.product,
    clientId: settings.client_id,
    clientSecrets: new Map(dataCenters.map((key) => [key, new Secret(secretOf(settings, key) ?? '')])),
    scopes: settings.scopes,
    dataCenters,
    startAt: settings.start_at ?? (dataCenters.includes('us') ? 'us' : (dataCenters[0] ?? ''))
  }
}

function checkDataCenters(app: AppSettings, path: Path, known: string[], faults: Faults): void {
  const listPath = [...path, 'data_centers']
  const startPath = [...path, 'start_at']
  for (const [i, key] of (app.data_centers ?? []).entries()) {
    const itemPath = [...listPath, i]
    if (faults.clean(itemPath) && !known.includes(key)) {
      faults.add(itemPath, `is not in the table of data centers (${known.join(', ')})`)
    }
  }
  if (app.start_at === undefined || !faults.clean(listPath, startPath)) return
  if (!usedDataCenters(app, known).includes(app.start_at)) faults.add(startPath, 'is not a data center of this app')
}

function checkSecrets(app: AppSettings, path: Path, known: string[], faults: Faults): void {
  const one = [...path, 'client_secret']
  const many = [...path, 'client_secrets']
  if (!faults.clean(one, many)) return
  if (app.client_secrets === undefined) {
    if (app.client_secret === undefined) faults.add(one, 'is missing (or give client_secrets)')
    return
  }
  if (app.client_secret !== undefined) {
    faults.add(many, 'stands beside client_secret: use one of the two')
    return
  }
  for (const key of Object.keys(app.client_secrets)) {
    if (!known.includes(key)) faults.add([...many, key], 'is not in the table of data centers')
  }
  if (!faults.clean([...path, 'data_centers'])) return
  const lacking = usedDataCenters(app, known).filter((key) => secretOf(app, key) === undefined)
  if (lacking.length > 0) faults.add(many, `lacks ${lacking.join(', ')}: add them or name the app's data_centers`)
}

function usedDataCenters(app: AppSettings, known: readonly string[]): readonly string[] {
  return app.data_centers ?? [...new Set(known)]
}

function secretOf(app: AppSettings, key: string): string | undefined {
  if (!app.client_secrets) return app.client_secret
  return Object.hasOwn(app.client_secrets, key) ? app.client_secrets[key] : undefined
}

function originOf(text: string): string {
  return new URL(text).origin
}
