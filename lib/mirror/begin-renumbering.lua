-- Begins to give all who wait new places among a sale's requests, behind every place that was given before. Not while a
-- request is undecided: it keeps the place that it has, which would then be before those of earlier requests.
-- KEYS[1]  the sale
-- KEYS[2]  a bit for each place among the sale's requests, set while that request waits in line
-- Returns  '' if there is nothing to do, or it cannot be done now; else, with spaces between, the last of the old places, the
--          last of the new ones, and the ticket up to which requests are to get them
local sale = redis.call('HMGET', KEYS[1], 'waitlisted', 'line', 'ticket', 'pendingUnits', 'pendingOver', 'partial')
local waitlisted, last = tonumber(sale[1] or '0'), tonumber(sale[2] or '0')
local isUndecided = (sale[4] or '0') ~= '0' or (sale[5] or '0') ~= '0'
if isUndecided or sale[6] or redis.call('BITCOUNT', KEYS[2]) == waitlisted then
  return ''
end
local time = redis.call('TIME')
local nowUs = time[1] * 1000000 + time[2]
local lastTicket = tonumber(sale[3] or '0')
local ticket = lastTicket > nowUs and lastTicket or nowUs
local old, new = string.format('%d', last), string.format('%d', last + waitlisted)
redis.call('HSET', KEYS[1], 'oldPlaces', old, 'line', new)
return old .. ' ' .. new .. ' ' .. string.format('%.0f', ticket)
