/** Part of scripts. `addEvents` appends ARGV[from ..] to the outbox. */
export const OUTBOX = `
local function addEvents(key, from)
  for i = from, #ARGV do redis.call('XADD', key, '*', 'event', ARGV[i]) end
  -- An emptied outbox is about to expire: it must not take a new entry with it.
  if #ARGV >= from then redis.call('PERSIST', key) end
end
`

/**
 * Forgets relayed outbox entries. KEYS[1] outbox, ARGV[1] how long an empty outbox stays in ms, then the entry ids.
 * It stays a while because a stream that begins anew in the same millisecond would give an id twice.
 */
export const RELAYED = `
for i = 2, #ARGV do redis.call('XDEL', KEYS[1], ARGV[i]) end
if redis.call('XLEN', KEYS[1]) == 0 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 1
`

/**
 * Notes that a consumer was handed a token. KEYS[1] exposure hash, ARGV: 1 consumer, 2 generation, 3 time ms, 4 how long
 * an idle hash stays in ms. Processes write in any order: first is the lowest, last and generation the highest.
 */
export const EXPOSE = `
local first, last, generation = tonumber(ARGV[3]), tonumber(ARGV[3]), tonumber(ARGV[2])
local text = redis.call('HGET', KEYS[1], ARGV[1])
local whole, known = pcall(cjson.decode, text or '')
if whole and type(known) == 'table' then
  first = math.min(first, tonumber(known.first) or first)
  last = math.max(last, tonumber(known.last) or last)
  generation = math.max(generation, tonumber(known.generation) or generation)
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('{"first":%.0f,"last":%.0f,"generation":%.0f}', first, last, generation))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
`
