-- Takes back a claim whose request could not be queued, so that its units are free and the customer can try again. The
-- ticket is kept, for the same request sent again: the queue may have taken it after all, and only its answer was lost.
-- KEYS[1]  the sale
-- KEYS[2]  the claims bucket of this customer
-- ARGV[1]  the reservation's field      ARGV[2]  the customer's field
-- Returns  1 if the claim was taken back, 0 if it is not there or has been decided in the meantime

-- Keeps the ticket of a request that claims nothing any more.
local function keepTicket(bucket, field, rest)
  redis.call('HSET', bucket, field, 'u' .. rest)
end

local packed = redis.call('HGET', KEYS[2], ARGV[1])
local state, rest, quantity = string.match(packed or '', '^([ro])(:0:0:(%d+):.*)$')
if not state then
  return 0
end
keepTicket(KEYS[2], ARGV[1], rest)
if redis.call('HINCRBY', KEYS[2], ARGV[2], -quantity) <= 0 then
  redis.call('HDEL', KEYS[2], ARGV[2])
end
redis.call('HINCRBY', KEYS[1], state == 'o' and 'pendingOver' or 'pendingUnits', state == 'o' and -1 or -quantity)
return 1
