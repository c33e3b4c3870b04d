-- Adds what one process let through to what all of them did (generic cell rate algorithm).
-- KEYS  when each bucket is full again (us)
-- ARGV  for each: what was taken, which is below nought where more was given back (us), and how far ahead it may be (us)
-- Returns for each in how long it is full (us).
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local ahead = {}
for place, key in ipairs(KEYS) do
  local taken, furthest = tonumber(ARGV[2 * place - 1]), tonumber(ARGV[2 * place])
  local due = math.max(tonumber(redis.call('GET', key) or 0), now) + taken
  -- What lies further ahead comes from a clock that was put back, or from a larger quota.
  due = math.min(math.max(due, now), now + furthest)
  ahead[place] = due - now
  if due > now then
    redis.call('SET', key, string.format('%.0f', due), 'PX', math.ceil((due - now) / 1000))
  else
    -- A full bucket is the same as none.
    redis.call('DEL', key)
  end
end
return ahead
