-- The gate: says who may try. Advice only; MySQL decides who got it.
-- KEYS[1]  the sale
-- KEYS[2]  the claims bucket of this customer
-- ARGV[1]  the reservation's field      ARGV[2]  the customer's field
-- ARGV[3]  quantity                     ARGV[4]  the least the customer takes
-- Returns  {'unknown'}                            the sale is not here; load it and ask again
--          {'repeat', packed}                     this reservation is here already
--          {'admitted', ticket, position}         go on to the queue; the claim is recorded
--          {refusal, fact}                        sale_not_open, sale_closed, sale_paused, sale_cancelled,
--                                                 over_cap or sold_out
local sale = redis.call('HMGET', KEYS[1], 'opens', 'closes', 'status', 'cap', 'waitlistSize', 'available', 'waitlisted',
  'pendingUnits', 'pendingOver', 'ticket')
if not sale[1] then
  return { 'unknown' }
end

local packed = redis.call('HGET', KEYS[2], ARGV[1])
-- A request that could not be queued comes again: it is judged again, and keeps the place in line that it was given.
local state, wanted, least, ticketBefore, positionBefore = string.match(packed or '', '^(u):0:0:(%d+):(%d*):(%x+):(%d+)$')
if packed and not (state and wanted == ARGV[3] and (least == '' and wanted or least) == ARGV[4]) then
  return { 'repeat', packed }
end

-- This server's clock judges the window, so that all functions agree to the microsecond.
local time = redis.call('TIME')
local nowUs = time[1] * 1000000 + time[2]
local opensMs, closesMs, status = tonumber(sale[1]), tonumber(sale[2]), sale[3]
if status == 'cancelled' then
  return { 'sale_cancelled', '' }
end
if nowUs < opensMs * 1000 then
  return { 'sale_not_open', sale[1] }
end
if nowUs >= closesMs * 1000 then
  return { 'sale_closed', sale[2] }
end
if status == 'paused' then
  return { 'sale_paused', '' }
end

local quantity, atLeast = tonumber(ARGV[3]), tonumber(ARGV[4])
local held = tonumber(redis.call('HGET', KEYS[2], ARGV[2]) or '0')
if held + quantity > tonumber(sale[4]) then
  return { 'over_cap', tostring(held) }
end

-- Admitted requests that are not decided yet are counted as if each got what it asks for.
local free = tonumber(sale[6]) - tonumber(sale[8] or '0')
local beyond = free < atLeast
if beyond and tonumber(sale[7]) + tonumber(sale[9] or '0') >= tonumber(sale[5]) then
  return { 'sold_out', '' }
end

local last = tonumber(sale[10] or '0')
local ticket = ticketBefore and tonumber(ticketBefore, 16) or (nowUs > last and nowUs or last + 1)
local position = positionBefore or redis.call('HINCRBY', KEYS[1], 'line', 1)
if ticket > last then
  redis.call('HSET', KEYS[1], 'ticket', string.format('%.0f', ticket))
end
redis.call('HINCRBY', KEYS[1], beyond and 'pendingOver' or 'pendingUnits', beyond and 1 or quantity)
redis.call('HINCRBY', KEYS[2], ARGV[2], quantity)
redis.call('HSET', KEYS[2], ARGV[1], table.concat(
  { beyond and 'o' or 'r', 0, 0, quantity, atLeast == quantity and '' or atLeast, string.format('%x', ticket), position },
  ':'))
return { 'admitted', string.format('%.0f', ticket), tonumber(position) }
