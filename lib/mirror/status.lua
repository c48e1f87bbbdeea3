-- Reservations of one sale as the mirror has them, with what is needed to show them. Comes after take-tokens.lua: a question
-- beyond a limit is not answered.
-- KEYS[1]  the sale
-- KEYS[2]  the prefix of the keys of the sale's claims buckets; they share its slot
-- KEYS[3]  a bit for each place among the sale's requests, set while that request waits in line
-- KEYS     from the fourth on, the buckets of tokens that the questions take from, those of a question together
-- ARGV[1]  three texts for each question, each ended by a zero byte: bucket, the reservation's field, and from how many buckets
--          it takes
-- ARGV     from the second on, two numbers for each bucket of tokens, as takeTokens has them
-- Returns  lines: the sale's id and its clock, with spaces between; then for each question the packed value and the place on
--          the waitlist, each '' if it is not known here; or, beyond a limit, 'limited' and for each of its buckets the
--          milliseconds until it has a token

-- Changes nothing, but only a server that accepts writes carries it out. A replica refuses it: a primary that was demoted
-- would otherwise show for ever what it had.
local function refuseAsReplica(saleKey)
  redis.call('HDEL', saleKey, '')
end

refuseAsReplica(KEYS[1])
local sale = redis.call('HMGET', KEYS[1], 'id', 'clock', 'waitlisted')
local waiting
-- What the bits of a byte are worth, in the order of the places in line.
local valueOfBit = { 128, 64, 32, 16, 8, 4, 2, 1 }

-- The place on the waitlist of the request with this place among all requests. Places are in the order of tickets. It is
-- known only if the bits are those of all who wait.
local function placeInLine(line, position, waitlisted)
  waiting = waiting or redis.call('BITCOUNT', line)
  if waiting ~= tonumber(waitlisted) then
    return ''
  end
  local wholeBytes = math.floor(position / 8)
  local byte = string.byte(redis.call('GETRANGE', line, wholeBytes, wholeBytes)) or 0
  local place = wholeBytes > 0 and redis.call('BITCOUNT', line, 0, wholeBytes - 1) or 0
  local isWaiting = false
  for bit = 1, position - 8 * wholeBytes + 1 do
    isWaiting = byte >= valueOfBit[bit]
    if isWaiting then
      byte = byte - valueOfBit[bit]
      place = place + 1
    end
  end
  return isWaiting and string.format('%d', place) or ''
end

local answers = { (sale[1] or '') .. ' ' .. (sale[2] or '') }
local nowMs
local function isBeyond(first, count)
  if not nowMs then
    local time = redis.call('TIME')
    nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  local waits, mustWait = takeTokens(first, first + count - 1, 2 * first - 6, nowMs)
  return mustWait and 'limited ' .. table.concat(waits, ' ')
end
local at, tokens = 1, 4
while at <= #ARGV[1] do
  local bucket, field, limits
  bucket, field, limits, at = struct.unpack('sss', ARGV[1], at)
  local count = tonumber(limits)
  local answer = count > 0 and isBeyond(tokens, count)
  tokens = tokens + count
  if not answer then
    local packed = redis.call('HGET', KEYS[2] .. bucket, field) or ''
    local position = string.match(packed, '^w:.*:(%d+)$')
    local place = position and position ~= '0' and placeInLine(KEYS[3], tonumber(position), sale[3] or '0') or ''
    answer = packed .. ' ' .. place
  end
  answers[#answers + 1] = answer
end
return table.concat(answers, '\n')
