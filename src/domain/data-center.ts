/** One row of the closed table of hosts. All three are origins without a trailing slash. */
export interface DataCenter {
  /** Zoho's `location` value. */
  readonly key: string
  readonly accounts: string
  readonly api: string
  readonly desk: string
}

const row = (key: string, accounts: string, api: string, desk: string): DataCenter => ({
  key,
  accounts: `https://${accounts}`,
  api: `https://${api}`,
  desk: `https://${desk}`
})

/** The data centers that Zoho runs (zoho.md §2.1). Secrets go to these hosts and to no other. */
export const ZOHO_DATA_CENTERS: readonly DataCenter[] = [
  row('us', 'accounts.zoho.com', 'www.zohoapis.com', 'desk.zoho.com'),
  row('eu', 'accounts.zoho.eu', 'www.zohoapis.eu', 'desk.zoho.eu'),
  row('in', 'accounts.zoho.in', 'www.zohoapis.in', 'desk.zoho.in'),
  row('au', 'accounts.zoho.com.au', 'www.zohoapis.com.au', 'desk.zoho.com.au'),
  row('jp', 'accounts.zoho.jp', 'www.zohoapis.jp', 'desk.zoho.jp'),
  row('ca', 'accounts.zohocloud.ca', 'www.zohoapis.ca', 'desk.zohocloud.ca'),
  row('sa', 'accounts.zoho.sa', 'www.zohoapis.sa', 'desk.zoho.sa'),
  row('cn', 'accounts.zoho.com.cn', 'www.zohoapis.com.cn', 'desk.zoho.com.cn'),
  row('uk', 'accounts.zoho.uk', 'www.zohoapis.uk', 'desk.zoho.uk'),
  row('ae', 'accounts.zoho.ae', 'www.zohoapis.ae', 'desk.zoho.ae'),
  row('sg', 'accounts.zoho.sg', 'www.zohoapis.sg', 'desk.zoho.sg')
]
