-- Ends entries: finished ones are acknowledged and deleted, unstarted ones go back to the end of
-- the stream, hopeless ones move to the dead stream. Safe to repeat: an entry that is no longer
-- pending is left alone.
-- KEYS  stream, dead stream
-- ARGV  group, cap of the dead stream, number of finished, their ids, number of unstarted, their
--       ids, then for each hopeless entry: id, deliveries, reason, body
-- Returns the ids that could not be moved to the dead stream (out of memory); they stay pending.
local stream, dead, group, cap = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local at = 3

local finished = tonumber(ARGV[at])
if finished > 0 then
  redis.call('XACK', stream, group, unpack(ARGV, at + 1, at + finished))
  redis.call('XDEL', stream, unpack(ARGV, at + 1, at + finished))
end
at = at + 1 + finished

local unstarted = tonumber(ARGV[at])
for i = at + 1, at + unstarted do
  local entry = redis.call('XRANGE', stream, ARGV[i], ARGV[i])[1]
  if redis.call('XACK', stream, group, ARGV[i]) == 1 and entry then
    redis.call('XADD', stream, '*', unpack(entry[2]))
    redis.call('XDEL', stream, ARGV[i])
  end
end
at = at + 1 + unstarted

local refused = {}
for i = at, #ARGV, 4 do
  local id = ARGV[i]
  if #redis.call('XPENDING', stream, group, id, id, 1) == 1 then
    local buried = redis.pcall('XADD', dead, 'MAXLEN', '~', cap, '*', 'entry', id,
      'deliveries', ARGV[i + 1], 'reason', ARGV[i + 2], 'body', ARGV[i + 3])
    if type(buried) == 'table' and buried.err then
      refused[#refused + 1] = id
    else
      redis.call('XACK', stream, group, id)
      redis.call('XDEL', stream, id)
    end
  end
end
return refused
