"""What the Redis server itself runs for a store: each script is one step that no other client sees half done.

Keys, all behind the store's prefix:

    state            hash: key, changes, events, generation, coming, flipped, kept, source, unclean
    h:NAME           sorted set, all scores 0: the live events of a history in order
    i:NAME           set: the ids of those that have one
    m:NAME           hash: revision and settled
    l:NAME           set: the sessions of a user, the users of a session
    seen             sorted set: when the last live event of each history came
    erased           hash: NAME -> the time of its erasure
    k:NUMBER:NAME    sorted set: the events of a history that a run has kept, of one generation
    g:NUMBER         set: the names in it

A member of a sorted set is the time (16 hex digits, in order), the number (16 digits), and a JSON list: item, type,
rating, session, context as JSON text, id.
"""

from __future__ import annotations

_SHARED = """
local P = ARGV[1]
local S = P .. 'state'
local function field(name) return redis.call('HGET', S, name) or '0' end
local generation, coming = field('generation'), field('coming')
local function next_number() return redis.call('HINCRBY', S, 'changes', 1) end
local function text(number) return string.format('%.0f', number) end
local function less(name, number) if number > 0 then redis.call('HINCRBY', S, name, -number) end end

local function last(key)
  local member = redis.call('ZREVRANGE', key, 0, 0)[1]
  return member and string.sub(member, 1, 16) or ''
end

local function drop(name)
  local live = redis.call('ZCARD', P .. 'h:' .. name)
  redis.call('DEL', P .. 'h:' .. name, P .. 'i:' .. name)
  redis.call('ZREM', P .. 'seen', name)
  for _, other in ipairs(redis.call('SMEMBERS', P .. 'l:' .. name)) do
    redis.call('SREM', P .. 'l:' .. other, name)
  end
  redis.call('DEL', P .. 'l:' .. name)
  less('events', live)
  if redis.call('EXISTS', P .. 'k:' .. generation .. ':' .. name, P .. 'k:' .. coming .. ':' .. name) > 0 then
    local change = text(next_number())
    redis.call('HSET', P .. 'm:' .. name, 'revision', change, 'settled', change)
  else
    redis.call('DEL', P .. 'm:' .. name)
  end
  return live
end
"""

APPEND = (
    _SHARED
    + """
local o, filed = cjson.decode(ARGV[2]), cjson.decode(ARGV[3])
local tally = {new = 0, repeated = 0, late = 0, outdated = 0, erased = 0, evicted = 0}
local touched, order, primary = {}, {}, {}

local function among(key, f, lenient)
  for _, member in ipairs(redis.call('ZRANGEBYLEX', key, '[' .. f.time, '(' .. f.time .. ':')) do
    local there = cjson.decode(string.sub(member, 33))
    if there[1] == f.item and (there[2] == f.type or (lenient and there[2] == cjson.null)) then return true end
  end
  return false
end

local function file(f)
  local erased = redis.call('HGET', P .. 'erased', f.name)
  if erased and f.time <= erased then return 'erased' end
  local live, kept = P .. 'h:' .. f.name, P .. 'k:' .. generation .. ':' .. f.name
  if redis.call('SISMEMBER', P .. 'i:' .. f.name, f.known) == 1 then return 'repeated' end
  if f.id == '' and (among(live, f, false) or among(kept, f, true)) then return 'repeated' end
  local t = touched[f.name]
  if not t then
    t = {late = false}
    touched[f.name] = t
    order[#order + 1] = f.name
    if redis.call('EXISTS', P .. 'm:' .. f.name) == 0 then
      local began = redis.call('EXISTS', kept) == 1 and '0' or text(next_number())
      redis.call('HSET', P .. 'm:' .. f.name, 'settled', began)
    end
  end
  local before = last(live)
  if last(kept) > before then before = last(kept) end
  local number = text(next_number())
  redis.call('ZADD', live, 0, f.time .. string.rep('0', 16 - #number) .. number .. f.body)
  if f.id ~= '' then redis.call('SADD', P .. 'i:' .. f.name, f.id) end
  if f.user ~= '' then
    redis.call('SADD', P .. 'l:' .. f.name, f.user)
    redis.call('SADD', P .. 'l:' .. f.user, f.name)
  end
  redis.call('HINCRBY', S, 'events', 1)
  t.revision = number
  local became = 'new'
  if f.time < before then
    t.late = true
    became = 'late'
  end
  if f.primary then primary[tonumber(number)] = became end
  return became
end

local became = ''
for _, f in ipairs(filed) do
  if f.primary then
    became = file(f)
    tally[became] = tally[became] + 1
  elseif became ~= 'erased' then
    file(f)
  end
end

for place, name in ipairs(order) do
  local live, t = P .. 'h:' .. name, touched[name]
  local much = redis.call('ZCARD', live) - o.events
  if much > 0 then
    for _, member in ipairs(redis.call('ZRANGE', live, 0, much - 1)) do
      local id = cjson.decode(string.sub(member, 33))[6]
      if id ~= cjson.null then redis.call('SREM', P .. 'i:' .. name, id) end
      local was = primary[tonumber(string.sub(member, 17, 32))]
      if was then
        tally[was] = tally[was] - 1
        tally.outdated = tally.outdated + 1
      end
    end
    redis.call('ZREMRANGEBYRANK', live, 0, much - 1)
    less('events', much)
  end
  redis.call('HSET', P .. 'm:' .. name, 'revision', t.revision)
  if t.late then redis.call('HSET', P .. 'm:' .. name, 'settled', t.revision) end
  local seen = redis.call('ZSCORE', P .. 'seen', name)
  local now = o.now + place - 1  -- no two alike, so that the first of a batch is the first to go
  if not seen or tonumber(seen) < now then redis.call('ZADD', P .. 'seen', text(now), name) end
end

local much = redis.call('ZCARD', P .. 'seen') - o.histories
if much > 0 then
  for _, name in ipairs(redis.call('ZRANGE', P .. 'seen', 0, much - 1)) do drop(name) end
  tally.evicted = much
end
return {tally.new + tally.late, tally.repeated, tally.late, tally.outdated, tally.erased, tally.evicted}
"""
)
"""Prefix, limits and time, filings -> new, repeated, late, outdated, erased, evicted."""

HISTORY = """
local P, name, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local s = redis.call('HMGET', P .. 'state', 'generation', 'flipped')
local m = redis.call('HMGET', P .. 'm:' .. name, 'revision', 'settled')
local live, kept = {}, {}
if most > 0 then
  live = redis.call('ZREVRANGE', P .. 'h:' .. name, 0, most - 1)
  kept = redis.call('ZREVRANGE', P .. 'k:' .. s[1] .. ':' .. name, 0, most - 1)
end
return {live, kept, m[1] or '0', m[2] or '0', s[2]}
"""
"""Prefix, name, most -> live and kept members, newest first; revision, settled, flipped."""

ERASE = (
    _SHARED
    + """
local function erase(name)
  local kept = redis.call('ZCARD', P .. 'k:' .. generation .. ':' .. name)
  redis.call('DEL', P .. 'k:' .. generation .. ':' .. name, P .. 'k:' .. coming .. ':' .. name)
  redis.call('SREM', P .. 'g:' .. generation, name)
  less('kept', kept)
  local till = last(P .. 'h:' .. name)  -- later than now by a clock that is a little ahead
  if till < ARGV[3] then till = ARGV[3] end
  local live = drop(name)
  redis.call('HSET', P .. 'erased', name, till)
  next_number()
  return live, kept
end
local linked = {}
if ARGV[4] == '1' then linked = redis.call('SMEMBERS', P .. 'l:' .. ARGV[2]) end
local live, kept = erase(ARGV[2])
for _, name in ipairs(linked) do erase(name) end
redis.call('HSET', S, 'unclean', '1')
return {live, kept, #linked}
"""
)
"""Prefix, name, time, whether its sessions too -> live and kept events, sessions."""

EXPIRE = (
    _SHARED
    + """
local names = redis.call('ZRANGEBYSCORE', P .. 'seen', '-inf', '(' .. ARGV[2], 'LIMIT', 0, ARGV[3])
local events = 0
for _, name in ipairs(names) do events = events + drop(name) end
return {#names, events}
"""
)
"""Prefix, before when, how many at most -> histories, events."""

FLIP = (
    _SHARED
    + """
if coming ~= ARGV[2] then return {-1, 0, 0} end
local users, events = 0, 0
local erased = redis.call('HGETALL', P .. 'erased')
for place = 1, #erased, 2 do
  local key = P .. 'k:' .. coming .. ':' .. erased[place]
  local gone = redis.call('ZREMRANGEBYLEX', key, '-', '(' .. erased[place + 1] .. ':')
  if gone > 0 then
    users, events = users + 1, events + gone
    if redis.call('EXISTS', key) == 0 then redis.call('SREM', P .. 'g:' .. coming, erased[place]) end
  end
end
redis.call('HSET', S, 'generation', coming, 'coming', '0', 'flipped', text(next_number()),
  'kept', text(tonumber(ARGV[3]) - events), 'source', ARGV[4])
redis.call('DEL', P .. 'claim')
return {users, events, generation}
"""
)
"""Prefix, coming generation, its events, its source -> erased users and events left out, the generation before."""
