import type { Secret } from './secret.ts'

/** One Zoho API-console client, as configured. */
export interface App {
  readonly name: string
  /** Which origin the product's calls go to. */
  readonly product: 'desk' | 'api'
  readonly clientId: string
  /** The client secret by data center key; the same for each where one is common. */
  readonly clientSecrets: ReadonlyMap<string, Secret>
  readonly scopes: readonly string[]
  /** Keys of the data centers where it may be used. */
  readonly dataCenters: readonly string[]
  /** Where a connect flow starts. */
  readonly startAt: string
}
