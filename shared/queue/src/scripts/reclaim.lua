-- Takes over entries whose lease has run out, and moves those delivered too often to the dead
-- stream.
-- KEYS  stream, dead stream
-- ARGV  group, consumer, lease (ms), cursor, count, delivery limit, cap of the dead stream
-- Returns the next cursor, the entries taken over as {id, deliveries, fields}, and the ids of those
-- given up.
local stream, dead, group, consumer = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local limit, cap = tonumber(ARGV[6]), ARGV[7]

local reply = redis.call('XAUTOCLAIM', stream, group, consumer, ARGV[3], ARGV[4], 'COUNT', ARGV[5])
local taken, buried = {}, {}
for _, entry in ipairs(reply[2]) do
  local id, fields = entry[1], entry[2]
  local deliveries = redis.call('XPENDING', stream, group, id, id, 1)[1][4]
  if deliveries <= limit then
    taken[#taken + 1] = { id, deliveries, fields }
  else
    local body = ''
    for i = 1, #fields, 2 do
      if fields[i] == 'job' then
        body = string.sub(fields[i + 1], 1, 4096)
      end
    end
    redis.call('XADD', dead, 'MAXLEN', '~', cap, '*', 'entry', id, 'deliveries', deliveries - 1,
      'reason', 'delivered ' .. (deliveries - 1) .. ' times and never finished', 'body', body)
    redis.call('XACK', stream, group, id)
    redis.call('XDEL', stream, id)
    buried[#buried + 1] = id
  end
end
return { reply[1], taken, buried }
