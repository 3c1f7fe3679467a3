import { OUTBOX } from './audit-scripts.ts'
import { WAITING } from './due-scripts.ts'

/**
 * Part of scripts. ARGV[from .. to] holds changes of links and flows in threes: field, text seen ('' when there must be
 * none), new text ('' removes it). `connectAsSeen` tells whether all are as seen, `changeConnect` makes the changes.
 */
export const CONNECT = `
local function connectAsSeen(key, from, to)
  for i = from, to, 3 do
    if (redis.call('HGET', key, ARGV[i]) or '') ~= ARGV[i + 1] then return false end
  end
  return true
end
local function changeConnect(key, from, to)
  for i = from, to, 3 do
    if ARGV[i + 2] == '' then redis.call('HDEL', key, ARGV[i]) else redis.call('HSET', key, ARGV[i], ARGV[i + 2]) end
  end
end
`

/**
 * Changes links and flows, all or none. KEYS: 1 links and flows, 2 grants, 3 outbox. ARGV: 1 how long an ended one is
 * kept in ms, 2 number of changes, then the changes, then the outbox events.
 * Result: {'changed', 0, earliest time at which something waits or nil, length of the outbox} | {'differs'}.
 */
export const CHANGE = `${CONNECT}${OUTBOX}${WAITING}
local connectEnd = 2 + 3 * tonumber(ARGV[2])
if not connectAsSeen(KEYS[1], 3, connectEnd) then return {'differs'} end
changeConnect(KEYS[1], 3, connectEnd)
addEvents(KEYS[3], connectEnd + 1)
return {'changed', 0, waitingDue(KEYS[2], KEYS[1], ARGV[1]), redis.call('XLEN', KEYS[3])}
`
