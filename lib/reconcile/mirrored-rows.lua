-- What the mirror has of some reservations of one sale, and of their customers.
-- KEYS[1]  the prefix of the keys of the sale's claims buckets
-- ARGV[1]  three texts for each reservation, each ended by a zero byte: bucket, its field, and its customer's
-- Returns  for each the packed value and what the customer claims, false for what is not there
local answers = {}
local at = 1
while at <= #ARGV[1] do
  local bucket, reservation, customer
  bucket, reservation, customer, at = struct.unpack('sss', ARGV[1], at)
  answers[#answers + 1] = redis.call('HMGET', KEYS[1] .. bucket, reservation, customer)
end
return answers
