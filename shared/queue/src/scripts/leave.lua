-- Removes a consumer that stops. Entries still pending under its name are ones it never received
-- (the reply was lost): they go back to the end of the stream first, as removing the consumer would
-- forget them.
-- KEYS  stream
-- ARGV  group, consumer, how many entries to hand back at most
-- Returns 1 when the consumer is gone, 0 when it still has entries.
local stream, group, consumer = KEYS[1], ARGV[1], ARGV[2]
for _, pending in ipairs(redis.call('XPENDING', stream, group, '-', '+', ARGV[3], consumer)) do
  local id = pending[1]
  local entry = redis.call('XRANGE', stream, id, id)[1]
  redis.call('XACK', stream, group, id)
  if entry then
    redis.call('XADD', stream, '*', unpack(entry[2]))
    redis.call('XDEL', stream, id)
  end
end
if #redis.call('XPENDING', stream, group, '-', '+', 1, consumer) > 0 then
  return 0
end
redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer)
return 1
