-- A mix of requests for wrk: recommend by user, recommend by history, and events, in given shares.
--
--   wrk ... -s wrk.lua URL -- FOLDER SHARE_BY_USER SHARE_BY_HISTORY [PAUSE]
--
-- FOLDER holds the files users, items and histories, one to a line. Events carry no time and no id, so that each is
-- new. PAUSE is milliseconds that a connection waits between two requests, 0 if left out. All requests of a thread come from its own seed. The summary is one line of JSON.

local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("seed", threads)
end

local function lines(path)
  local found = {}
  for line in io.lines(path) do found[#found + 1] = line end
  return found
end

function init(args)
  math.randomseed(seed)
  users, items, histories = lines(args[1] .. "/users"), lines(args[1] .. "/items"), lines(args[1] .. "/histories")
  by_user, by_history = tonumber(args[2]), tonumber(args[3])
  pause = tonumber(args[4] or "0")
  if pause > 0 then delay = function() return pause end end
  headers = { ["content-type"] = "application/json" }
end

function request()
  local drawn = math.random()
  local user = users[math.random(#users)]
  if drawn < by_user then
    return wrk.format("POST", "/v1/recommend", headers, '{"k":10,"user":' .. user .. "}")
  elseif drawn < by_user + by_history then
    local history = histories[math.random(#histories)]
    return wrk.format("POST", "/v1/recommend", headers, '{"k":10,"history":' .. history .. "}")
  end
  local item = items[math.random(#items)]
  return wrk.format("POST", "/v1/events", headers, '{"user":' .. user .. ',"item":' .. item .. "}")
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\nJSON {"requests": %d, "microseconds": %d, "p50": %d, "p90": %d, "p99": %d, "max": %d, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(90), latency:percentile(99),
    latency.max, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
