-- Sets a sale's stock to what MySQL says, if the mirror still shows the wrong version that was seen.
-- KEYS[1]  the sale
-- ARGV[1]  the version that was seen    ARGV[2]  epoch      ARGV[3]  version    ARGV[4]  allotment
-- ARGV[5]  available                    ARGV[6]  allocated  ARGV[7]  sold       ARGV[8]  waitlisted
-- Returns  1 if it was repaired, 0 if the mirror has moved on in the meantime
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'version', ARGV[3], 'allotment', ARGV[4], 'available', ARGV[5],
  'allocated', ARGV[6], 'sold', ARGV[7], 'waitlisted', ARGV[8])
return 1
