-- Copies what MySQL has committed about one sale, unless something newer is here already.
-- KEYS[1]    the sale
-- KEYS[2]    what the keys of the sale's claims buckets begin with; they share its slot
-- ARGV[1]    epoch        ARGV[2]  version      ARGV[3]  allotment  ARGV[4]  available
-- ARGV[5]    allocated    ARGV[6]  sold         ARGV[7]  waitlisted
-- ARGV[8]    terms as JSON, or '' to leave them as they are
-- ARGV[9]    opens        ARGV[10] closes       ARGV[11] status     ARGV[12] cap        ARGV[13] waitlist size
-- ARGV[14]   the sale's id (ARGV[9..14] are read only when terms are given)
-- ARGV[15]   a line for each reservation: bucket, its field, its customer's field, its packed value
-- Returns    1 if the sale is known here afterwards, 0 if it is not and its terms should be sent

-- Packed value: state:version:units:quantity:atLeast:ticket:position; state is one letter (see mirror.ts).
local packedPattern = '^(%a):(%d+):(%d+):(%d+):.*:(%d+)$'

-- What a reservation counts against its customer's cap.
local function claimOf(state, units, quantity)
  if state == 'r' or state == 'o' or state == 'w' then
    return quantity
  elseif state == 'a' or state == 'p' then
    return units
  end
  return 0
end

local known = redis.call('HMGET', KEYS[1], 'epoch', 'version')
local epoch, version = tonumber(ARGV[1]), tonumber(ARGV[2])
local newer = not known[1]
  or epoch > tonumber(known[1])
  or (epoch == tonumber(known[1]) and version >= tonumber(known[2]))
local hasTerms = ARGV[8] ~= ''

if newer and (known[1] or hasTerms) then
  redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'version', ARGV[2], 'allotment', ARGV[3], 'available', ARGV[4],
    'allocated', ARGV[5], 'sold', ARGV[6], 'waitlisted', ARGV[7])
  if hasTerms then
    redis.call('HSET', KEYS[1], 'terms', ARGV[8], 'opens', ARGV[9], 'closes', ARGV[10], 'status', ARGV[11],
      'cap', ARGV[12], 'waitlistSize', ARGV[13], 'id', ARGV[14])
  end
end

local pendingUnits, pendingOver = 0, 0
for bucket, field, customer, packed in string.gmatch(ARGV[15], '(%w+) (%S+) (%S+) (%S+)') do
  local key = KEYS[2] .. bucket
  local before = redis.call('HGET', key, field)
  local state, newVersion, units, quantity = string.match(packed, packedPattern)
  local claimedBefore, versionBefore = 0, -1
  if before then
    local oldState, oldVersion, oldUnits, oldQuantity, position = string.match(before, packedPattern)
    claimedBefore, versionBefore = claimOf(oldState, tonumber(oldUnits), tonumber(oldQuantity)), tonumber(oldVersion)
    if tonumber(newVersion) > versionBefore then
      if oldState == 'r' then
        pendingUnits = pendingUnits + tonumber(oldQuantity)
      elseif oldState == 'o' then
        pendingOver = pendingOver + 1
      end
      -- The place among all requests is known only here; it must survive the decision.
      packed = string.sub(packed, 1, -2) .. position
    end
  end
  if tonumber(newVersion) > versionBefore then
    redis.call('HSET', key, field, packed)
    local change = claimOf(state, tonumber(units), tonumber(quantity)) - claimedBefore
    if change ~= 0 and redis.call('HINCRBY', key, customer, change) <= 0 then
      redis.call('HDEL', key, customer)
    end
  end
end

if known[1] then
  if pendingUnits > 0 then redis.call('HINCRBY', KEYS[1], 'pendingUnits', -pendingUnits) end
  if pendingOver > 0 then redis.call('HINCRBY', KEYS[1], 'pendingOver', -pendingOver) end
end

return (known[1] or hasTerms) and 1 or 0
