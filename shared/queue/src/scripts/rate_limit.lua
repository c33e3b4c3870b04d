-- Takes from a bucket that fills with time (generic cell rate algorithm), or says how long to wait.
-- KEYS  when the bucket is full again (us)
-- ARGV  what it holds (us), what is taken (us)
-- Returns in how long it is full (us), and by how much what was asked for is too much (us; 0: it was taken).
local key, room, cost = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local due = tonumber(redis.call('GET', key) or 0)
-- What lies further ahead comes from a clock that was put back, or from a larger quota.
due = math.min(math.max(due, now), now + room)
local over = due + cost - now - room
if over > 0 then
  return { due - now, over }
end
if cost > 0 then
  local ahead = due + cost - now
  -- A full bucket is the same as none.
  redis.call('SET', key, string.format('%.0f', due + cost), 'PX', math.ceil(ahead / 1000))
end
return { due + cost - now, 0 }
