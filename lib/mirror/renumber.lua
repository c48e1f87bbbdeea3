-- Gives requests of one sale new places among its requests. A place is only ever replaced by a later one, so that a call
-- may be repeated, or overtaken by another that began later.
-- KEYS[1]  the prefix of the keys of the sale's claims buckets; they share its slot
-- KEYS[2]  a bit for each place among the sale's requests, set while that request waits in line
-- ARGV[1]  three texts for each request, each ended by a zero byte: bucket, the reservation's field, and its new place

-- Writes the place at the end of a packed value, whatever its state is by now.
local function movePlace(key, field, rest, place)
  redis.call('HSET', key, field, rest .. place)
end

local at = 1
while at <= #ARGV[1] do
  local bucket, field, place
  bucket, field, place, at = struct.unpack('sss', ARGV[1], at)
  local key = KEYS[1] .. bucket
  local rest, before = string.match(redis.call('HGET', key, field) or '', '^(.*:)(%d+)$')
  if rest and tonumber(before) < tonumber(place) then
    movePlace(key, field, rest, place)
    if string.sub(rest, 1, 1) == 'w' then
      if before ~= '0' then redis.call('SETBIT', KEYS[2], before, 0) end
      redis.call('SETBIT', KEYS[2], place, 1)
    end
  end
end
return 1
