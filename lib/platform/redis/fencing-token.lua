-- Grants the next fencing token: higher than every token before it, also after Redis has lost its data.
-- KEYS[1]  the highest fencing token granted so far
-- Returns  the new token: microseconds since the epoch by this server's clock, or one more than the last
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
local token = now > last and now or last + 1
redis.call('SET', KEYS[1], string.format('%.0f', token))
return token
