-- A limit for each client, for many processes: lets one request of one client pass, or refuses it.
--
-- Requests are counted in sixteenths of the window (`part`); one that is refused does not count.
--
-- KEYS[1]  what all clients have in common, packed. 2 the counts of the client, packed.
-- ARGV     1 who asks, 2 requests per window, 3 the window, 4 its sixteenth, 5 the epoch that the asker relies on,
--          6 the latest that it can be now, 7 whether lost state closes the limit, 8 how long an asker counts as
--          there, 9 whether there is a request at all.
-- Answers  whether it may pass, how many more may, time until the oldest (refused) or the newest leaves, now, epoch,
--          askers, whether state was lost.
local limit, window, part = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local state = load_state(KEYS[1])
local now = tick(state, tonumber(ARGV[6]))
local lost = is_lost(state, tonumber(ARGV[5]), 0, window, ARGV[7] == '1') and 1 or 0
local askers = count_askers(state, ARGV[1], tonumber(ARGV[8]))
save_state(KEYS[1], state, 2 * window)
if ARGV[9] == '0' then return { 0, 0, 0, now, state.epoch, askers, lost } end
if now < state.hold then return { 0, 0, state.hold - now, now, state.epoch, askers, lost } end

local this = math.floor(now / part)
local packed = redis.call('GET', KEYS[2])
local counts, total = {}, 0
local row = packed and cmsgpack.unpack(packed) or {}
for i = 1, #row, 2 do
  if row[i] > this - 17 then
    counts[#counts + 1] = row[i]
    counts[#counts + 1] = row[i + 1]
    total = total + row[i + 1]
  end
end
if total >= limit then
  return { 0, 0, (counts[1] + 17) * part - now, now, state.epoch, askers, lost }
end
if counts[#counts - 1] == this then
  counts[#counts] = counts[#counts] + 1
else
  counts[#counts + 1] = this
  counts[#counts + 1] = 1
end
redis.call('SET', KEYS[2], cmsgpack.pack(counts), 'PX', math.ceil(2 * window / 1000) + 1000)
return { 1, limit - total - 1, (this + 17) * part - now, now, state.epoch, askers, lost }
