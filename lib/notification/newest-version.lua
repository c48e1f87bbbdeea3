-- Notes what is about to be pushed, and says what is out of date already.
-- KEYS[1]  hash of the newest version pushed, by subject, of one audience
-- ARGV[1]  how long the hash is kept, milliseconds
-- ARGV[2…] triples of subject, epoch and version
-- Returns  for each triple 1 if nothing newer was pushed before (the same again is fine), else 0
local answers = {}
for i = 2, #ARGV, 3 do
  local epoch, version = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local known = redis.call('HGET', KEYS[1], ARGV[i])
  local knownEpoch, knownVersion = -1, -1
  if known then
    local e, v = string.match(known, '^(%d+):(%d+)$')
    knownEpoch, knownVersion = tonumber(e), tonumber(v)
  end
  if epoch > knownEpoch or (epoch == knownEpoch and version >= knownVersion) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1] .. ':' .. ARGV[i + 2])
    answers[#answers + 1] = 1
  else
    answers[#answers + 1] = 0
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return answers
