-- Sets one of the gate's counters, or a customer's claim, to what a count found, if it still has the value that was seen.
-- KEYS[1]  the hash       ARGV[1]  the field       ARGV[2]  the value that was seen, '' for none      ARGV[3]  the right value
-- Returns  1 if it was set, 0 if it has changed in the meantime
local present = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if present ~= ARGV[2] then
  return 0
end
if ARGV[3] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return 1
