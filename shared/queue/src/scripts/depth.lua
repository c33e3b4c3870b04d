-- Counts a stream at one moment.
-- KEYS  stream, dead stream
-- ARGV  group
-- Returns all entries, those delivered and not acknowledged, and the dead ones.
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1])
if pending.err and not string.find(pending.err, 'NOGROUP', 1, true) then
  return pending
end
return { redis.call('XLEN', KEYS[1]), pending[1] or 0, redis.call('XLEN', KEYS[2]) }
