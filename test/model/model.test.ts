import t from 'tap'
import { testRedis } from '../helpers/redis.ts'
import { MUTANTS } from './mutants.ts'
import { checkModel, openLanes } from './run.ts'

/** Runs of the model; `MODEL_RUNS` for more, `MODEL_SEED` for others. */
const RUNS = Number(process.env.MODEL_RUNS ?? 120)
const SEED = Number(process.env.MODEL_SEED ?? 20_261_124)
const MUTANT_RUNS = 200
const LANES = 8

const { url } = await testRedis(t)
const lanes = await openLanes(t, url, LANES)

t.test('whatever happens in whatever order, every promise is kept', { timeout: 0 }, async (t) => {
  t.equal(await checkModel(lanes, { runs: RUNS, seed: SEED, shrink: true }), undefined, `seed ${SEED}, ${RUNS} runs`)
})

t.test('the model can fail', { timeout: 0 }, async (t) => {
  for (const [name, mutant] of Object.entries(MUTANTS)) {
    t.ok(await checkModel(lanes, { runs: MUTANT_RUNS, seed: SEED, mutant }), `it finds ${name}`)
  }
})
