-- Lets somebody through a gate, or says when to come back.
-- KEYS  who is inside (sorted set, by the end of their stay), when the next is due (theoretical arrival time, us)
-- ARGV  who, most inside (0: any number), most a second (0: any number), longest stay (ms)
-- Returns 0 when inside, -1 when it is full, or the time to wait (us).
local held, due = KEYS[1], KEYS[2]
local who, most, rate, stay = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
if most > 0 then
  redis.call('ZREMRANGEBYSCORE', held, '-inf', now)
  if not redis.call('ZSCORE', held, who) and redis.call('ZCARD', held) >= most then
    return -1
  end
end
if rate > 0 then
  -- The generic cell rate algorithm: a tenth of a second's share may come at once.
  local interval = math.floor(1000000 / rate)
  local burst = interval * math.floor(rate / 10)
  local next = math.max(tonumber(redis.call('GET', due) or 0), now)
  if next - now > burst then
    return next - now - burst
  end
  redis.call('SET', due, string.format('%d', next + interval), 'PX', 2000)
end
if most > 0 then
  redis.call('ZADD', held, now + stay * 1000, who)
  redis.call('PEXPIRE', held, stay)
end
return 0
