-- For each of some attempts, one after the other: takes one token from each of its buckets, which refill at a steady rate, by
-- this server's clock: from all of them, or from none if one of them is empty.
-- KEYS     the buckets, those of an attempt together: the time, in milliseconds, at which one would be full again; no key is
--          a full bucket
-- ARGV     for each attempt the number of its buckets, and then for each bucket: how many tokens the full bucket holds, and
--          how many milliseconds it takes for one to come back
-- Returns  for each bucket the milliseconds until it has a token, 0 if it had one
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local waits = {}
local arg, first = 1, 1
while first <= #KEYS do
  local last = first + tonumber(ARGV[arg]) - 1
  local fulls, isEmpty = {}, false
  arg = arg + 1
  for i = first, last do
    local capacity = tonumber(ARGV[arg])
    local refill = tonumber(ARGV[arg + 1])
    arg = arg + 2
    local full = math.max(tonumber(redis.call('GET', KEYS[i]) or '0'), now) + refill
    local wait = math.max(0, math.ceil(full - now - capacity * refill))
    waits[i], fulls[i] = wait, full
    isEmpty = isEmpty or wait > 0
  end
  if not isEmpty then
    for i = first, last do
      redis.call('SET', KEYS[i], string.format('%.3f', fulls[i]), 'PX', math.ceil(fulls[i] - now))
    end
  end
  first = last + 1
end
return waits
