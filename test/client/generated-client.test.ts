import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import openapiTS, { astToString } from 'openapi-typescript'
import t from 'tap'
import { createPerson } from '../helpers/person.ts'
import { openStage } from '../helpers/stage.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../../', import.meta.url))

/** What an admin would write, with the types that `openapi.yaml` gives and nothing else of ours. */
const ADMIN = `
import createClient from 'openapi-fetch'
import type { components, paths } from './broker.ts'

const [baseUrl = '', key = '', step = '', flowId = ''] = process.argv.slice(2)
const broker = createClient<paths>({ baseUrl, headers: { authorization: \`Bearer \${key}\` } })
const path = { tenant_id: 'acme', connection_id: 'desk' }

function must<T>(answer: { data?: T; error?: components['schemas']['Problem'] }): T {
  if (answer.data === undefined) throw new Error(answer.error?.code ?? 'no answer')
  return answer.data
}

const CONNECTION = '/v1/tenants/{tenant_id}/connections/{connection_id}'
const steps = {
  link: async () => {
    const body = { app: 'desk', tenant_label: 'Acme', revoke_superseded: 'later' } as const
    const link = must(await broker.POST(\`\${CONNECTION}/connect-links\`, { params: { path }, body }))
    const all = must(await broker.GET(\`\${CONNECTION}/connect-links\`, { params: { path } }))
    return { url: link.url, listed: JSON.stringify(all).includes(link.link_id) }
  },
  look: async () => {
    const flow = must(await broker.GET(\`\${CONNECTION}/connect-flows/{flow_id}\`, { params: { path: { ...path, flow_id: flowId } } }))
    const connection = must(await broker.GET(CONNECTION, { params: { path } }))
    const token = must(await broker.POST(\`\${CONNECTION}/token\`, { params: { path, query: { min_ttl_seconds: 60 } } }))
    return { flow: flow.status, status: connection.status, generation: token.generation, expires: token.expires_in > 60 }
  },
  end: async () => ({ status: must(await broker.DELETE(CONNECTION, { params: { path } })).status })
}
const chosen = Object.entries(steps).find(([name]) => name === step)?.[1]
if (!chosen) throw new Error('no such step')
console.log(JSON.stringify(await chosen()))
`

t.test('a client made from openapi.yaml alone reconnects a tenant', async (t) => {
  const stage = await openStage(t, { role: 'all', knobs: { codes_per_window: 1000 } })
  await stage.connect('desk')
  const before = (await stage.token('desk')).body.generation

  // Inside the project, so that openapi-fetch is found.
  await mkdir(join(root, '.tap'), { recursive: true })
  const folder = await mkdtemp(join(root, '.tap', 'client-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const document = await readFile(join(root, 'openapi.yaml'), 'utf8')
  await writeFile(join(folder, 'broker.ts'), astToString(await openapiTS(document)))
  await writeFile(join(folder, 'admin.ts'), ADMIN)
  const strict = {
    extends: join(root, 'tsconfig.json'),
    include: ['*.ts'],
    compilerOptions: { lib: ['es2024', 'dom'] }
  }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(strict))
  const checked = await run(join(root, 'node_modules/.bin/tsc'), ['-p', folder]).catch((error) => error)
  t.equal(checked.stdout, '', 'it type-checks without a cast')

  const admin = async (...args: string[]) => {
    const api = stage.brokers[0]?.origins.api as string
    const { stdout } = await run(process.execPath, [join(folder, 'admin.ts'), api, stage.keys.admin, ...args])
    return JSON.parse(stdout)
  }
  const link = await admin('link')
  t.equal(link.listed, true)
  stage.seen.secrets.push(link.url.split('/').at(-1))
  const person = createPerson(stage)
  const back = await person.comeBack(await person.decide(await person.press(link.url)))
  const flowId = new URL(back.headers.location as string, pathToFileURL('/')).pathname.split('/').at(-1) as string
  const after = await admin('look', flowId)
  t.match(after, { flow: 'done', status: 'active', expires: true })
  t.ok(after.generation > before, 'the new grant serves')
  t.match(await admin('end'), { status: /^disconnect/ })
})
