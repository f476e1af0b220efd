-- What the scripts of shared limits have in common. The text of one of them follows.
--
-- They keep a state with a clock of its own and a list of who asks. Times are microseconds.

local clock = redis.call('TIME')
local wall = clock[1] * 1000000 + clock[2]

local function load_state(key)
  local packed = redis.call('GET', key)
  return packed and cmsgpack.unpack(packed)
    or { epoch = wall, version = 0, behind = 0, last = wall, hold = 0, full = 0, askers = {}, charges = {} }
end

-- A day longer than anything counts, so that a clock that is set forward does not make the state expire.
local function save_state(key, state, counts)
  redis.call('SET', key, cmsgpack.pack(state), 'PX', math.ceil(counts / 1000) + 86400000)
end

-- The clock of a limit never goes back, and never jumps ahead of what an asker's own clock allows.
local function tick(state, latest)
  local now = math.max(wall - state.behind, state.last)
  if latest and now > latest then now = math.max(latest, state.last) end
  state.behind, state.last = wall - now, now
  return now
end

-- Note who asks; how many have done so of late.
local function count_askers(state, asker, presence)
  state.askers[asker] = state.last
  local count = 0
  for name, seen in pairs(state.askers) do
    if seen < state.last - presence then state.askers[name] = nil else count = count + 1 end
  end
  return count
end

-- Whether what the asker relies on has been forgotten here. Then `closed` holds everybody back for a window, once. A
-- state that is older than that came back from a copy, and what it says of an earlier loss is of no use.
local function is_lost(state, epoch, version, window, closed)
  if not epoch or (epoch == state.epoch and version <= state.version) then return false end
  if epoch >= state.epoch then state.epoch, state.hold = math.max(wall, epoch + 1), 0 end
  if closed and state.hold == 0 then state.hold = state.last + window end
  return true
end

