import type { Redis } from 'ioredis'
import { FORMAT, STATUS_OFFSET } from './record.ts'

/**
 * Shared opening: KEYS[1] record, ARGV[1] the 16 header bytes seen, '' when there must be no record.
 * Sets `head` (the stored bytes up to the status), `absent` and `same` (the header is still the one seen).
 */
const HEADER = `
local head = redis.call('GETRANGE', KEYS[1], 0, ${STATUS_OFFSET})
local absent = head == '' and redis.call('EXISTS', KEYS[1]) == 0
local same
if ARGV[1] == '' then same = absent else same = string.sub(head, 2, 17) == ARGV[1] end
local tooNew = not absent and string.byte(head) ~= ${FORMAT}
`

/**
 * Takes lease and charge together.
 * KEYS: 1 record, 2 lease, 3 budget. ARGV: 1 header seen, 2 owner, 3 lease TTL ms, 4 share, 5 the share's limit,
 * 6 window ms, 7 now ms, 8 '1' to pass a closed budget.
 * Result: {'go', charge} | {'changed', record or nil} | {'held', ms} | {'over', until ms} | {'too_new'}.
 * A budget entry is '<ms>:<share>:<owner>'; '<until ms>:closed:<write id>' closes the budget for every share.
 */
export const BEGIN = `${HEADER}
if not same then return {'changed', redis.call('GET', KEYS[1])} end
if tooNew then return {'too_new'} end
if redis.call('EXISTS', KEYS[2]) == 1 then
  return {'held', math.max(redis.call('PTTL', KEYS[2]), 1)}
end

local limit, window, now = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local closedUntil, own = 0, {}
for _, entry in ipairs(redis.call('LRANGE', KEYS[3], 0, -1)) do
  local time, share = string.match(entry, '^(%d+):(%a+):')
  time = tonumber(time)
  local ends = time and (share == 'closed' and time or time + window)
  if not ends or ends <= now then
    redis.call('LREM', KEYS[3], 1, entry)
  elseif share == 'closed' then
    closedUntil = math.max(closedUntil, ends)
  elseif share == ARGV[4] then
    own[#own + 1] = ends
  end
end

local freeAt = 0
if #own >= limit then
  table.sort(own)
  freeAt = own[#own - limit + 1] or now + window
end
if ARGV[8] ~= '1' then freeAt = math.max(freeAt, closedUntil) end
if freeAt > 0 then return {'over', freeAt} end

local charge = ARGV[7] .. ':' .. ARGV[4] .. ':' .. ARGV[2]
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('RPUSH', KEYS[3], charge)
redis.call('PEXPIRE', KEYS[3], math.max(window, closedUntil - now))
return {'go', charge}
`

/**
 * The guarded write.
 * KEYS: 1 record, 2 lease, 3 budget, 4 grants, 5 outbox. ARGV: 1 header seen, 2 new record, 3 its write id,
 * 4 owner or '', 5 charge to give back or '', 6 close the budget until ms or '', 7 now ms, 8 number of grant changes,
 * then for each grant its number and its entry ('' removes it), then the outbox events.
 * Result: {'written', status byte before, 0 for none} | {'already'} | {'lost', record or nil} | {'too_new'}.
 */
export const COMMIT = `${HEADER}
if not same then
  if string.sub(head, 10, 17) == ARGV[3] then return {'already'} end
  return {'lost', redis.call('GET', KEYS[1])}
end
if tooNew then return {'too_new'} end

redis.call('SET', KEYS[1], ARGV[2])
local grantsEnd = 8 + 2 * tonumber(ARGV[8])
for i = 9, grantsEnd, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', KEYS[4], ARGV[i])
  else
    redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 1])
  end
end
for i = grantsEnd + 1, #ARGV do redis.call('XADD', KEYS[5], '*', 'event', ARGV[i]) end
-- An emptied outbox is about to expire: it must not take a new entry with it.
if #ARGV > grantsEnd then redis.call('PERSIST', KEYS[5]) end

if ARGV[5] ~= '' then redis.call('LREM', KEYS[3], 1, ARGV[5]) end
if ARGV[6] ~= '' then
  local left = redis.call('PTTL', KEYS[3])
  redis.call('RPUSH', KEYS[3], ARGV[6] .. ':closed:' .. string.gsub(ARGV[3], '.', function (byte)
    return string.format('%02x', string.byte(byte))
  end))
  redis.call('PEXPIRE', KEYS[3], math.max(left, tonumber(ARGV[6]) - tonumber(ARGV[7]), 1))
end
if ARGV[4] ~= '' and redis.call('GET', KEYS[2]) == ARGV[4] then redis.call('DEL', KEYS[2]) end
return {'written', string.byte(head, ${STATUS_OFFSET + 1}) or 0}
`

/** Prolongs a lease. KEYS[1] lease, ARGV: 1 owner, 2 TTL ms. Result: 1 if it is still the owner's, else 0. */
export const RENEW = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`

/** Gives up a lease. KEYS: 1 lease, 2 budget. ARGV: 1 owner, 2 charge to give back or ''. Result: 1 if the lease was the owner's. */
export const RELEASE = `
if ARGV[2] ~= '' then redis.call('LREM', KEYS[2], 1, ARGV[2]) end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
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

/** How ioredis makes commands of the scripts; it sends the text again by itself when the server has forgotten it. */
export const SCRIPTS = {
  ztbBegin: { lua: BEGIN, numberOfKeys: 3 },
  ztbCommit: { lua: COMMIT, numberOfKeys: 5 },
  ztbRenew: { lua: RENEW, numberOfKeys: 1 },
  ztbRelease: { lua: RELEASE, numberOfKeys: 2 },
  ztbRelayed: { lua: RELAYED, numberOfKeys: 1 }
} as const

type Argument = string | Buffer | number

/** A client on which the scripts above are defined. */
export interface ScriptedRedis extends Redis {
  ztbBeginBuffer(...keysAndArguments: Argument[]): Promise<ScriptReply>
  ztbCommitBuffer(...keysAndArguments: Argument[]): Promise<ScriptReply>
  ztbRenew(...keysAndArguments: Argument[]): Promise<number>
  ztbRelease(...keysAndArguments: Argument[]): Promise<number>
  ztbRelayed(...keysAndArguments: Argument[]): Promise<number>
}

/** What `BEGIN` and `COMMIT` answer: the kind, then bytes, a number or nothing. */
export type ScriptReply = readonly [kind: Buffer, value?: Buffer | number | null]
