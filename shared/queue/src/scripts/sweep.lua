-- Removes the names of consumers that are long gone and have nothing pending.
-- KEYS  stream
-- ARGV  group, silence (ms)
-- Returns how many.
local stream, group, silence = KEYS[1], ARGV[1], tonumber(ARGV[2])
local removed = 0
for _, flat in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
  local consumer = {}
  for i = 1, #flat, 2 do
    consumer[flat[i]] = flat[i + 1]
  end
  if consumer.pending == 0 and consumer.idle >= silence then
    redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer.name)
    removed = removed + 1
  end
end
return removed
