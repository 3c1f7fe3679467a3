/**
 * Part of scripts. `waitingDue(grants, connect, keepEndedMs)` is the earliest time at which something in the two hashes
 * wants work, false for never: a grant's `due`, a running flow's deadline, the removal of a link or flow that ended.
 */
export const WAITING = `
local function waitingDue(grants, connect, keepEndedMs)
  local due = false
  local function wants(time)
    if type(time) == 'number' and (not due or time < due) then due = time end
  end
  local function ended(time)
    if type(time) == 'number' then wants(time + tonumber(keepEndedMs)) end
  end
  local function each(key, look)
    local entries = redis.call('HGETALL', key)
    for i = 1, #entries, 2 do
      local whole, item = pcall(cjson.decode, entries[i + 1])
      if whole and type(item) == 'table' then look(item, string.sub(entries[i], 1, 5)) end
    end
  end

  each(grants, function (grant) wants(grant.due) end)
  each(connect, function (item, kind)
    if kind == 'link:' then
      ended(type(item.revokedAt) == 'number' and item.revokedAt or item.expiresAt)
    elseif item.status == 'done' or item.status == 'failed' then
      ended(item.endedAt)
    else
      wants(item.deadline)
    end
  end)
  return due
end
`

/**
 * What a true due time is computed from. KEYS: 1 record, 2 grants, 3 links and flows, 4 outbox. ARGV[1] how long an ended
 * link or flow is kept in ms. Result: {1 if there is a record, its header, earliest time or nil, length of the outbox}.
 */
export const LOOK = `${WAITING}
return {
  redis.call('EXISTS', KEYS[1]),
  redis.call('GETRANGE', KEYS[1], 1, 16),
  waitingDue(KEYS[2], KEYS[3], ARGV[1]),
  redis.call('XLEN', KEYS[4])
}
`

/** Claims what is due in one shard. KEYS[1] due zset, ARGV: 1 now ms, 2 most members, 3 hidden until ms. Result: members, nearest first. */
export const CLAIM = `
local members = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, member in ipairs(members) do redis.call('ZADD', KEYS[1], 'XX', ARGV[3], member) end
return members
`
