-- Copies what MySQL has committed about one sale, unless something newer is here already.
-- KEYS[1]    the sale
-- KEYS[2..]  the claims buckets that the reservations below are in
-- ARGV[1]    epoch        ARGV[2]  version      ARGV[3]  allotment  ARGV[4]  available
-- ARGV[5]    allocated    ARGV[6]  sold         ARGV[7]  waitlisted
-- ARGV[8]    terms as JSON, or '' to leave them as they are
-- ARGV[9]    opens        ARGV[10] closes       ARGV[11] status     ARGV[12] cap        ARGV[13] waitlist size
-- ARGV[14]   the sale's id (ARGV[9..14] are read only when terms are given)
-- then for each reservation: index into KEYS, its field, its customer's field, its packed value
-- Returns    1 if the sale is known here afterwards, 0 if it is not and its terms should be sent

-- Packed value: state:version:units:quantity:atLeast:ticket:position; state is one letter (see mirror.ts).
local function unpackValue(packed)
  local parts = {}
  for part in string.gmatch(packed, '[^:]+') do
    parts[#parts + 1] = part
  end
  return parts[1], tonumber(parts[2]), tonumber(parts[3]), tonumber(parts[4]), parts[7]
end

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
for index = 15, #ARGV, 4 do
  local bucket, field, customer, packed = KEYS[tonumber(ARGV[index])], ARGV[index + 1], ARGV[index + 2], ARGV[index + 3]
  local before = redis.call('HGET', bucket, field)
  local state, newVersion, units, quantity = unpackValue(packed)
  local claimedBefore, versionBefore, position = 0, -1, nil
  if before then
    local oldState, oldVersion, oldUnits, oldQuantity, oldPosition = unpackValue(before)
    claimedBefore, versionBefore, position = claimOf(oldState, oldUnits, oldQuantity), oldVersion, oldPosition
    if newVersion > versionBefore and oldState == 'r' then
      pendingUnits = pendingUnits + oldQuantity
    elseif newVersion > versionBefore and oldState == 'o' then
      pendingOver = pendingOver + 1
    end
  end
  if newVersion > versionBefore then
    -- The place among all requests is known only here; it must survive the decision.
    if position then
      packed = string.gsub(packed, ':[^:]*$', ':' .. position)
    end
    redis.call('HSET', bucket, field, packed)
    local change = claimOf(state, units, quantity) - claimedBefore
    if change ~= 0 then
      local left = redis.call('HINCRBY', bucket, customer, change)
      if left <= 0 then
        redis.call('HDEL', bucket, customer)
      end
    end
  end
end

if known[1] then
  if pendingUnits > 0 then redis.call('HINCRBY', KEYS[1], 'pendingUnits', -pendingUnits) end
  if pendingOver > 0 then redis.call('HINCRBY', KEYS[1], 'pendingOver', -pendingOver) end
end

return (known[1] or hasTerms) and 1 or 0
