-- Takes a place in a sliding window. All times are in microseconds.
-- KEYS: the list of the last starts, oldest first; when the next one that is
--       turned away may come back
-- ARGV: the limit, its time, how far away the place may be, how many places to
--       foretell, the present or -1 for the server's clock
-- Returns whether a place was taken, in how long it is, how many more are free,
-- and in how long the foretold ones are.
local starts, promised = KEYS[1], KEYS[2]
local limit, per, patience, batch = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = tonumber(ARGV[5])
if now < 0 then
  local t = redis.call('TIME')
  now = tonumber(t[1]) * 1000000 + tonumber(t[2])
end

-- As text a number must keep all its digits: Lua's own form has 14.
local function text(n) return string.format('%.0f', n) end
local function start(i) return tonumber(redis.call('LINDEX', starts, i)) end
-- Milliseconds, rounded up, and a second for good measure.
local function lifetime(us) return text(math.ceil(us / 1000) + 1000) end

local count = redis.call('LLEN', starts)
while count > 0 and (count > limit or start(0) <= now - per) do
  redis.call('LPOP', starts)
  count = count - 1
end

local at = now
if count == limit then
  at = start(0) + per
end

local taken, after = 0, 0
if at - now <= patience then
  taken, after = 1, at - now
  if count == limit then
    redis.call('LPOP', starts)
    count = count - 1
  end
  redis.call('RPUSH', starts, text(at))
  count = count + 1
  redis.call('PEXPIRE', starts, lifetime(after + per))
else
  local promise = math.max(at, tonumber(redis.call('GET', promised) or '0'))
  after = promise - now
  local step = per / limit
  redis.call('SET', promised, text(promise + step), 'PX', lifetime(after + step))
end

local free, next = limit - count, 0
if free == 0 then
  next = start(batch - 1) + per - now
end
return {taken, after, free, next}
