-- Comes before the scripts that take tokens. Buckets refill at a steady rate, by this server's clock; a bucket's key has the time,
-- in milliseconds, at which it would be full again, and no key is a full bucket.

-- Takes one token from each of an attempt's buckets, KEYS[first] to KEYS[last], or none if one of them is empty. From ARGV[at] on
-- there are two numbers for each: how many tokens the full bucket holds, and how many milliseconds it takes for one to come back.
-- Returns for each bucket the milliseconds until it has a token, 0 if it has one, and whether any has to be waited for.
local function takeTokens(first, last, at, nowMs)
  local waits, fulls, isEmpty = {}, {}, false
  for i = first, last do
    local capacity, refill = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
    at = at + 2
    local full = math.max(tonumber(redis.call('GET', KEYS[i]) or '0'), nowMs) + refill
    local wait = math.max(0, math.ceil(full - nowMs - capacity * refill))
    waits[#waits + 1], fulls[#fulls + 1] = wait, full
    isEmpty = isEmpty or wait > 0
  end
  if not isEmpty then
    for n = 1, #fulls do
      redis.call('SET', KEYS[first + n - 1], string.format('%.3f', fulls[n]), 'PX', math.ceil(fulls[n] - nowMs))
    end
  end
  return waits, isEmpty
end
