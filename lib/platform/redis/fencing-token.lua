-- Grants the next fence: higher than every fence before it, also after Redis has lost its data.
-- KEYS[1]  the highest fence granted so far
-- Returns  the new fence: microseconds since the epoch by this server's clock, or one more than the last
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
local fence = now > last and now or last + 1
redis.call('SET', KEYS[1], string.format('%.0f', fence))
return fence
