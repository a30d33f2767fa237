"""The script that keeps the record of a fleet on the server: leases, views, who is prepared.

Every call of a member is one run of the script, on the server's time. A run first drops the members
whose lease has ended, that are suspected, or that did not prepare in time. Then it carries out the
call, and publishes what follows on the control channel:

- Members that are gone are taken out of the committed view at once: nobody has to prepare for that,
  since they deliver nothing any longer.
- Where the members that stay differ from the committed view, the next view is announced
  (``prepare``). While a change is under way, members that join or leave wait for the next one.
  Where a member of the announced view is gone, the others of it are announced anew, without those
  that wait: members that never prepare so hold up each change once.
- When all members of the announced view have said that they are prepared, it is committed.
- A member that leaves keeps its lease until it has handled what it has. If the lease ends before,
  the committed view is committed anew, with that member as one that is gone.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal

#: join: ask for a lease. renew: prolong it; the value is up to when all that came is handled, or
#: empty where that is as before.
#: leave: prolong it, and own nothing in the next view; the value is the same, or "done": then the
#: lease ends as soon as no view has the member.
#: prepared: the value is the view's number.
#: suspect: the value is the member. look: publish the committed and the announced view once more;
#: a record without a committed view takes nothing from owners that had one in an earlier record.
Action = Literal["join", "renew", "leave", "prepared", "suspect", "look"]

SCRIPT: Final = """\
local action, id, incarnation, value = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local ttl, prepare_within, channel = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function as_list(items)
  return #items == 0 and '[]' or cjson.encode(items)
end
local function is_same(a, b)
  return table.concat(a, ' ') == table.concat(b, ' ')
end
local function publish(kind, view)
  redis.call('PUBLISH', channel, '{"type":"' .. kind .. '","view":' .. view.text .. '}')
end
local function reply(verdict, committed, announced, by)
  return string.format('{"verdict":"%s","now":%.0f,"committed":%.0f,"announced":%.0f,"by":"%s"}',
    verdict, now, committed, announced, by)
end
local function read_lease(text)
  local ends, handled, leaving, of = text:match('^(%d+) (%d+) (%d) (.*)$')
  return {ends = tonumber(ends), handled = tonumber(handled), leaving = leaving == '1',
    incarnation = of}
end
local function write_lease(member, lease)
  redis.call('HSET', KEYS[1], 'member ' .. member, string.format('%.0f %.0f %d %s',
    lease.ends, lease.handled, lease.leaving and 1 or 0, lease.incarnation))
end

-- Most calls renew a lease while nothing else can be due: those read and write this lease alone.
if action == 'renew' then
  local quiet, text = unpack(redis.call('HMGET', KEYS[1], 'quiet', 'member ' .. id))
  local lease = text and read_lease(text)
  local ends, committed = (quiet or '0 0'):match('^(%d+) (%d+)$')
  if now < tonumber(ends) and lease and lease.incarnation == incarnation then
    lease.ends, lease.handled = now + ttl, tonumber(value) or lease.handled
    write_lease(id, lease)
    redis.call('PEXPIRE', KEYS[1], math.max(10 * ttl, 60000))
    return reply('ok', committed, committed, '')
  end
end

-- The record: a field for each member, and the two views.
local leases, views, announced_at = {}, {}, now
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local name, text = fields[i], fields[i + 1]
  local member = name:match('^member (.*)$')
  if member then
    leases[member] = read_lease(text)
  elseif name == 'announced at' then
    announced_at = tonumber(text)
  elseif name ~= 'quiet' then
    views[name] = cjson.decode(text)
    views[name].text = text
  end
end
local function store_view(name, view)
  views[name] = view
  redis.call('HSET', KEYS[1], name, view.text)
end
local function store_lease(member, lease)
  leases[member] = lease
  write_lease(member, lease)
end
local function remove(member)
  leases[member] = nil
  redis.call('HDEL', KEYS[1], 'member ' .. member)
end
local function new_view(members, gone, before)
  local last = math.max(views.committed.number, views.announced.number)
  local view = {number = math.max(last + 1, now), members = members}
  view.text = string.format('{"number":%.0f,"members":%s,"gone":%s,"fresh":%s}',
    view.number, as_list(members), as_list(gone), tostring(#before == 0))
  return view
end
local function announce(members, before)
  store_view('announced', new_view(members, {}, before))
  redis.call('HSET', KEYS[1], 'announced at', now)
  redis.call('DEL', KEYS[2])
  publish('prepare', views.announced)
end
local function commit(view)
  store_view('committed', view)
  publish('commit', view)
end
local none = {number = 0, members = {}, text = '{"number":0,"members":[],"gone":[],"fresh":true}'}
views.committed = views.committed or none
views.announced = views.announced or views.committed

local function is_under_way()
  return views.announced.number ~= views.committed.number
end
local function is_alive(text)
  local member, of = text:match('^(.*)/(.*)$')
  return leases[member] ~= nil and leases[member].incarnation == of
end
local function is_prepared(text)
  return redis.call('SISMEMBER', KEYS[2], text) == 1
end

-- Who is gone.
local me = id .. '/' .. incarnation
if action == 'prepared' and tonumber(value) == views.announced.number and is_alive(me) then
  redis.call('SADD', KEYS[2], me)
end
local is_late = {}
if is_under_way() and now - announced_at >= prepare_within then
  for _, text in ipairs(views.announced.members) do
    is_late[text] = not is_prepared(text)
  end
end
local gone, leaver_died = {}, false
for member, lease in pairs(leases) do
  local text = member .. '/' .. lease.incarnation
  if lease.ends <= now or is_late[text] or (action == 'suspect' and value == text) then
    gone[#gone + 1] = {member = text, handled = lease.handled}
    if lease.leaving then leaver_died = true end
  end
end
table.sort(gone, function(a, b) return a.member < b.member end)
for _, each in ipairs(gone) do
  remove(each.member:match('^(.*)/'))
end

-- The call.
local verdict, by = 'ok', ''
local mine = leases[id]
if action == 'join' and mine and mine.incarnation ~= incarnation then
  verdict, by = 'taken', mine.incarnation
elseif action == 'join' then
  mine = mine or {incarnation = incarnation, handled = 0, leaving = false}
  mine.ends = now + ttl
  store_lease(id, mine)
elseif action == 'renew' or action == 'leave' then
  if not is_alive(me) then
    verdict = 'unknown'
  else
    mine.ends = now + ttl
    if action == 'leave' then mine.leaving = true end
    mine.handled = tonumber(value) or mine.handled
    store_lease(id, mine)
  end
end

-- What follows.
local function members_that_stay()
  local stay = {}
  for member, lease in pairs(leases) do
    if not lease.leaving then stay[#stay + 1] = member .. '/' .. lease.incarnation end
  end
  table.sort(stay)
  return stay
end
local function remove_if_done()
  if action ~= 'leave' or value ~= 'done' or not is_alive(me) then return end
  for _, text in ipairs(views.committed.members) do
    if text == me then return end
  end
  remove(id)
  verdict = 'left'
end
local function those_alive(members)
  local alive = {}
  for _, text in ipairs(members) do
    if is_alive(text) then alive[#alive + 1] = text end
  end
  return alive
end
local owners = those_alive(views.committed.members)
remove_if_done()
local stay = members_that_stay()
local following = stay
if is_under_way() then following = those_alive(views.announced.members) end
local is_broken = is_under_way() and #following < #views.announced.members
local has_changed = leaver_died or #owners < #views.committed.members
if has_changed or (is_broken and is_same(following, owners)) then
  local without = new_view(owners, gone, views.committed.members)
  store_view('announced', without)
  if not is_same(following, owners) then announce(following, owners) end
  commit(without)
elseif is_broken then
  announce(following, owners)
end
while true do
  if not is_under_way() then
    if is_same(stay, views.committed.members) then break end
    announce(stay, views.committed.members)
  end
  local all = true
  for _, text in ipairs(views.announced.members) do all = all and is_prepared(text) end
  if not all then break end
  commit(views.announced)
  remove_if_done()
end
if action == 'look' then
  if views.committed ~= none then publish('commit', views.committed) end
  if is_under_way() then publish('prepare', views.announced) end
end
local first_end = is_under_way() and 0 or now + ttl
for _, lease in pairs(leases) do first_end = math.min(first_end, lease.ends) end
redis.call('HSET', KEYS[1], 'quiet', string.format('%.0f %.0f', first_end, views.committed.number))
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, math.max(10 * ttl, 60000))
end
return reply(verdict, views.committed.number, views.announced.number, by)"""

DIGEST: Final = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
