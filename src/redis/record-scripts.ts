import { OUTBOX } from './audit-scripts.ts'
import { CONNECT } from './connect-scripts.ts'
import { WAITING } from './due-scripts.ts'
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
 * 6 window ms, 7 now ms.
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
freeAt = math.max(freeAt, closedUntil)
if freeAt > 0 then return {'over', freeAt} end

local charge = ARGV[7] .. ':' .. ARGV[4] .. ':' .. ARGV[2]
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('RPUSH', KEYS[3], charge)
redis.call('PEXPIRE', KEYS[3], math.max(window, closedUntil - now))
return {'go', charge}
`

/**
 * The guarded write.
 * KEYS: 1 record, 2 lease, 3 budget, 4 grants, 5 outbox, 6 links and flows. ARGV: 1 header seen, 2 new record, 3 its
 * write id, 4 owner or '', 5 charge to give back or '', 6 close the budget until ms or '', 7 now ms, 8 number of grant
 * changes, 9 number of changes of links and flows, 10 how long an ended one is kept in ms; then for each grant its number
 * and its entry ('' removes it), then the changes of links and flows, then the outbox events.
 * Result: {'written', status byte before, 0 for none, due, outbox} | {'already', 0, due, outbox} | {'too_new'}
 * | {'lost', record or nil} | {'connect_changed', record or nil}; `due` is the earliest time at which a grant, link or
 * flow waits or nil, `outbox` the length of the outbox.
 */
export const COMMIT = `${HEADER}${CONNECT}${OUTBOX}${WAITING}
local function ended(kind, before)
  return {kind, before, waitingDue(KEYS[4], KEYS[6], ARGV[10]), redis.call('XLEN', KEYS[5])}
end
local grantsEnd = 10 + 2 * tonumber(ARGV[8])
local connectEnd = grantsEnd + 3 * tonumber(ARGV[9])

if not same then
  if string.sub(head, 10, 17) == ARGV[3] then return ended('already', 0) end
  return {'lost', redis.call('GET', KEYS[1])}
end
if tooNew then return {'too_new'} end
if not connectAsSeen(KEYS[6], grantsEnd + 1, connectEnd) then
  return {'connect_changed', redis.call('GET', KEYS[1])}
end

redis.call('SET', KEYS[1], ARGV[2])
for i = 11, grantsEnd, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', KEYS[4], ARGV[i])
  else
    redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 1])
  end
end
changeConnect(KEYS[6], grantsEnd + 1, connectEnd)
addEvents(KEYS[5], connectEnd + 1)

if ARGV[5] ~= '' then redis.call('LREM', KEYS[3], 1, ARGV[5]) end
if ARGV[6] ~= '' then
  local left = redis.call('PTTL', KEYS[3])
  redis.call('RPUSH', KEYS[3], ARGV[6] .. ':closed:' .. string.gsub(ARGV[3], '.', function (byte)
    return string.format('%02x', string.byte(byte))
  end))
  redis.call('PEXPIRE', KEYS[3], math.max(left, tonumber(ARGV[6]) - tonumber(ARGV[7]), 1))
end
if ARGV[4] ~= '' and redis.call('GET', KEYS[2]) == ARGV[4] then redis.call('DEL', KEYS[2]) end
return ended('written', string.byte(head, ${STATUS_OFFSET + 1}) or 0)
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
 * The end of a record and of what hangs on it. KEYS: 1 record, 2 outbox, then the other keys of the connection.
 * ARGV[1] header seen. Result: 'removed' | 'changed' | 'too_new' | 'outbox' (events wait for their relay).
 */
export const REMOVE = `${HEADER}
if not same then return 'changed' end
if tooNew then return 'too_new' end
if redis.call('XLEN', KEYS[2]) > 0 then return 'outbox' end
redis.call('DEL', KEYS[1], unpack(KEYS, 3))
return 'removed'
`
