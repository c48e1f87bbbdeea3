-- Queues messages for an audience unless newer ones were pushed, and hands the queue to the process that has the turn.
-- KEYS[1]  hash of the newest version pushed, by subject, of one audience
-- KEYS[2]  list of messages in line for this audience
-- KEYS[3]  who has the turn to push to this audience
-- ARGV[1]  how long the hash is kept, milliseconds
-- ARGV[2]  who asks
-- ARGV[3]  how long a turn lasts, milliseconds
-- ARGV[4…] subject, epoch, version and text of each message; the same version again is fine, an older one is dropped
-- Returns the queued messages if the caller has the turn now, else nothing
for i = 4, #ARGV, 4 do
  local epoch, version = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local known = redis.call('HGET', KEYS[1], ARGV[i])
  local knownEpoch, knownVersion = -1, -1
  if known then
    local e, v = string.match(known, '^(%d+):(%d+)$')
    knownEpoch, knownVersion = tonumber(e), tonumber(v)
  end
  if epoch > knownEpoch or (epoch == knownEpoch and version >= knownVersion) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1] .. ':' .. ARGV[i + 2])
    redis.call('RPUSH', KEYS[2], ARGV[i + 3])
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 0 or not redis.call('SET', KEYS[3], ARGV[2], 'NX', 'PX', ARGV[3]) then
  redis.call('PEXPIRE', KEYS[2], 60000)
  return {}
end
local line = redis.call('LRANGE', KEYS[2], 0, -1)
redis.call('DEL', KEYS[2])
return line
