import { readFile } from 'node:fs/promises'

/** The version in package.json; it stands two levels above, in the sources and in the built program alike. */
export async function version(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8')
  return String(JSON.parse(text).version)
}
