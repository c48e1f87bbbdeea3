-- A reservation as the mirror has it, with what is needed to show it.
-- KEYS[1]  the sale      KEYS[2]  the bucket with the claims of its customer      KEYS[3]  the bits of those who wait
-- ARGV[1]  the reservation's field
-- Returns  packed value, the sale's id, its clock, and its place on the waitlist; each '' if it is not known here

-- Changes nothing, but only a server that accepts writes carries it out. A replica refuses it: a primary that was demoted
-- would otherwise show for ever what it had.
local function refuseAsReplica(saleKey)
  redis.call('HDEL', saleKey, '')
end

-- The place on the waitlist of the request with this place among all requests. Places are in the order of tickets. It is
-- known only if the bits are those of everybody who waits.
local function placeInLine(line, position, waitlisted)
  if redis.call('GETBIT', line, position) == 0 or redis.call('BITCOUNT', line) ~= tonumber(waitlisted) then
    return ''
  end
  local wholeBytes = math.floor(position / 8)
  local ahead = wholeBytes > 0 and redis.call('BITCOUNT', line, 0, wholeBytes - 1) or 0
  for bit = wholeBytes * 8, position - 1 do
    ahead = ahead + redis.call('GETBIT', line, bit)
  end
  return string.format('%d', ahead + 1)
end

refuseAsReplica(KEYS[1])
local packed = redis.call('HGET', KEYS[2], ARGV[1])
if not packed then
  return { '', '', '', '' }
end
local sale = redis.call('HMGET', KEYS[1], 'id', 'clock', 'waitlisted')
local position = string.match(packed, '^w:.*:(%d+)$')
local place = position and position ~= '0' and placeInLine(KEYS[3], tonumber(position), sale[3] or '0') or ''
return { packed, sale[1] or '', sale[2] or '', place }
