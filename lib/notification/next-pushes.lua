-- Takes the messages that were queued during the turn; the turn ends if there are none, or no time is left.
-- KEYS[1]  list of messages in line for one audience
-- KEYS[2]  who has the turn to push to this audience
-- ARGV[1]  who asks
-- ARGV[2]  how long the turn goes on, milliseconds; 0 ends it and leaves the line as it is
-- Returns  the messages in line if the turn goes on, else nothing
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return {}
end
if ARGV[2] == '0' or redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('DEL', KEYS[2])
  return {}
end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
local line = redis.call('LRANGE', KEYS[1], 0, -1)
redis.call('DEL', KEYS[1])
return line
