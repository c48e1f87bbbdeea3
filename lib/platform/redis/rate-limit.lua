-- Takes one token from each of some buckets that refill at a steady rate, by this server's clock: from all of them, or from
-- none if one of them is empty.
-- KEYS     the buckets: the time, in milliseconds, at which one would be full again; no key is a full bucket
-- ARGV     for each bucket: how many tokens the full bucket holds, and how many milliseconds it takes for one to come back
-- Returns  for each bucket the milliseconds until it has a token, 0 if it has one now
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local waits, fulls, isEmpty = {}, {}, false
for i, key in ipairs(KEYS) do
  local capacity = tonumber(ARGV[2 * i - 1])
  local refill = tonumber(ARGV[2 * i])
  local full = math.max(tonumber(redis.call('GET', key) or '0'), now) + refill
  local wait = math.max(0, math.ceil(full - now - capacity * refill))
  waits[i], fulls[i] = wait, full
  isEmpty = isEmpty or wait > 0
end
if not isEmpty then
  for i, key in ipairs(KEYS) do
    redis.call('SET', key, string.format('%.3f', fulls[i]), 'PX', math.ceil(fulls[i] - now))
  end
end
return waits
