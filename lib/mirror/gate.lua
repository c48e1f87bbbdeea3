-- The gate: admits or refuses requests. It only saves work; MySQL decides. Judges requests of one sale, one after the
-- other, exactly as if each had come alone. Comes after take-tokens.lua: a request beyond a limit is not judged.
-- KEYS[1]  the sale, which also counts what is refused here, by its reason
-- KEYS[2]  the prefix of the keys of the sale's claims buckets; they share its slot
-- KEYS[3]  the prefix of the keys that have the digests of labels of the sale's requests; they share its slot
-- KEYS[4]  the prefix of the keys that have what customers were refused for good, by request; they share its slot
-- KEYS     from the fifth on, the buckets of tokens that the requests take from, those of a request together
-- ARGV[1]  nine texts for each request, each ended by a zero byte: bucket, its reservation's field, its customer's field,
--          quantity, the fewest units that the customer accepts, the letters of what the customer can show, what a code
--          proves that the customer shows, the digest of its label, empty for most, and from how many buckets it takes
-- ARGV     from the second on, two numbers for each bucket, as takeTokens has them
-- Returns a line for each request
--          limited wait wait …            beyond a limit: for each of its buckets the milliseconds until it has a token
--          unknown                        the sale is not here; load it and ask again
--          hidden                         not public yet, or the code is wrong: for this customer there is no such sale
--          reused [partial]               what was refused for good under this key was another request
--          kept refusal fact [partial]    this request was refused for good before, so it is again, whatever is free now
--          repeat packed label            this reservation is here already, with this digest of its label
--          admitted ticket position [partial]  go on to the queue; the claim is recorded
--          refusal fact [partial]         sale_not_open, sale_closed, sale_paused, sale_cancelled, over_allotment,
--                                         not_entitled, over_cap or sold_out
--          partial: claims may be missing here, so this may be a repeat of what was decided before
local sale = redis.call('HMGET', KEYS[1], 'opens', 'closes', 'status', 'cap', 'waitlistSize', 'available', 'waitlisted',
  'pendingUnits', 'pendingOver', 'ticket', 'line', 'partial', 'allotment', 'asks', 'public', 'access')
-- Terms that an older build has written do not say for whom the sale is there, so they are loaded again.
local known = sale[1] and sale[15]
local cap = tonumber(sale[4] or '0')
-- Admitted requests that are not decided yet are counted as if each got what it asks for.
local free = tonumber(sale[6] or '0') - tonumber(sale[8] or '0')
local places = tonumber(sale[5] or '0') - tonumber(sale[7] or '0') - tonumber(sale[9] or '0')
local last = tonumber(sale[10] or '0')
local line = tonumber(sale[11] or '0')
local mark = sale[12] and ' partial' or ''
local allotment = tonumber(sale[13] or '0')
-- What the sale asks of who reserves: one letter, or nothing.
local asks = sale[14] or ''
-- What a code must prove; nothing if the sale is for everybody.
local access = sale[16] or ''
local lastBefore, lineBefore, units, over = last, line, 0, 0
local reasons, refusals = {}, {}

-- This server's clock judges the window, so that all functions agree to the microsecond.
local time = redis.call('TIME')
local nowUs = time[1] * 1000000 + time[2]
local isPublic = known and sale[15] ~= '-' and nowUs >= tonumber(sale[15]) * 1000
local shut, since = nil, ''
if known and sale[3] == 'cancelled' then
  shut = 'sale_cancelled'
elseif known and sale[3] == 'paused' then
  -- Checked before the times: while a sale is paused its clock stands still, so the server's clock does not apply.
  shut = 'sale_paused'
elseif known and nowUs < tonumber(sale[1]) * 1000 then
  shut, since = 'sale_not_open', sale[1]
elseif known and nowUs >= tonumber(sale[2]) * 1000 then
  shut, since = 'sale_closed', sale[2]
end

local function refused(code, fact)
  if not refusals[code] then
    reasons[#reasons + 1] = code
    refusals[code] = 0
  end
  refusals[code] = refusals[code] + 1
  return code .. ' ' .. fact .. mark
end

-- For so long the label of a request is kept, in seconds: by then it is decided, and MySQL has it.
local labelSeconds = 86400

-- For so long a refusal that is final is kept at least, in milliseconds, and so many of one customer in one sale: what is kept
-- is bounded by how many customers there are, however often each asks. What is not kept is judged anew.
local refusalMs, refusalsAtMost = 3600000, 64

local function refusedForGood(kept, field, asked, code, fact)
  if redis.call('HLEN', kept) < refusalsAtMost then
    redis.call('HSET', kept, field, asked .. code .. ' ' .. fact)
    redis.call('PEXPIRE', kept, refusalMs)
  end
  return refused(code, fact)
end

local function judge(bucket, field, customer, quantityText, leastText, shown, code, labelKey, label, kept)
  if not known then
    return 'unknown'
  end
  local packed = redis.call('HGET', bucket, field)
  local ticketBefore, positionBefore
  if packed then
    -- A request that could not be queued comes again: it is judged again, and keeps the place in line that it was given.
    local wanted, least, ticket, position = string.match(packed, '^u:0:0:(%d+):(%d*):(%x+):(%d+)$')
    if not wanted or wanted ~= quantityText or (least == '' and wanted or least) ~= leastText then
      return 'repeat ' .. packed .. ' ' .. (redis.call('GET', labelKey) or '')
    end
    ticketBefore, positionBefore = tonumber(ticket, 16), position
  end
  if not isPublic or (access ~= '' and code ~= access) then
    return 'hidden'
  end
  -- What this request asks for. What was made under its key went before, so only who was refused gets here a second time.
  local asked = quantityText .. ':' .. leastText .. ':' .. label .. ' '
  local before = redis.call('HGET', kept, field)
  if before then
    return (string.sub(before, 1, #asked) == asked and 'kept ' .. string.sub(before, #asked + 1) or 'reused') .. mark
  end
  -- A pause passes, and so may what a customer lacks: neither is final.
  if shut == 'sale_paused' then
    return refused(shut, since)
  end
  if shut then
    return refusedForGood(kept, field, asked, shut, since)
  end
  local quantity, atLeast = tonumber(quantityText), tonumber(leastText)
  if atLeast > allotment then
    return refusedForGood(kept, field, asked, 'over_allotment', string.format('%d', allotment))
  end
  if asks ~= '' and not string.match(shown, asks) then
    return refused('not_entitled', asks)
  end
  local held = tonumber(redis.call('HGET', bucket, customer) or '0')
  if held + quantity > cap then
    return refusedForGood(kept, field, asked, 'over_cap', held)
  end
  local beyond = free < atLeast
  if beyond and places <= 0 then
    return refusedForGood(kept, field, asked, 'sold_out', '')
  end

  local ticket = ticketBefore or (nowUs > last and nowUs or last + 1)
  if ticket > last then
    last = ticket
  end
  local position = positionBefore
  if not position then
    line = line + 1
    position = string.format('%d', line)
  end
  if beyond then
    places, over = places - 1, over + 1
  else
    free, units = free - quantity, units + quantity
  end
  -- Numbers are written as whole ones here: Redis and Lua would print them as fractions, which takes several times as long.
  redis.call('HSET', bucket, customer, string.format('%d', held + quantity), field, (beyond and 'o' or 'r') .. ':0:0:' ..
    quantityText .. ':' .. (atLeast == quantity and '' or leastText) .. ':' .. string.format('%x', ticket) .. ':' .. position)
  if label ~= '' then
    redis.call('SET', labelKey, label, 'EX', labelSeconds)
  elseif packed then
    redis.call('DEL', labelKey)
  end
  return 'admitted ' .. string.format('%.0f', ticket) .. ' ' .. position .. mark
end

local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
local answers = {}
local at, tokens = 1, 5
while at <= #ARGV[1] do
  local bucket, field, customer, quantity, least, shown, code, label, limits
  bucket, field, customer, quantity, least, shown, code, label, limits, at = struct.unpack('sssssssss', ARGV[1], at)
  local waits, mustWait = {}, false
  if limits ~= '0' then
    local following = tokens + tonumber(limits)
    waits, mustWait = takeTokens(tokens, following - 1, 2 * tokens - 8, nowMs)
    tokens = following
  end
  answers[#answers + 1] = mustWait and 'limited ' .. table.concat(waits, ' ')
    or judge(KEYS[2] .. bucket, field, customer, quantity, least, shown, code, KEYS[3] .. bucket .. ':' .. field, label,
      KEYS[4] .. bucket .. ':' .. customer)
end
if last > lastBefore then redis.call('HSET', KEYS[1], 'ticket', string.format('%.0f', last)) end
if line > lineBefore then redis.call('HINCRBY', KEYS[1], 'line', line - lineBefore) end
if units > 0 then redis.call('HINCRBY', KEYS[1], 'pendingUnits', units) end
if over > 0 then redis.call('HINCRBY', KEYS[1], 'pendingOver', over) end
for n = 1, #reasons do redis.call('HINCRBY', KEYS[1], 'refused:' .. reasons[n], refusals[reasons[n]]) end
return table.concat(answers, '\n')
