import { execFile } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type Browser, chromium as driver } from 'playwright-core'
import type { Teardown } from './tcp-proxy.ts'

const run = promisify(execFile)

const NAMES = ['chromium', 'chromium-browser', 'google-chrome']
const PACKAGES = ['chromium', 'fonts-dejavu-core']
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync'
]
const SAY_EVERY_MS = 5000
const LOCK_TRIES = 120

interface Test extends Teardown {
  plan(n: 0, why: string): unknown
}

/**
 * A Chromium with a fresh profile that ends with the test: from the PATH, or Debian's package where `root` may install it.
 * Undefined where it cannot be had; the test is skipped then and says why.
 */
export async function chromium(t: Test): Promise<Browser | undefined> {
  let executablePath: string | undefined
  let why = `none of ${NAMES.join(', ')} is on the PATH, and only root with apt-get can install it`
  try {
    executablePath = (await findOnPath(NAMES)) ?? (await installed())
  } catch (error) {
    why = error instanceof Error ? error.message : String(error)
  }
  if (executablePath === undefined) {
    t.plan(0, `no Chromium: ${why}`)
    return undefined
  }
  const browser = await driver.launch({ executablePath, args: FLAGS })
  t.teardown(() => browser.close())
  return browser
}

/** Installs the packages; undefined where this is not for us to do. Throws apt's last words. */
async function installed(): Promise<string | undefined> {
  if (process.getuid?.() !== 0 || (await findOnPath(['apt-get'])) === undefined) return undefined
  await aptGet('update')
  await aptGet('install', '-y', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=300', ...PACKAGES)
  return findOnPath(NAMES)
}

/** Runs apt-get and says every few seconds that it still does. Another test file may be at it: then it waits. */
async function aptGet(...args: string[]): Promise<void> {
  const command = `apt-get ${args.join(' ')}`
  const startedAt = Date.now()
  console.error(`no Chromium here yet: running ${command}`)
  const ticker = setInterval(
    () => console.error(`${command}: still running after ${Math.round((Date.now() - startedAt) / 1000)} s`),
    SAY_EVERY_MS
  )
  try {
    for (let tries = 1; ; tries++) {
      const failure = await run('apt-get', args, { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } }).then(
        () => undefined,
        (error: Error & { stderr?: string }) => error.stderr || error.message
      )
      if (failure === undefined) return
      // The time-out of apt-get covers the lock of dpkg, not that of the package lists.
      if (!failure.includes('Could not get lock') || tries === LOCK_TRIES) {
        throw new Error(`${command} failed: ${failure.trim().split('\n').slice(-3).join(' ')}`)
      }
      await wait(1000)
    }
  } finally {
    clearInterval(ticker)
  }
}

async function findOnPath(names: readonly string[]): Promise<string | undefined> {
  for (const name of names) {
    for (const folder of (process.env.PATH ?? '').split(delimiter).filter(Boolean)) {
      const path = join(folder, name)
      const runs = await access(path, constants.X_OK).then(
        () => true,
        () => false
      )
      if (runs) return path
    }
  }
  return undefined
}
