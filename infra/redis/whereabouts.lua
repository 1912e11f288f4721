#!lua name=whereabouts_@VERSION@
-- The only writers of the live store. One call works on one partition, whose keys share a hash tag, so it is
-- atomic: nobody sees half of it. What can fail is checked before the first write, since an error in the middle
-- of a function leaves what it had written.
--
-- Whatever stands in a key may have been put there by somebody else. A record that is not one of ours is passed over by
-- all functions, and `unflushed` names it; only its driver's next report replaces it. A line of meta that cannot be read
-- counts as lost: the partition goes on from the lines that can, and says less of what is in Postgres, never more.
--
-- Meta of a partition is a hash of three lines of words, by how often they change; so what most calls read anew is one
-- short line, and the other two are looked up by their text. Times are ms of this server's clock.
--   reign     map, epoch, owner, since, base [, previous]
--               the partition map's hash; a name for this data, new where it began from nothing; run id of the process
--               that writes, and since when (the two together name the reign); the revision at which this reign began,
--               and the one before it
--   written   rev, dirty_since, seen_at, renewed_at, accepted
--               revision of the last write; no position that is not in Postgres is older than this (0: all are there);
--               last write or touch; last renewal of the keys' expiry; positions accepted in all
--   flushed   flushed, flushed_at, accepted_at_begin, accepted_flushed
--               all up to this revision is in Postgres; begin's time of the last finished flush; positions accepted in
--               all at begin, and at the last flush
--
-- A state, the first two elements of most answers; as text and as six little-endian doubles, since each element of an
-- answer costs its maker and its reader more than what is in it:
--   epoch, reign, base, previous
--   rev, flushed, now, seen_at, since when the reign is, dirty_since

local RECORD_FORMAT = 1
local MAX_RECORDS = 512
local MAX_LATITUDE_E7 = 850511287
local MAX_LONGITUDE_E7 = 1800000000
local MAX_CLOCK_AHEAD_MS = 5000
local MAX_CHECKPOINTS_PER_DRIVER = 10
local MAX_HITS = 2000
local MAX_SCANNED = 4000
local EXPIRE_MS = 7 * 24 * 3600 * 1000
local RENEW_MS = 3600 * 1000
local SILENT_MS = 5000
local WARMING_MS = 2000
local BODY_BYTES = 35
local RECORD_BYTES = 43
local MOVED_RECORD_BYTES = 45
local MAX_STATUS = 2
-- What a double holds exactly.
local MAX_WHOLE = 9007199254740991
-- No flusher takes a longer lease.
local MAX_LEASE_MS = 60000
local SCORE_BYTES = 16
-- Of a body: format, session, recorded_at, lat, lon, status, flags, seq.
local BODY = '<BI6I6i4i4xxxxxxBBxxI4'
-- Of a record, what a newer one is held against: format, session, recorded_at, status, flags, seq.
local ORDER = '<BI6I6xxxxxxxxxxxxxxBBxxI4'
-- Of an arena's record: id, then the length of the checkpoint id.
local HEAD = '<Bc0B'
-- Of a record: the same, and the revision; format, recorded_at, status, flags and services; the same with the revision.
local RECORD = BODY .. 'I8'
local FITTING = '<BxxxxxxI6xxxxxxxxxxxxxxBBI2'
local AGE = '<BxxxxxxI6xxxxxxxxxxxxxxBBxxxxxxI8'
local NUMBERS = '<dddddd'
local FLAGS_AT = 29
local QUARANTINED, UNLISTED, ARCHIVED, CHECKPOINT, MOVED = 1, 2, 4, 8, 16
local GEO_SETS = { [1] = 'available', [2] = 'busy' }

-- While a library loads, Redis shows it none of these: each function binds them when it is first called.
local byte, sub, match, find, format, concat, floor, max, pack, unpack_struct, band, bor

local function bind()
  byte, sub, match, find, format = string.byte, string.sub, string.match, string.find, string.format
  concat, floor, max = table.concat, math.floor, math.max
  pack, unpack_struct, band, bor = struct.pack, struct.unpack, bit.band, bit.bor
end

local run_id

local function my_run_id()
  if not run_id then
    run_id = match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  end
  return run_id
end

local function now_us()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function fail(code, text)
  return redis.error_reply(code .. ' ' .. text)
end

-- Numbers above 1e14 would be written in exponent form by tostring.
local function digits(number)
  return format('%.0f', number)
end

-- Nothing where a text is no whole number, or too large to be counted on from.
local function whole(text)
  local number = text and match(text, '^%d+$') and tonumber(text)
  return number and number <= MAX_WHOLE and number or nil
end

-- What `parse` makes of a text, from memory where it was asked lately. Nobody may change it.
local MAX_REMEMBERED = 1024
local function remembering(parse)
  local known, count = {}, 0
  return function(text)
    local value = known[text]
    if not value then
      if count == MAX_REMEMBERED then known, count = {}, 0 end
      value = parse(text)
      if value then known[text], count = value, count + 1 end
    end
    return value
  end
end

-- `said`: the head of a state.
local function new_reign(r)
  r.name = r.owner .. '@' .. digits(r.since)
  r.said = concat({ r.epoch, r.name, digits(r.base), r.previous }, ' ')
  return r
end

local read_reign = remembering(function(text)
  local map, epoch, owner, since, base, previous = match(text, '^(%S+) (%S+) (%S+) (%S+) (%S+) ?(%S*)$')
  since, base = whole(since), whole(base)
  return since and base and
    new_reign({ map = map, epoch = epoch, owner = owner, since = since, base = base, previous = previous })
end)

local read_flush = remembering(function(text)
  local flushed, at, accepted_at_begin, accepted = match(text, '^(%S+) (%S+) (%S+) (%S+)$')
  flushed, at, accepted_at_begin, accepted = whole(flushed), whole(at), whole(accepted_at_begin), whole(accepted)
  return flushed and at and accepted_at_begin and accepted and
    { flushed = flushed, at = at, accepted_at_begin = accepted_at_begin, accepted = accepted }
end)

local NO_REIGN = { owner = '', name = '', said = '  0 ', since = 0, base = 0, previous = '' }
local NOTHING_WRITTEN, NOTHING_FLUSHED = '0 0 0 0 0', '0 0 0 0'

-- Adds what the line `written` says, and returns whether it could be read.
local function read_written(meta, text)
  local rev, dirty_since, seen_at, renewed_at, accepted = match(text, '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
  if rev then
    rev, dirty_since, seen_at = tonumber(rev), tonumber(dirty_since), tonumber(seen_at)
    renewed_at, accepted = tonumber(renewed_at), tonumber(accepted)
    if max(rev, dirty_since, seen_at, renewed_at, accepted) <= MAX_WHOLE then
      meta.rev, meta.dirty_since, meta.seen_at = rev, dirty_since, seen_at
      meta.renewed_at, meta.accepted = renewed_at, accepted
      return true
    end
  end
  meta.rev, meta.dirty_since, meta.seen_at, meta.renewed_at, meta.accepted = 0, meta.now, 0, 0, meta.flush.accepted
  return false
end

local function read_meta(key, map)
  local v = redis.call('HMGET', key, 'reign', 'written', 'flushed')
  local reign = v[1] and read_reign(v[1]) or NO_REIGN
  if reign.map and reign.map ~= map then
    return nil, fail('MAPMISMATCH', 'this partition was written under map ' .. reign.map .. ', not ' .. map)
  end
  local flush = read_flush(v[3] or NOTHING_FLUSHED)
  local meta = { reign = reign, flush = flush or read_flush(NOTHING_FLUSHED), now = floor(now_us() / 1000) }
  local is_read = read_written(meta, v[2] or NOTHING_WRITTEN)
  meta.is_damaged = not is_read or not flush or v[1] and reign == NO_REIGN
  if not flush and meta.dirty_since == 0 then meta.dirty_since = meta.now end
  -- A new position must not get a revision that counts as flushed.
  if meta.rev < meta.flush.flushed then meta.rev = meta.flush.flushed end
  return meta
end

local function begin_reign(meta, map)
  local old, owner = meta.reign, my_run_id()
  local since = max(meta.now, old.since + 1)
  meta.reign = new_reign({ map = map, epoch = old.epoch or digits(now_us()), owner = owner, since = since,
    base = meta.rev, previous = old.name })
  meta.reigns_anew = true
end

-- Whoever writes to a partition first says under whose reign: a promoted replica, a restarted process and an
-- emptied node all show themselves here. The caller has to write what it is given.
local function open_for_write(key, map)
  local meta, err = read_meta(key, map)
  if not meta then return meta, err end
  if meta.is_damaged then redis.log(redis.LOG_WARNING, 'whereabouts: ' .. key .. ' cannot be read in part') end
  if meta.reign.owner ~= my_run_id() then begin_reign(meta, map) end
  return meta
end

local function push(list, name, value)
  local n = #list
  list[n + 1], list[n + 2] = name, value
end

local function written_line(meta)
  return format('%.0f %.0f %.0f %.0f %.0f', meta.rev, meta.dirty_since, meta.seen_at, meta.renewed_at, meta.accepted)
end

-- A new reign, and the lines that are given: `written` and `flush` where the caller changed them.
local function write_meta(key, meta, written, flush)
  local fields = {}
  if meta.reigns_anew then
    local r = meta.reign
    push(fields, 'reign', concat({ r.map, r.epoch, r.owner, digits(r.since), digits(r.base), r.previous }, ' '))
  end
  if written then push(fields, 'written', written_line(meta)) end
  if flush then
    meta.flush = flush
    push(fields, 'flushed',
      format('%.0f %.0f %.0f %.0f', flush.flushed, flush.at, flush.accepted_at_begin, flush.accepted))
  end
  if #fields > 0 then redis.call('HSET', key, unpack(fields)) end
end

local STATE_SIZE = 2

local function state_of(meta)
  local reign = meta.reign
  return { reign.said,
    pack(NUMBERS, meta.rev, meta.flush.flushed, meta.now, meta.seen_at, reign.since, meta.dirty_since) }
end

-- An isolated master still answers reads (silent); a promoted or emptied node answers before it is healed
-- (warming). Neither may pass for "no drivers".
local function health_of(meta)
  local reign = meta.reign
  if not reign.map then return 'silent' end
  if reign.owner ~= my_run_id() or meta.now - reign.since < WARMING_MS then return 'warming' end
  if meta.now - meta.seen_at > SILENT_MS then return 'silent' end
  return 'ok'
end

-- The end of a call that feeds the partition: positions, available, busy and meta live on.
local function write_seen(meta, keys)
  meta.seen_at = meta.now
  local renews = meta.now - meta.renewed_at >= RENEW_MS
  if renews then meta.renewed_at = meta.now end
  write_meta(keys[4], meta, true)
  if not renews then return end
  for i = 1, 4 do redis.call('PEXPIRE', keys[i], EXPIRE_MS) end
end

-- Whether a record of at least RECORD_BYTES is one of ours.
local function is_ours(record, format, status, flags)
  return format == RECORD_FORMAT and status <= MAX_STATUS
    and #record == (band(flags, MOVED) == 0 and RECORD_BYTES or MOVED_RECORD_BYTES)
end

-- Nothing where it is not one of ours.
local function decode(record)
  if #record < RECORD_BYTES then return nil end
  local format, session, recorded_at, lat, lon, status, flags, seq, rev = unpack_struct(RECORD, record)
  if not is_ours(record, format, status, flags) then return nil end
  return { session = session, recorded_at = recorded_at, lat = lat, lon = lon, status = status, flags = flags,
    seq = seq, rev = rev }
end

-- What a newer record is held against: session, recorded_at, status, flags, seq.
local function order_of(record)
  local size = #record
  if size < RECORD_BYTES then return end
  local format, session, recorded_at, status, flags, seq = unpack_struct(ORDER, record)
  -- Of nearly every record the first half is enough.
  if format == RECORD_FORMAT and size == RECORD_BYTES and flags < MOVED and status <= MAX_STATUS
    or is_ours(record, format, status, flags) then
    return session, recorded_at, status, flags, seq
  end
end

local function with_flags(record, flags)
  return sub(record, 1, FLAGS_AT - 1) .. string.char(flags) .. sub(record, FLAGS_AT + 1)
end

local function is_newer(a, b)
  if a.session ~= b.session then return a.session > b.session end
  return a.recorded_at > b.recorded_at
end

-- Arena: for each record  u8 id length | id | u8 checkpoint id length | checkpoint id | body (35 bytes)
--   | score of its place in a geo set (16 decimal digits: a number would be printed and read again)
-- Returns the ids, where each one's checkpoint id and body begin, and what is wrong, or nil: an arena that does not add
-- up is refused whole, for then no id in it can be trusted.
local function index_of(arena)
  local ids, checkpoint_ats, body_ats, n = {}, {}, {}, 0
  local at, size = 1, #arena
  while at <= size do
    local id_end = at + byte(arena, at)
    if id_end + 1 > size then return ids, checkpoint_ats, body_ats, 'the arena does not add up' end
    local id, checkpoint_length, checkpoint_at = unpack_struct(HEAD, arena, at)
    local body_at = checkpoint_at + checkpoint_length
    at = body_at + BODY_BYTES + SCORE_BYTES
    n = n + 1
    ids[n], checkpoint_ats[n], body_ats[n] = id, checkpoint_at, body_at
  end
  if at ~= size + 1 then return ids, checkpoint_ats, body_ats, 'the arena does not add up' end
  if n > MAX_RECORDS then return ids, checkpoint_ats, body_ats, n .. ' records, at most ' .. MAX_RECORDS end
  return ids, checkpoint_ats, body_ats
end

local function score_at(arena, body_at)
  return sub(arena, body_at + BODY_BYTES, body_at + BODY_BYTES + SCORE_BYTES - 1)
end

local function is_valid(id, format, session, lat, lon, status, flags, seq, score)
  return format == RECORD_FORMAT and #id > 0 and #id <= 64 and session > 0 and seq > 0
    and lat >= -MAX_LATITUDE_E7 and lat <= MAX_LATITUDE_E7 and lon >= -MAX_LONGITUDE_E7 and lon <= MAX_LONGITUDE_E7
    and status <= 2 and (flags == 0 or flags == CHECKPOINT) and tonumber(score) ~= nil
end

-- What becomes of a valid record against the newest known of its driver (old_session nil: none is); changes nothing.
local function outcome_of(session, recorded_at, seq, old_session, old_recorded_at, old_seq, now)
  if recorded_at > now + MAX_CLOCK_AHEAD_MS then return 'f' end
  if not old_session or session > old_session then return 'a' end
  if session < old_session then return 'o' end
  if recorded_at > old_recorded_at then return 'a' end
  return recorded_at == old_recorded_at and seq == old_seq and 'd' or 's'
end

-- The field `driver:checkpoint id` holds the record and the id while the checkpoint waits; where Postgres had another of
-- that id, CONFLICT and the time, until its driver has been told. The field `driver` counts what waits of it, `*` all.
local CONFLICT = 'conflict'

local function is_conflict(value)
  return sub(value, 1, #CONFLICT) == CONFLICT
end

-- Whether two bodies say the same time and place.
local function is_same_event(a, b)
  return sub(a, 8, 21) == sub(b, 8, 21)
end

-- Returns how many wait, of the driver or of all ('*'), and whether it had to be counted, as what stands there is no
-- number.
local function waiting_of(key, id)
  local text = redis.call('HGET', key, id)
  local count = text and whole(text) or 0
  if not text or whole(text) then return count, false end
  local prefix, cursor = id == '*' and '' or id .. ':', '0'
  repeat
    local page = redis.call('HSCAN', key, cursor, 'COUNT', 1000)
    cursor = page[1]
    for i = 1, #page[2], 2 do
      local field, value = page[2][i], page[2][i + 1]
      local is_of = find(field, ':', 1, true) and sub(field, 1, #prefix) == prefix
      if is_of and not is_conflict(value) then count = count + 1 end
    end
  until cursor == '0'
  return count, true
end

local function set_waiting(key, id, count)
  if count > 0 then redis.call('HSET', key, id, digits(count)) else redis.call('HDEL', key, id) end
end

-- A checkpoint is taken whether or not it moves the latest position, unless its session is superseded.
-- Returns what becomes of it, and remembers it in `waiting` for the writes to come.
local function outcome_of_checkpoint(key, r, outcome, waiting)
  if outcome == 'o' or outcome == 'b' or outcome == 'f' then return outcome end
  if r.checkpoint_id == '' then return 'b' end
  local field = r.id .. ':' .. r.checkpoint_id
  local before = waiting.fields[field]
  local held = before and before.body or redis.call('HGET', key, field)
  if held and not is_conflict(held) then return is_same_event(held, r.body) and 'd' or 'x' end
  local count = waiting.counts[r.id] or waiting_of(key, r.id)
  if count >= MAX_CHECKPOINTS_PER_DRIVER then return 'c' end
  waiting.counts[r.id] = count + 1
  waiting.fields[field] = r
  waiting.added = waiting.added + 1
  return 'a'
end

local function write_checkpoints(key, waiting, revision)
  if waiting.added == 0 then return end
  local args = { '*', digits(waiting_of(key, '*') + waiting.added) }
  for field, r in pairs(waiting.fields) do push(args, field, r.body .. revision .. r.checkpoint_id) end
  for id, count in pairs(waiting.counts) do push(args, id, digits(count)) end
  redis.call('HSET', key, unpack(args))
end

-- `kept`: ids in order; `latest`: which of the arena's records becomes the latest of each; `statuses`: of each record;
-- `listed`: in which geo set an id stands so far. The geo sets first: one of another type fails before anything of the
-- hash is written, so that the same report is not taken for stored when it comes again.
local function write_positions(keys, arena, body_ats, kept, latest, statuses, listed, revision)
  local hash, n, sets, sizes, left = {}, 0, { {}, {} }, { 0, 0 }, { {}, {} }
  for k = 1, #kept do
    local id = kept[k]
    local i = latest[id]
    local body_at = body_ats[i]
    hash[n + 1], hash[n + 2] = id, sub(arena, body_at, body_at + BODY_BYTES - 1) .. revision
    n = n + 2
    local status, old_status = statuses[i], listed[id]
    if old_status and old_status ~= status then left[old_status][#left[old_status] + 1] = id end
    local set = sets[status]
    if set then
      local m = sizes[status]
      set[m + 1], set[m + 2] = score_at(arena, body_at), id
      sizes[status] = m + 2
    end
  end
  for status = 1, 2 do
    if #left[status] > 0 then redis.call('ZREM', keys[status + 1], unpack(left[status])) end
    if sizes[status] > 0 then redis.call('ZADD', keys[status + 1], unpack(sets[status])) end
  end
  if n > 0 then redis.call('HSET', keys[1], unpack(hash)) end
end

-- Records a batch: for each driver the newest (session, recorded_at) is kept.
-- KEYS positions, available, busy, meta [, checkpoints: only where the batch has one]
-- ARGV map hash, arena of at most 512 records ('' probes: it shows that writes work), freshness in ms
-- Returns state, outcomes (a letter for each record: a accepted, d duplicate, s stale, o older session,
--   f clock ahead, b bad, c too many checkpoints, x checkpoint of that id waits with another time or place), then the
--   stored session of each `o` in order.
-- Errors MAPMISMATCH, BADBATCH (nothing written)
-- No table is made for a record: in the store's most frequent call they cost more than all of its commands.
local function record(keys, args)
  local map, arena, freshness_ms = args[1], args[2], tonumber(args[3])
  local ids, checkpoint_ats, body_ats, wrong = index_of(arena)
  if wrong then return fail('BADBATCH', wrong) end
  local meta, err = open_for_write(keys[4], map)
  if not meta then return err end

  local found = #ids > 0 and redis.call('HMGET', keys[1], unpack(ids))
  local outcomes, sessions, waiting, accepted = {}, {}, nil, 0
  local kept, latest, statuses, listed = {}, {}, {}, {}
  for i = 1, #ids do
    local id, body_at = ids[i], body_ats[i]
    local format, session, recorded_at, lat, lon, status, flags, seq = unpack_struct(BODY, arena, body_at)
    local before, old_session, old_recorded_at, old_status, old_flags, old_seq = latest[id]
    if before then
      local _
      _, old_session, old_recorded_at, _, _, _, _, old_seq = unpack_struct(BODY, arena, body_ats[before])
    elseif found[i] then
      old_session, old_recorded_at, old_status, old_flags, old_seq = order_of(found[i])
    end
    local outcome = 'b'
    if is_valid(id, format, session, lat, lon, status, flags, seq, score_at(arena, body_at)) then
      outcome = outcome_of(session, recorded_at, seq, old_session, old_recorded_at, old_seq, meta.now)
    end
    local moves = outcome == 'a'
    if band(flags, CHECKPOINT) ~= 0 then
      waiting = waiting or { fields = {}, counts = {}, added = 0 }
      local r = { id = id, session = session, seq = seq, body = sub(arena, body_at, body_at + BODY_BYTES - 1),
        checkpoint_id = sub(arena, checkpoint_ats[i], body_at - 1) }
      outcome = outcome_of_checkpoint(keys[5], r, outcome, waiting)
      moves = moves and outcome == 'a' and recorded_at >= meta.now - freshness_ms
    end
    if moves then
      if not before then
        kept[#kept + 1] = id
        if old_status and GEO_SETS[old_status] and band(old_flags, UNLISTED) == 0 then listed[id] = old_status end
      end
      latest[id], statuses[i] = i, status
    end
    if outcome == 'a' then accepted = accepted + 1 end
    if outcome == 'o' then sessions[#sessions + 1] = old_session end
    outcomes[i] = outcome
  end

  if accepted > 0 then
    if meta.rev == meta.flush.flushed then meta.dirty_since = meta.now end
    meta.rev = meta.rev + 1
    meta.accepted = meta.accepted + accepted
    local revision = pack('<I8', meta.rev)
    write_positions(keys, arena, body_ats, kept, latest, statuses, listed, revision)
    if waiting then write_checkpoints(keys[5], waiting, revision) end
  end
  write_seen(meta, keys)
  local answer = state_of(meta)
  answer[STATE_SIZE + 1] = concat(outcomes)
  for i = 1, #sessions do answer[STATE_SIZE + 1 + i] = sessions[i] end
  return answer
end

-- Says that somebody still feeds this partition, where there was nothing to write.
-- KEYS positions, available, busy, meta   ARGV map hash   Returns state   Errors MAPMISMATCH
local function touch(keys, args)
  local meta, err = open_for_write(keys[4], args[1])
  if not meta then return err end
  write_seen(meta, keys)
  return state_of(meta)
end

-- One ring of the search: the nearest `count` fitting ones within radius_m. Where the hits filled what was asked
-- and too few of them fit, asks for twice as many, up to MAX_HITS. Returns ids, records, how many, whether truncated.
local function nearest_within(keys, point, radius_m, count, not_before, services)
  local asked = count
  while true do
    local ids = redis.call('GEOSEARCH', keys[2], 'FROMLONLAT', point[1], point[2], 'BYRADIUS', radius_m, 'm',
      'ASC', 'COUNT', asked)
    local fitting_ids, fitting, n = {}, {}, 0
    local records = #ids > 0 and redis.call('HMGET', keys[1], unpack(ids))
    for i = 1, #ids do
      local record = records[i]
      if record and #record >= RECORD_BYTES then
        local format, recorded_at, status, flags, offered = unpack_struct(FITTING, record)
        if recorded_at >= not_before and (services == 0 or band(offered, services) == services)
          and is_ours(record, format, status, flags) and not find(ids[i], ' ', 1, true) then
          n = n + 1
          fitting_ids[n], fitting[n] = ids[i], record
          if n == count then return fitting_ids, fitting, n, false end
        end
      end
    end
    if #ids < asked then return fitting_ids, fitting, n, false end
    if asked >= MAX_HITS then return fitting_ids, fitting, n, true end
    asked = math.min(2 * asked, MAX_HITS)
  end
end

-- The nearest drivers of one status. Starts with a small radius and doubles it, for a plain search costs by the
-- number of drivers within its radius.
-- KEYS positions, geo set of the status, meta
-- ARGV map hash, lon, lat, radius in m, first radius in m, count (1 to 2,000), enough (1 to count: with so many the
--   radius is not doubled), greatest age in ms, services mask
-- Returns state, health, 1 if truncated (over 2,000 hits, too few of them fitting), the radius searched in m (text),
--   the ids of the hits, nearest first, with blanks between, and their records, one after the other
-- Errors MAPMISMATCH
local function near(keys, args)
  local meta, err = read_meta(keys[3], args[1])
  if not meta then return err end
  local point, radius_m, ring_m = { args[2], args[3] }, tonumber(args[4]), tonumber(args[5])
  local count, enough, services = tonumber(args[6]), tonumber(args[7]), tonumber(args[9])
  local not_before = meta.now - tonumber(args[8])
  local ids, records, n, truncated
  ring_m = max(1, math.min(ring_m, radius_m))
  while true do
    ids, records, n, truncated = nearest_within(keys, point, ring_m, count, not_before, services)
    if n >= enough or truncated or ring_m >= radius_m then break end
    ring_m = math.min(2 * ring_m, radius_m)
  end
  local answer = state_of(meta)
  answer[STATE_SIZE + 1], answer[STATE_SIZE + 2] = health_of(meta), truncated and 1 or 0
  answer[STATE_SIZE + 3] = format('%.17g', ring_m)
  answer[STATE_SIZE + 4], answer[STATE_SIZE + 5] = concat(ids, ' '), concat(records)
  return answer
end

-- KEYS positions, meta   ARGV map hash, ids   Returns state, health, then the record of each or false
-- Errors MAPMISMATCH
local function get(keys, args)
  local meta, err = read_meta(keys[2], args[1])
  if not meta then return err end
  local answer = state_of(meta)
  answer[STATE_SIZE + 1] = health_of(meta)
  local records = redis.call('HMGET', keys[1], unpack(args, 2))
  for i = 1, #records do answer[STATE_SIZE + 1 + i] = records[i] end
  return answer
end

-- Some drivers on duty within a box, for a map: the first that a bounded scan meets.
-- KEYS positions, meta   ARGV map hash, south, west, north, east (degrees x 1e7), count, greatest age in ms
-- Returns state, health, 1 if there may be more, then id and record of each.   Errors MAPMISMATCH
local function live(keys, args)
  local meta, err = read_meta(keys[2], args[1])
  if not meta then return err end
  local south, west, north, east = tonumber(args[2]), tonumber(args[3]), tonumber(args[4]), tonumber(args[5])
  local count, not_before = tonumber(args[6]), meta.now - tonumber(args[7])
  local answer = state_of(meta)
  local more_at = STATE_SIZE + 2
  answer[STATE_SIZE + 1], answer[more_at] = health_of(meta), 0
  local cursor, scanned, found = '0', 0, 0
  repeat
    local page = redis.call('HSCAN', keys[1], cursor, 'COUNT', 1000)
    cursor = page[1]
    local rows = page[2]
    for i = 1, #rows, 2 do
      local r = decode(rows[i + 1])
      if r and r.recorded_at >= not_before and r.status > 0 and band(r.flags, UNLISTED + MOVED) == 0 and r.lat >= south
        and r.lat <= north and r.lon >= west and r.lon <= east then
        if found == count then
          answer[more_at] = 1
          return answer
        end
        found = found + 1
        push(answer, rows[i], rows[i + 1])
      end
    end
    scanned = scanned + #rows / 2
  until cursor == '0' or scanned >= MAX_SCANNED
  if cursor ~= '0' then answer[more_at] = 1 end
  return answer
end

-- Zero where the key is of another type: what else there is to say of the partition has to be said all the same.
local function number_of(...)
  local reply = redis.pcall(...)
  if type(reply) == 'string' then return whole(reply) end
  return type(reply) == 'number' and reply or 0
end

-- KEYS positions, available, busy, meta, checkpoints   ARGV map hash
-- Returns state, health, drivers in the hash, available, busy, flushed_at, accepted, accepted since the last flush
--   began, checkpoints waiting.   Errors MAPMISMATCH
local function status(keys, args)
  local meta, err = read_meta(keys[4], args[1])
  if not meta then return err end
  local answer = state_of(meta)
  local more = { health_of(meta), redis.call('HLEN', keys[1]), number_of('ZCARD', keys[2]), number_of('ZCARD', keys[3]),
    meta.flush.at, meta.accepted, max(0, meta.accepted - meta.flush.accepted),
    number_of('HGET', keys[5], '*') or number_of('HLEN', keys[5]) }
  for i = 1, #more do answer[STATE_SIZE + i] = more[i] end
  return answer
end

-- Every lease runs out soon. What does not is none, and must not keep a partition from being flushed for ever.
local function is_lease(key)
  local left_ms = redis.call('PTTL', key)
  return left_ms >= 0 and left_ms <= MAX_LEASE_MS
end

-- Takes the lease of a partition, for one flush.
-- KEYS meta, lease   ARGV map hash, flusher, lease in ms   Returns state   Errors MAPMISMATCH, LEASED
local function begin(keys, args)
  local meta, err = open_for_write(keys[1], args[1])
  if not meta then return err end
  local holder = redis.call('GET', keys[2])
  if holder and holder ~= args[2] and is_lease(keys[2]) then return fail('LEASED', 'by ' .. holder) end
  redis.call('SET', keys[2], args[2], 'PX', args[3])
  local flush = meta.flush
  write_meta(keys[1], meta, false,
    { flushed = flush.flushed, at = flush.at, accepted_at_begin = meta.accepted, accepted = flush.accepted })
  return state_of(meta)
end

-- One page of what is not in Postgres yet, of what can be swept (restored records never, see `restore`), and of what
-- Postgres refused (see `quarantine`) and no flush has to do with any more.
-- KEYS positions, meta
-- ARGV map hash, reign, revision flushed at begin, cursor, fresh before (ms), remove before (ms), page size
-- Returns next cursor ('0' ends), rows as a list of id, record, ..., ids to sweep, refused rows like the others, ids
--   whose record is not one of ours
-- Errors MAPMISMATCH, REIGNCHANGED (begin again)
local function unflushed(keys, args)
  local meta, err = read_meta(keys[2], args[1])
  if not meta then return err end
  local reign = meta.reign
  if reign.name ~= args[2] or reign.owner ~= my_run_id() then return fail('REIGNCHANGED', reign.name) end
  local since, fresh_before, remove_before = tonumber(args[3]), tonumber(args[5]), tonumber(args[6])
  local page = redis.call('HSCAN', keys[1], args[4], 'COUNT', args[7])
  local rows, dirty, stale, refused, unreadable = page[2], {}, {}, {}, {}
  for i = 1, #rows, 2 do
    local id, record = rows[i], rows[i + 1]
    local format, recorded_at, status, flags, rev = 0, 0, 0, 0, 0
    if #record >= RECORD_BYTES then format, recorded_at, status, flags, rev = unpack_struct(AGE, record) end
    local flushed = rev <= since
    if not is_ours(record, format, status, flags) then
      unreadable[#unreadable + 1] = id
    else
      if not flushed then
        push(dirty, id, record)
      elseif band(flags, QUARANTINED) ~= 0 then
        push(refused, id, record)
        flushed = false
      end
      if recorded_at < fresh_before and band(flags, ARCHIVED) == 0 then
        local listed = band(flags, UNLISTED) == 0
        if listed or (flushed and recorded_at < remove_before) then stale[#stale + 1] = id end
      end
    end
  end
  return { page[1], dirty, stale, refused, unreadable }
end

local function release_lease(key, flusher)
  if redis.call('GET', key) == flusher then redis.call('DEL', key) end
end

-- Moves the watermark after a commit, and gives the lease back.
-- KEYS meta, lease   ARGV map hash, reign, revision of begin, time of begin (ms), flusher   Returns state
-- Errors MAPMISMATCH, REIGNCHANGED (also for a revision that this reign has not reached)
local function flushed(keys, args)
  local meta, err = read_meta(keys[1], args[1])
  if not meta then return err end
  local rev, as_of, reign = tonumber(args[3]), tonumber(args[4]), meta.reign
  if reign.name ~= args[2] or reign.owner ~= my_run_id() or rev > meta.rev then
    return fail('REIGNCHANGED', reign.name)
  end
  local flush = meta.flush
  if rev >= flush.flushed then
    meta.dirty_since = rev == meta.rev and 0 or as_of
    write_meta(keys[1], meta, true, { flushed = rev, at = max(as_of, flush.at),
      accepted_at_begin = flush.accepted_at_begin, accepted = flush.accepted_at_begin })
  end
  release_lease(keys[2], args[5])
  return state_of(meta)
end

-- KEYS lease   ARGV flusher   Returns 1
local function release(keys, args)
  release_lease(keys[1], args[1])
  return 1
end

-- Takes one driver out of the answers, and out of the hash if Postgres has the record.
local function unlist(keys, id, record, r, remove)
  redis.call('ZREM', keys[2], id)
  redis.call('ZREM', keys[3], id)
  if remove then
    redis.call('HDEL', keys[1], id)
  else
    redis.call('HSET', keys[1], id, with_flags(record, bor(r.flags, UNLISTED)))
  end
end

-- Calls `use` with id, record and its decoded form for each driver whose record here is not newer than the one given.
-- ARGV from `first` on: id, session, recorded_at of each.   Returns how many
local function each_not_newer(keys, args, first, use)
  local count = 0
  for i = first, #args, 3 do
    local found = redis.call('HGET', keys[1], args[i])
    local r = found and decode(found)
    if r and not is_newer(r, { session = tonumber(args[i + 1]), recorded_at = tonumber(args[i + 2]) }) then
      use(args[i], found, r)
      count = count + 1
    end
  end
  return count
end

-- Marks drivers that were recorded in another partition since: still in the answers, for those that asked the other
-- partition before the driver came, but told apart, so that nobody is taken for where they were.
-- KEYS positions, available, busy, meta
-- ARGV map hash, the partition where they are now, then for each: id, session, recorded_at of the record there
-- The record gets a tail, u16 partition, which its driver's next record here drops.
-- Returns how many were marked   Errors MAPMISMATCH
local function moved(keys, args)
  local meta, err = open_for_write(keys[4], args[1])
  if not meta then return err end
  local tail = pack('<I2', tonumber(args[2]))
  local count = each_not_newer(keys, args, 3, function(id, found, r)
    redis.call('HSET', keys[1], id, sub(with_flags(found, bor(r.flags, MOVED)), 1, RECORD_BYTES) .. tail)
  end)
  write_meta(keys[4], meta)
  return count
end

-- Forgets drivers that were recorded in another partition since.
-- KEYS positions, available, busy, meta   ARGV map hash, then for each: id, session, recorded_at
-- A record newer than that stays.   Returns how many were forgotten   Errors MAPMISMATCH
local function forget(keys, args)
  local meta, err = open_for_write(keys[4], args[1])
  if not meta then return err end
  local count = each_not_newer(keys, args, 2, function(id, found, r)
    unlist(keys, id, found, r, r.rev <= meta.flush.flushed)
  end)
  write_meta(keys[4], meta)
  return count
end

-- Takes the stale out of the geo sets, and the old out of the hash, if Postgres has them. Restored records stay: all of
-- them are old.
-- KEYS positions, available, busy, meta   ARGV map hash, fresh before (ms), remove before (ms), ids (at most 512)
-- Returns unlisted, removed   Errors MAPMISMATCH
local function sweep(keys, args)
  local meta, err = open_for_write(keys[4], args[1])
  if not meta then return err end
  local fresh_before, remove_before = tonumber(args[2]), tonumber(args[3])
  local unlisted, removed = 0, 0
  for i = 4, #args do
    local found = redis.call('HGET', keys[1], args[i])
    local r = found and decode(found)
    if r and r.recorded_at < fresh_before and band(r.flags, ARCHIVED) == 0 then
      local settled = r.rev <= meta.flush.flushed and band(r.flags, QUARANTINED) == 0
      if settled and r.recorded_at < remove_before then
        unlist(keys, args[i], found, r, true)
        removed = removed + 1
      elseif band(r.flags, UNLISTED) == 0 then
        unlist(keys, args[i], found, r, false)
        unlisted = unlisted + 1
      end
    end
  end
  write_meta(keys[4], meta)
  return { unlisted, removed }
end

-- Puts back what Postgres has of drivers who are in no record here, after the cache was lost: for questions by id
-- alone, since they are in no geo set until they report. Of revision 0, so they count as flushed; `rev`, `flushed`,
-- `dirty_since` and `seen_at` stay as they are. They leave with their driver's next report, or with the key's expiry.
-- KEYS positions, meta   ARGV map hash, arena of at most 512 records
-- Returns how many were put back, how many had a record here, how many were invalid
-- Errors MAPMISMATCH, BADBATCH (nothing written)
local function restore(keys, args)
  local arena = args[2]
  local ids, _, body_ats, wrong = index_of(arena)
  if wrong then return fail('BADBATCH', wrong) end
  local meta, err = open_for_write(keys[2], args[1])
  if not meta then return err end
  local counts = { 0, 0, 0 }
  local flushed_always = pack('<I8', 0)
  for i = 1, #ids do
    local id, body_at = ids[i], body_ats[i]
    local format, session, _, lat, lon, status, flags, seq = unpack_struct(BODY, arena, body_at)
    local what = 3
    if is_valid(id, format, session, lat, lon, status, flags, seq, score_at(arena, body_at)) then
      local body = sub(arena, body_at, body_at + BODY_BYTES - 1)
      what = redis.call('HSETNX', keys[1], id, with_flags(body, UNLISTED + ARCHIVED) .. flushed_always) == 1 and 1 or 2
    end
    counts[what] = counts[what] + 1
  end
  write_meta(keys[2], meta)
  for i = 1, 2 do redis.call('PEXPIRE', keys[i], EXPIRE_MS) end
  return counts
end

-- Marks records that Postgres refused, or takes the mark back from those that it has taken since. While it is marked, a
-- record never counts as persisted, is not swept, and is told apart by `unflushed` once the watermark has passed it.
-- KEYS positions, meta   ARGV map hash, 1 (marks) or 0, then for each: id, revision, recorded_at (after a failover another
--   record may have its revision)
-- Returns how many   Errors MAPMISMATCH
local function quarantine(keys, args)
  local meta, err = open_for_write(keys[2], args[1])
  if not meta then return err end
  local marks, changed = args[2] == '1', 0
  for i = 3, #args, 3 do
    local found = redis.call('HGET', keys[1], args[i])
    local r = found and decode(found)
    if r and r.rev == tonumber(args[i + 1]) and r.recorded_at == tonumber(args[i + 2]) then
      local flags = bor(r.flags, QUARANTINED)
      redis.call('HSET', keys[1], args[i], with_flags(found, marks and flags or flags - QUARANTINED))
      changed = changed + 1
    end
  end
  write_meta(keys[2], meta)
  return changed
end

-- Declares everything unflushed, what Postgres refused too, under a new reign, so that no flush under way can move the
-- watermark back up.
-- KEYS meta   ARGV map hash, since when Postgres may lack positions (ms)   Returns state   Errors MAPMISMATCH
local function rewind(keys, args)
  local meta, err = open_for_write(keys[1], args[1])
  if not meta then return err end
  if not meta.reigns_anew then begin_reign(meta, args[1]) end
  -- 0 would say that nothing is dirty.
  meta.dirty_since = math.max(1, math.min(tonumber(args[2]), meta.dirty_since > 0 and meta.dirty_since or meta.now))
  write_meta(keys[1], meta, true, { flushed = 0, at = 0, accepted_at_begin = meta.flush.accepted_at_begin,
    accepted = meta.flush.accepted })
  return state_of(meta)
end

-- KEYS checkpoints, meta   ARGV map hash, limit
-- Returns how many were passed over as none of ours, then field, value of each
-- Errors MAPMISMATCH
local function waiting_checkpoints(keys, args)
  local meta, err = read_meta(keys[2], args[1])
  if not meta then return err end
  local limit, cursor, answer = tonumber(args[2]), '0', { 0 }
  repeat
    local page = redis.call('HSCAN', keys[1], cursor, 'COUNT', 100)
    cursor = page[1]
    for i = 1, #page[2], 2 do
      local field, value = page[2][i], page[2][i + 1]
      if find(field, ':', 1, true) then
        local is_known = is_conflict(value) or decode(sub(value, 1, RECORD_BYTES))
        if is_known then push(answer, field, value) else answer[1] = answer[1] + 1 end
      end
    end
  until cursor == '0' or #answer > 2 * limit
  return answer
end

-- Ends the waiting of the checkpoints in these fields. `use` is called for each field that is there, with whether it
-- waited. Returns how many waited.
local function end_waiting(key, fields, first, use)
  local ended, ended_of = 0, {}
  for i = first, #fields do
    local held = redis.call('HGET', key, fields[i])
    if held then
      local waited = not is_conflict(held)
      if waited then
        ended = ended + 1
        local id = match(fields[i], '^[^:]*')
        ended_of[id] = (ended_of[id] or 0) + 1
      end
      use(fields[i], waited)
    end
  end
  if ended > 0 then ended_of['*'] = ended end
  for id, count in pairs(ended_of) do
    local waiting, is_counted = waiting_of(key, id)
    set_waiting(key, id, is_counted and waiting or waiting - count)
  end
  return ended
end

-- Takes checkpoints out that are committed in Postgres, and conflicts that have been told.
-- KEYS checkpoints, meta   ARGV map hash, fields   Returns how many waited   Errors MAPMISMATCH
local function checkpoints_done(keys, args)
  local meta, err = open_for_write(keys[2], args[1])
  if not meta then return err end
  local done = end_waiting(keys[1], args, 2, function(field) redis.call('HDEL', keys[1], field) end)
  write_meta(keys[2], meta)
  return done
end

-- Postgres has other checkpoints under these ids: they wait no more, and their drivers are to be told.
-- KEYS checkpoints, meta   ARGV map hash, fields   Returns how many waited   Errors MAPMISMATCH
local function checkpoints_conflict(keys, args)
  local meta, err = open_for_write(keys[2], args[1])
  if not meta then return err end
  local ended = end_waiting(keys[1], args, 2, function(field, waited)
    if waited then redis.call('HSET', keys[1], field, CONFLICT .. digits(meta.now)) end
  end)
  write_meta(keys[2], meta)
  return ended
end

-- Which checkpoints still wait for Postgres. Under the reign that took it, one that waits no more is persisted.
-- KEYS checkpoints, meta   ARGV map hash, fields   Returns state, then a string of 1 (waits), 0, and x (conflict)
-- Errors MAPMISMATCH, REIGNCHANGED (this process has not written yet)
local function checkpoints_waiting(keys, args)
  local meta, err = read_meta(keys[2], args[1])
  if not meta then return err end
  if meta.reign.owner ~= my_run_id() then return fail('REIGNCHANGED', meta.reign.name) end
  local waits = {}
  for i = 2, #args do
    local held = redis.call('HGET', keys[1], args[i])
    waits[i - 1] = not held and 0 or is_conflict(held) and 'x' or 1
  end
  local answer = state_of(meta)
  answer[STATE_SIZE + 1] = concat(waits)
  return answer
end

-- Functions that free memory or must work for the node to get well are allowed on a full node.
local function register(name, callback, flags)
  redis.register_function {
    function_name = name .. '_@VERSION@',
    callback = function(keys, args)
      if not byte then bind() end
      return callback(keys, args)
    end,
    flags = flags,
  }
end
register('record', record, {})
register('touch', touch, { 'allow-oom' })
register('near', near, { 'no-writes' })
register('get', get, { 'no-writes' })
register('live', live, { 'no-writes' })
register('status', status, { 'no-writes' })
register('begin', begin, { 'allow-oom' })
register('unflushed', unflushed, { 'no-writes' })
register('flushed', flushed, { 'allow-oom' })
register('release', release, { 'allow-oom' })
register('moved', moved, { 'allow-oom' })
register('forget', forget, { 'allow-oom' })
register('sweep', sweep, { 'allow-oom' })
register('restore', restore, {})
register('quarantine', quarantine, { 'allow-oom' })
register('rewind', rewind, { 'allow-oom' })
register('waiting_checkpoints', waiting_checkpoints, { 'no-writes' })
register('checkpoints_done', checkpoints_done, { 'allow-oom' })
register('checkpoints_conflict', checkpoints_conflict, { 'allow-oom' })
register('checkpoints_waiting', checkpoints_waiting, { 'no-writes' })
