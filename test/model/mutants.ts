import type { Connection } from '../../src/domain/connection.ts'
import type { CommitInput, Committed, ConnectionStore } from '../../src/domain/ports.ts'
import type { Mutant } from './world.ts'

type Commit = ConnectionStore['commit']

const changing =
  (change: (store: ConnectionStore) => Partial<ConnectionStore>): Mutant =>
  (ports) => ({ ...ports, store: { ...ports.store, ...change(ports.store) } })

/** Writes over whatever is stored: `ours` picks the writes that do so. */
async function overwrite(
  commit: Commit,
  input: CommitInput,
  ours: (input: CommitInput) => boolean
): Promise<Committed> {
  let done = await commit(input)
  while (done.kind === 'lost' && !done.connectChanged && done.current && ours(input)) {
    const { current } = done
    done = await commit({ ...input, seen: current, next: { ...input.next, revision: current.revision + 1 } })
  }
  return done
}

const isRefresh = ({ seen, next, owner }: CommitInput) =>
  owner !== undefined && next.details.grantNumber === (seen as Connection | undefined)?.details?.grantNumber

/** Bugs that the model has to find. */
export const MUTANTS: { readonly [name: string]: Mutant } = {
  'a commit that does not look at revision and write id': changing(({ commit }) => ({
    commit: (input) => overwrite(commit, input, () => true)
  })),

  'a refresh that does not look whether the epoch is still the same': changing(({ commit }) => ({
    commit: (input) => overwrite(commit, input, isRefresh)
  })),

  'an import that is stored before Zoho has vouched for it': (ports) => ({
    ...ports,
    zoho: {
      ...ports.zoho,
      async refresh(input) {
        const reply = await ports.zoho.refresh(input)
        if (reply.kind !== 'refused') return reply
        return { kind: 'granted', accessToken: input.refreshToken, lifeMs: 3_600_000, apiDomainDiffers: false }
      }
    }
  }),

  'a revoke that does not mark its grant': changing(({ commit }) => ({
    commit: (input) =>
      commit({
        ...input,
        grants: (input.grants ?? []).map(({ number, entry }) => ({
          number,
          entry: entry && { ...entry, revoking: false }
        }))
      })
  })),

  'a lease that anybody may take': changing(({ begin }) => ({
    begin: async (input) => {
      const begun = await begin(input)
      return begun.kind === 'held' ? { kind: 'go', charge: `${input.now}:${input.share}:${input.owner}` } : begun
    }
  })),

  'a budget that nobody keeps': changing(({ begin }) => ({ begin: (input) => begin({ ...input, limit: 1000 }) })),

  'a charge that is given back for a request that left': changing(({ begin, commit }) => {
    let last = ''
    return {
      async begin(input) {
        const begun = await begin(input)
        if (begun.kind === 'go') last = begun.charge
        return begun
      },
      commit: (input) => commit({ ...input, giveBack: last })
    }
  }),

  'a new grant that forgets the one before it': changing(({ commit }) => ({
    commit: (input) => commit({ ...input, grants: (input.grants ?? []).filter(({ entry }) => entry === undefined) })
  })),

  'a sweep that settles every connection for ever': (ports) => ({
    ...ports,
    dueIndex: { ...ports.dueIndex, settle: (ref, seen) => ports.dueIndex.settle(ref, seen, undefined) }
  }),

  'a reader that takes one connection for another': changing(({ read }) => ({
    async read(ref) {
      const other = await read({ ...ref, tenant: 'acme' })
      return other ?? read(ref)
    }
  }))
}
