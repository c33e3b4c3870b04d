-- How long the first entry has waited that was never delivered.
-- KEYS  stream
-- ARGV  group
-- Returns milliseconds, or nothing when no entry waits.
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if groups.err then
  if string.find(groups.err, 'no such key', 1, true) then
    return false
  end
  return groups
end
-- Where nobody has ever worked there is no group, and every entry waits.
local after = '-'
for _, flat in ipairs(groups) do
  local group = {}
  for i = 1, #flat, 2 do
    group[flat[i]] = flat[i + 1]
  end
  if group.name == ARGV[1] then
    after = '(' .. group['last-delivered-id']
  end
end
local first = redis.call('XRANGE', KEYS[1], after, '+', 'COUNT', 1)[1]
if not first then
  return false
end
local now = redis.call('TIME')
local rung = tonumber(string.match(first[1], '^%d+'))
return math.max(0, now[1] * 1000 + math.floor(now[2] / 1000) - rung)
