-- Takes one token from a bucket that refills at a steady rate, by this server's clock.
-- KEYS[1]  the bucket: the time, in milliseconds, at which it would be full again; no key is a full bucket
-- ARGV[1]  how many tokens the full bucket holds
-- ARGV[2]  how many milliseconds it takes for a token to come back
-- Returns  0 if a token was taken, otherwise the milliseconds until there is one; a refusal takes nothing
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local capacity = tonumber(ARGV[1])
local refill = tonumber(ARGV[2])
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + refill
local wait = full - now - capacity * refill
if wait > 0 then
  return math.ceil(wait)
end
redis.call('SET', KEYS[1], string.format('%.3f', full), 'PX', math.ceil(full - now))
return 0
