-- One limit for many processes: hands out permits as leases, each usable from a start to an end.
--
-- A lease is charged at its end, the last moment at which one of its permits can be used, so no window can hold more
-- than the limit wherever in the lease they are used. A lease may start later than now: then whoever asked need not ask
-- again. Charges are kept by the sub-window (`part`) in which they fall, as if made at its end.
--
-- KEYS[1]  the state, packed.
-- ARGV     1 who asks, 2 "window" or "burst", 3 permits per window or in the bucket, 4 the window, or the time of one
--          permit, 5 the sub-window, 6 the length of a lease, 7 how far ahead a lease may start, 8 the fewest permits
--          that help (if so few are there now), 9 the most that are wanted, 10 the epoch that the asker relies on,
--          11 its newest version, 12 the latest that it can be now, 13 whether lost state closes the limit, 14 how
--          long an asker counts as there, 15... what became of earlier leases, in fours: the part where they are
--          charged, permits given back, permits used, and the part of the last use.
-- Answers  permits, time until they start, length, now, part where they are charged, epoch, version, askers, whether
--          state was lost, time until it is worth asking again.
local limit, span, part, length = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local ahead, least, most = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local by_window = ARGV[2] == 'window'

local state = load_state(KEYS[1])
local now = tick(state, tonumber(ARGV[12]))
local window = by_window and span or limit * span
local lost = is_lost(state, tonumber(ARGV[10]), tonumber(ARGV[11]), window, ARGV[13] == '1')
local askers = count_askers(state, ARGV[1], tonumber(ARGV[14]))

-- Charges by part, without those that have left.
local gone = math.floor((now - window) / math.max(part, 1))
local charges = {}
for i = 1, #state.charges, 2 do
  if state.charges[i] > gone then charges[state.charges[i]] = state.charges[i + 1] end
end
local function charge(at, permits)
  if at > gone and permits ~= 0 then charges[at] = math.max((charges[at] or 0) + permits, 0) end
end
local function take(permits)
  state.full = math.max(state.full, now) + math.ceil(permits * span)
end
for i = 15, #ARGV, 4 do
  local at, back, used = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  if not by_window then
    if at == 0 then take(used) end
  else
    if not lost and charges[at] then charge(at, -(back + used)) end
    charge(tonumber(ARGV[i + 3]), used)
  end
end

local earliest = math.max(now, state.hold)
local permits, start, at = most, earliest, 0
if by_window then
  local parts, free = {}, limit
  for p, count in pairs(charges) do
    parts[#parts + 1] = p
    free = free - count
  end
  table.sort(parts)
  if free >= least and free < most then permits = free end
  for _, p in ipairs(parts) do
    if permits <= free then break end
    free = free + charges[p]
    start = math.max(earliest, p * part + span)
  end
else
  local room = math.floor((window - math.max(state.full - earliest, 0)) / span)
  if room >= least and room < most then permits = room end
  start = math.max(earliest, state.full + math.ceil(permits * span) - window)
  length = math.max(math.min(length, window - math.ceil(permits * span)), 0)
end

local again = 0
if permits > 0 and start - now > ahead then
  permits, again = 0, start - now - math.floor(ahead / 2)
end
if permits > 0 then
  state.version = state.version + 1
  if by_window then
    at = math.ceil((start + length) / part)
    charge(at, permits)
  else
    state.full = math.max(state.full, start + length) + math.ceil(permits * span)
  end
end

state.charges = {}
for p, count in pairs(charges) do
  if count > 0 then
    state.charges[#state.charges + 1] = p
    state.charges[#state.charges + 1] = count
  end
end
save_state(KEYS[1], state, 2 * window + ahead + length)
return { permits, start - now, length, now, at, state.epoch, state.version, askers, lost and 1 or 0, again }
