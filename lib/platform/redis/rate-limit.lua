-- For each of some attempts, one after the other: takes one token from each of its buckets, or from none if one of them is empty.
-- KEYS     the buckets, those of an attempt together
-- ARGV     for each attempt the number of its buckets, and then two numbers for each bucket, as takeTokens has them
-- Returns  for each bucket the milliseconds until it has a token, 0 if it had one
local time = redis.call('TIME')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
local waits = {}
local arg, first = 1, 1
while first <= #KEYS do
  local count = tonumber(ARGV[arg])
  local ofAttempt = takeTokens(first, first + count - 1, arg + 1, nowMs)
  for n = 1, count do waits[#waits + 1] = ofAttempt[n] end
  arg = arg + 1 + 2 * count
  first = first + count
end
return waits
