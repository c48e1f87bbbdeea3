-- Copies what MySQL has committed of some sales, unless what is stored is newer (or, for a reservation, as new and not shown
-- whole any more). Stock and terms are each compared by themselves.
-- For the n-th sale:
-- KEYS[3n-2]  the sale
-- KEYS[3n-1]  the prefix of the keys of the sale's claims buckets; they share its slot
-- KEYS[3n]    a bit for each place among the sale's requests, set while that request waits in line
-- ARGV[3n-2]  epoch, version, allotment, available, allocated, sold and waitlisted, with spaces between
-- ARGV[3n-1]  '' to leave the terms as they are, or JSON: {terms, opens, closes, status, cap, asks, waitlistSize, id, clock, public,
--             access, lost};
--             with lost, a sale that is not here may have had claims, and is marked 'partial' until they are back
-- ARGV[3n]    six texts for each reservation, each ended by a zero byte: bucket, its field, its customer's field, its
--             version, the units that it counts against its customer's cap, and its packed value up to its position
-- ARGV[last]  JSON: for each letter of a state that counts against the cap 'quantity' or 'units': the one that counts
-- Returns     for each sale 1 if it is known here afterwards, 0 if it is not and its terms should be sent

-- Packed value: state:version:units:quantity:atLeast:ticket:position, before the position perhaps with what else a reader
-- is shown. State is one letter, the ticket in hex, and atLeast left out if it is the quantity (see claims.ts).
local packedPattern = '^(%a):(%d+):(%d+):(%d+):%d*:(%x+).*:(%d+)$'
-- The quantity, the ticket and the position of a request that was admitted within the available units; its version is 0.
local undecidedPattern = '^r:0:0:(%d+):%d*:(%x+):(%d+)$'
local ticketPattern = '^%a:%d+:%d+:%d+:%d*:(%x+):'

local counted = cjson.decode(ARGV[#ARGV])

-- What a reservation counts against its customer's cap.
local function claimOf(state, units, quantity)
  if counted[state] == 'quantity' then
    return quantity
  elseif counted[state] == 'units' then
    return units
  end
  return '0'
end

-- Whether stock is no older than the stored stock.
local function isCurrent(epoch, version, knownEpoch, knownVersion)
  return tonumber(epoch) > tonumber(knownEpoch)
    or (epoch == knownEpoch and tonumber(version) >= tonumber(knownVersion))
end

-- Whether terms are no older than the stored ones. Stock and terms are written by different commits, and each may overtake
-- the other, so newer stock may have come without terms. The version of an older build's terms is unknown.
local function areCurrentTerms(epoch, version, knownEpoch, knownVersion)
  return knownEpoch and isCurrent(epoch, version, knownEpoch, knownVersion)
end

-- Whether a version of a reservation is not newer than the stored one.
local function isKnown(version, knownVersion)
  return tonumber(version) <= tonumber(knownVersion)
end

-- Whether a packed value has what else a reader is shown.
local function showsAll(packed)
  return string.match(packed, '%.')
end

-- Takes decided requests from the gate's two counters of undecided ones.
local function countDecided(saleKey, units, over)
  if units > 0 then redis.call('HINCRBY', saleKey, 'pendingUnits', -units) end
  if over > 0 then redis.call('HINCRBY', saleKey, 'pendingOver', -over) end
end

-- Notes in the bits of the line that a request begins to wait, or no longer does. Readers count the bits before it, so
-- places must be in the order of tickets: a request that came again after Redis had lost it has a new place and its old
-- ticket, and gets no bit; nor does one whose place is from before all others got new ones.
local function noteWaiting(line, position, waits, wasWaiting, ticket, packed, oldPlaces)
  if waits == wasWaiting or position == '0' then
    return
  end
  if wasWaiting then
    redis.call('SETBIT', line, position, 0)
  elseif ticket == string.match(packed, ticketPattern) and tonumber(position) > oldPlaces then
    redis.call('SETBIT', line, position, 1)
  end
end

-- Writes one reservation unless it is stored at this version or a newer one; returns what that takes from the gate's two
-- counters.
local function writeReservation(key, line, oldPlaces, field, customer, version, claim, packed)
  local before = redis.call('HGET', key, field)
  -- The place among all requests is known only here; it must survive the decision.
  local position, ticket, wasWaiting = '0', '', false
  local claimedBefore, undecidedUnits, undecidedOver = '0', 0, 0
  if before then
    -- Most are decided for the first time, with units for all they asked for: nothing else need be read.
    local asked, ticketBefore, place = string.match(before, undecidedPattern)
    if asked then
      claimedBefore, ticket, position = asked, ticketBefore, place
      undecidedUnits = tonumber(asked)
    else
      local oldState, oldVersion, oldUnits, oldQuantity, oldTicket, oldPosition = string.match(before, packedPattern)
      if isKnown(version, oldVersion) then
        -- A purchase binds it without a new version, and from then on it is shown from MySQL.
        if version == oldVersion and showsAll(before) and not showsAll(packed) then
          redis.call('HSET', key, field, packed .. oldPosition)
        end
        return 0, 0
      end
      claimedBefore = claimOf(oldState, oldUnits, oldQuantity)
      undecidedOver = oldState == 'o' and 1 or 0
      ticket, position, wasWaiting = oldTicket, oldPosition, oldState == 'w'
    end
  end
  redis.call('HSET', key, field, packed .. position)
  noteWaiting(line, position, string.sub(packed, 1, 1) == 'w', wasWaiting, ticket, packed, oldPlaces)
  if claim ~= claimedBefore and redis.call('HINCRBY', key, customer, claim - claimedBefore) <= 0 then
    redis.call('HDEL', key, customer)
  end
  return undecidedUnits, undecidedOver
end

local function writeSale(saleKey, bucketPrefix, line, levels, terms, reservations)
  local known = redis.call('HMGET', saleKey, 'epoch', 'version', 'termsEpoch', 'termsVersion', 'oldPlaces')
  local epoch, version, allotment, available, allocated, sold, waitlisted =
    string.match(levels, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
  local newer = not known[1] or isCurrent(epoch, version, known[1], known[2])

  if newer and (known[1] or terms ~= '') then
    redis.call('HSET', saleKey, 'epoch', epoch, 'version', version, 'allotment', allotment, 'available', available,
      'allocated', allocated, 'sold', sold, 'waitlisted', waitlisted)
  end
  if terms ~= '' and (newer or areCurrentTerms(epoch, version, known[3], known[4])) then
    local told = cjson.decode(terms)
    redis.call('HSET', saleKey, 'terms', told.terms, 'opens', told.opens, 'closes', told.closes, 'status', told.status,
      'cap', told.cap, 'asks', told.asks, 'waitlistSize', told.waitlistSize, 'id', told.id, 'clock', told.clock,
      'public', told.public, 'access', told.access, 'termsEpoch', epoch, 'termsVersion', version)
    if told.lost and not known[1] then
      -- The time tells this loss from others.
      local time = redis.call('TIME')
      redis.call('HSET', saleKey, 'partial', time[1] .. '.' .. time[2])
    end
  end

  local pendingUnits, pendingOver = 0, 0
  local oldPlaces = tonumber(known[5] or '0')
  local at = 1
  while at <= #reservations do
    local bucket, field, customer, version, claim, packed
    -- Unlike a pattern, this looks at each byte once.
    bucket, field, customer, version, claim, packed, at = struct.unpack('ssssss', reservations, at)
    local units, over = writeReservation(bucketPrefix .. bucket, line, oldPlaces, field, customer, version, claim, packed)
    pendingUnits, pendingOver = pendingUnits + units, pendingOver + over
  end
  if known[1] then
    countDecided(saleKey, pendingUnits, pendingOver)
  end
  return (known[1] or terms ~= '') and 1 or 0
end

local results = {}
for n = 1, #KEYS / 3 do
  results[n] = writeSale(KEYS[3 * n - 2], KEYS[3 * n - 1], KEYS[3 * n], ARGV[3 * n - 2], ARGV[3 * n - 1], ARGV[3 * n])
end
return results
