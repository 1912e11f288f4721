#!lua name=whereabouts_log_@VERSION@
-- The only writers of the live store. A call works on one partition, whose keys share a hash tag, so it is atomic.
-- What can fail is checked before the first write: an error in the middle of a function leaves what it had written.
-- Reads are plain commands (infra/src/live-store/log-store.ts).
--
-- meta, a hash of four lines:
--   term       map incarnation owner term began_at base previous
--                the partition map's hash; a name for this data, new where it began from nothing; the process that
--                writes; its term, and when that began; the revision at which it began, and the term before (0: none)
--   counts     six little-endian doubles: revision of the last acknowledged write; revision of the last entry of the
--                log; no position that is not in Postgres is older than this (0: all are there); last write or touch;
--                positions accepted in all; bytes of the log's batches
--   watermark  term revision flushed_at accepted_at_begin accepted
--                all up to this id is in Postgres; begin's time of the last finished flush; positions accepted in all
--                at begin, and at the last flush
--   compacted  id of the newest entry that is in the snapshot, not in the log
-- Times are ms of this server's clock. A line that cannot be read counts as lost, and so does the incarnation.
--
-- A batch is a list of records: u8 id length, id, u8 body length, body. A body begins with u8 format, u48 session,
-- u48 recorded at; the rest is opaque here, but for the flags of the formats that this library knows.
-- A snapshot's value is a body and 12 bytes: u48 term and u48 revision of the entry that it came from.
--
-- A state, the first two elements of most answers: the line `term`, and as doubles counts, now, the watermark's term,
-- revision, flushed_at and accepted.

local MAX_CHECKPOINTS_PER_DRIVER = @MAX_CHECKPOINTS_PER_DRIVER@
local OLDEST_FORMAT, FORMAT, FLAGS_AT, ARCHIVED = @OLDEST_FORMAT@, @FORMAT@, @FLAGS_AT@, @ARCHIVED@
local MAX_LEASE_MS = @MAX_LEASE_MS@
local KEEP_RESTORED_MS = @KEEP_RESTORED_MS@
-- How long a reading of the replication id is good for: no node is replaced, resynchronised and promoted within it.
local OWNER_GOOD_MS = 20
-- What a double holds exactly, and what 48 bits hold.
local MAX_WHOLE, MAX_U48 = 9007199254740991, 281474976710655
local HEAD_BYTES, TAIL_BYTES = @HEAD_BYTES@, @TAIL_BYTES@
local HEAD, TAIL = '<BI6I6', '<I6I6'
local COUNTS, COUNTS_BYTES = '<dddddd', 48
local STATE = '<ddddddddddd'
-- An entry of sessions: session, time of its connection, when it was last claimed; then the connection's id.
local SESSION, SESSION_BYTES = '<I6I6I6', 18
-- Clocks that differ by less are the same clock: a claim is that long on its way.
local CLOCKS_APART_MS = 1000

-- While a library loads, Redis shows it none of these: each function binds them when it is first called.
local byte, sub, match, find, format, concat, floor, max, min, pack, unpack_struct, band, NO_COUNTS

local function bind()
  byte, sub, match, find, format = string.byte, string.sub, string.match, string.find, string.format
  concat, floor, max, min = table.concat, math.floor, math.max, math.min
  pack, unpack_struct, band = struct.pack, struct.unpack, bit.band
  NO_COUNTS = string.rep('\0', COUNTS_BYTES)
end

local function now_us()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function fail(code, text)
  return redis.error_reply(code .. ' ' .. text)
end

-- Of a whole number. Above 1e14 tostring would write an exponent, and '%.0f' takes five times as long.
local function digits(number)
  return format('%d', number)
end

-- Nothing where a text is no whole number, or too large to be counted on from.
local function whole(text)
  local number = text and match(text, '^%d+$') and tonumber(text)
  return number and number <= MAX_WHOLE and number or nil
end

-- Run id alone is not enough: a node that was replaced, resynchronised and promoted again is the same process, and what
-- it took in between is lost. Its replication id is another one then.
local run_id, owner, owner_read_at
local function my_owner(now)
  if not owner or now - owner_read_at > OWNER_GOOD_MS or now < owner_read_at then
    run_id = run_id or match(redis.call('INFO', 'server'), 'run_id:(%x+)')
    owner = run_id .. ':' .. match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
    owner_read_at = now
  end
  return owner
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

local read_term = remembering(function(text)
  local map, incarnation, by, number, began_at, base, previous = match(text,
    '^(%S+) (%S+) (%S+) (%d+) (%d+) (%d+) (%d+)$')
  number, began_at, base, previous = whole(number), whole(began_at), whole(base), whole(previous)
  return number and began_at and base and previous and { line = text, map = map, incarnation = incarnation, owner = by,
    number = number, id_prefix = digits(number) .. '-', began_at = began_at, base = base, previous = previous }
end)

local read_watermark = remembering(function(text)
  local term, revision, at, accepted_at_begin, accepted = match(text, '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
  term, revision, at = whole(term), whole(revision), whole(at)
  accepted_at_begin, accepted = whole(accepted_at_begin), whole(accepted)
  return term and revision and at and accepted_at_begin and accepted and { term = term, revision = revision, at = at,
    accepted_at_begin = accepted_at_begin, accepted = accepted }
end)

local NOTHING_FLUSHED = '0 0 0 0 0'

local function read_id(text)
  local term, revision = match(text or '', '^(%d+)%-(%d+)$')
  return whole(term), whole(revision)
end

local function id_of(term, revision)
  return digits(term) .. '-' .. digits(revision)
end

local is_id = remembering(function(text)
  return read_id(text) ~= nil
end)

local function is_after(term, revision, other_term, other_revision)
  return term > other_term or term == other_term and revision > other_revision
end

local function is_count(n)
  -- NaN is equal to nothing.
  return n >= 0 and n <= MAX_WHOLE and n == floor(n)
end

local function are_counts(a, b, c, d, e, f)
  return is_count(a) and is_count(b) and is_count(c) and is_count(d) and is_count(e) and is_count(f)
end

-- Without `term`: it began from nothing, or what there was cannot be read. The table is made in one go, as growing it
-- would take longer than all else of a touch.
local function read_meta(key, map)
  local v = redis.call('HMGET', key, 'term', 'counts', 'watermark', 'compacted')
  local now = floor(now_us() / 1000)
  local term = v[1] and read_term(v[1])
  if term and term.map ~= map then
    return nil, fail('MAPMISMATCH', 'this partition was written under map ' .. term.map .. ', not ' .. map)
  end
  local watermark = read_watermark(v[3] or NOTHING_FLUSHED)
  local counts = v[2] and #v[2] == COUNTS_BYTES and v[2] or NO_COUNTS
  local is_whole = term and counts == v[2] and watermark and (not v[4] or is_id(v[4]))
    and are_counts(unpack_struct(COUNTS, counts))
  local is_damaged = not is_whole and (v[1] or v[2] or v[3] or v[4])
  local revision, appended, dirty_since, seen_at, accepted, log_bytes =
    unpack_struct(COUNTS, is_whole and counts or NO_COUNTS)
  return { now = now, term = is_whole and term or nil, last_term = term and term.number or 0, is_new_term = false,
    revision = revision, appended = appended, dirty_since = is_damaged and now or dirty_since, seen_at = seen_at,
    accepted = accepted, log_bytes = log_bytes, watermark = watermark or read_watermark(NOTHING_FLUSHED),
    is_new_watermark = false, compacted = v[4], is_newly_compacted = false, is_damaged = is_damaged }
end

-- The term is a number that only orders; its revisions go on from the one before. `above`: a term that is known to have
-- been used.
local function begin_term(meta, map, above)
  local old = meta.term
  local last = max(meta.last_term, above or 0)
  local number = min(max(meta.now, last + 1), MAX_U48)
  local incarnation = old and old.incarnation or digits(now_us())
  meta.term = read_term(concat({ map, incarnation, my_owner(meta.now), digits(number), digits(meta.now),
    digits(meta.revision), digits(old and old.number or 0) }, ' '))
  meta.is_new_term = true
  -- Whoever reads may have missed anything of the data that cannot be told from lost ones: it looks at the snapshot.
  if meta.is_damaged then meta.compacted, meta.is_newly_compacted = id_of(number, 0), true end
end

-- Whoever writes to a partition first says in which term: a promoted replica, a restarted process and an emptied node
-- all show themselves here. The caller has to write what it is given.
local function open(key, map)
  local meta, err = read_meta(key, map)
  if not meta then return meta, err end
  if meta.is_damaged then redis.log(redis.LOG_WARNING, 'whereabouts: ' .. key .. ' cannot be read') end
  if not meta.term or meta.term.owner ~= my_owner(meta.now) then begin_term(meta, map) end
  return meta
end

local function set_watermark(meta, watermark)
  meta.watermark, meta.is_new_watermark = watermark, true
end

local function write_meta(key, meta)
  local fields = { 'counts', pack(COUNTS, meta.revision, meta.appended, meta.dirty_since, meta.seen_at, meta.accepted,
    meta.log_bytes) }
  local n = 2
  if meta.is_new_term then
    fields[n + 1], fields[n + 2] = 'term', meta.term.line
    n = n + 2
  end
  if meta.is_new_watermark or meta.is_damaged then
    local w = meta.watermark
    fields[n + 1], fields[n + 2] = 'watermark', format('%d %d %d %d %d', w.term, w.revision, w.at,
      w.accepted_at_begin, w.accepted)
    n = n + 2
  end
  if meta.is_newly_compacted then fields[n + 1], fields[n + 2] = 'compacted', meta.compacted end
  redis.call('HSET', key, unpack(fields))
end

local function state_of(meta)
  local w = meta.watermark
  return { meta.term.line, pack(STATE, meta.revision, meta.appended, meta.dirty_since, meta.seen_at, meta.accepted,
    meta.log_bytes, meta.now, w.term, w.revision, w.at, w.accepted) }
end

-- Ends a call that a driver is told about: its loss must be known.
local function acknowledge(meta)
  meta.revision, meta.seen_at = meta.revision + 1, meta.now
end

-- Appends a batch as one entry; nothing is read back or compared.
-- KEYS meta, log   ARGV map hash, records in the batch, batch
-- KEYS meta        ARGV map hash, 0: says that somebody still feeds the partition, and that it can be written to
-- Returns state (its revision is the entry's)   Errors MAPMISMATCH
local function append(keys, args)
  local meta, err = open(keys[1], args[1])
  if not meta then return err end
  local count = tonumber(args[2])
  if count == 0 then
    meta.seen_at = meta.now
  else
    acknowledge(meta)
    local fields = { 't', digits(meta.now), 'b', args[3] }
    local added = redis.pcall('XADD', keys[2], meta.term.id_prefix .. digits(meta.revision), unpack(fields))
    if added.err then
      -- The log outlived its meta, or its last term is ahead of the clock.
      local last = read_id(redis.call('XINFO', 'STREAM', keys[2])[8])
      if not last or last < meta.term.number then return added end
      meta.revision = meta.revision - 1
      begin_term(meta, args[1], last)
      meta.revision = meta.revision + 1
      redis.call('XADD', keys[2], meta.term.id_prefix .. digits(meta.revision), unpack(fields))
    end
    meta.appended = meta.revision
    if meta.dirty_since == 0 then meta.dirty_since = meta.now end
    meta.accepted = meta.accepted + count
    meta.log_bytes = meta.log_bytes + #args[3]
  end
  write_meta(keys[1], meta)
  return state_of(meta)
end

local function is_newer_than(value, session, recorded_at)
  if #value < HEAD_BYTES + TAIL_BYTES then return false end
  local _, known, known_at = unpack_struct(HEAD, value)
  return known > session or known == session and known_at > recorded_at
end

-- Puts the newest records of the oldest entries into the snapshot, each driver once, and trims the log. The caller has read
-- and folded the entries: a process of its own does that ten times as fast as a function here, and stops nobody.
-- KEYS meta, log, snapshot
-- ARGV map hash, term and compacted id that the caller saw, id of the last entry, bytes of the batches; then for each
--   driver: id, value
-- Returns state, 1; or 0 where the term is another one or somebody has compacted meanwhile   Errors MAPMISMATCH
local function compact(keys, args)
  local meta, err = open(keys[1], args[1])
  if not meta then return err end
  local is_as_seen = meta.term.number == tonumber(args[2]) and (meta.compacted or '0-0') == args[3]
  if is_as_seen then
    local newer, n = {}, 0
    for first = 6, #args, 2000 do
      local last, ids = min(first + 1999, #args), {}
      for i = first, last, 2 do ids[#ids + 1] = args[i] end
      local known = redis.call('HMGET', keys[3], unpack(ids))
      for i = 1, #ids do
        local value = args[first + 2 * i - 1]
        local _, session, recorded_at = unpack_struct(HEAD, value)
        if not (known[i] and is_newer_than(known[i], session, recorded_at)) then
          newer[n + 1], newer[n + 2] = ids[i], value
          n = n + 2
        end
      end
    end
    if n > 0 then redis.call('HSET', keys[3], unpack(newer)) end
    local term, revision = read_id(args[4])
    redis.call('XTRIM', keys[2], 'MINID', id_of(term, revision + 1))
    meta.compacted, meta.is_newly_compacted = args[4], true
    meta.log_bytes = max(0, meta.log_bytes - tonumber(args[5]))
  end
  write_meta(keys[1], meta)
  local answer = state_of(meta)
  answer[3] = is_as_seen and 1 or 0
  return answer
end

-- KEYS lease of the compaction   ARGV holder, ms   Returns 1 if the holder has it now, 0 if somebody else has
local function lease_compaction(keys, args)
  return redis.call('SET', keys[1], args[1], 'NX', 'PX', args[2]) and 1 or 0
end

-- One page of the snapshot, without what is old and in Postgres. What Postgres refused stays, and what `restore` put
-- back has its own age.
-- KEYS meta, snapshot, refused   ARGV map hash, remove before (ms), cursor, page size
-- Returns next cursor ('0' ends), how many were removed   Errors MAPMISMATCH
local function sweep(keys, args)
  local meta, err = open(keys[1], args[1])
  if not meta then return err end
  local before, restored_before = tonumber(args[2]), meta.now - KEEP_RESTORED_MS
  local page = redis.call('HSCAN', keys[2], args[3], 'COUNT', args[4])
  local rows, ids, w = page[2], {}, meta.watermark
  for i = 1, #rows, 2 do
    local value = rows[i + 1]
    local size = #value
    local form = byte(value)
    if size > FLAGS_AT + TAIL_BYTES and form >= OLDEST_FORMAT and form <= FORMAT then
      local _, _, recorded_at = unpack_struct(HEAD, value)
      local term, revision = unpack_struct(TAIL, value, size - TAIL_BYTES + 1)
      local limit = band(byte(value, FLAGS_AT + 1), ARCHIVED) == 0 and before or min(before, restored_before)
      if recorded_at < limit and not is_after(term, revision, w.term, w.revision) then ids[#ids + 1] = rows[i] end
    end
  end
  local removed = 0
  if #ids > 0 then
    local refused = redis.call('HMGET', keys[3], unpack(ids))
    local kept = 0
    for i = 1, #ids do
      if not refused[i] then
        kept = kept + 1
        ids[kept] = ids[i]
      end
    end
    if kept > 0 then removed = redis.call('HDEL', keys[2], unpack(ids, 1, kept)) end
  end
  write_meta(keys[1], meta)
  return { page[1], removed }
end

-- checkpoints: the field `driver:checkpoint id` holds the body while it waits; where Postgres had another of that id,
-- CONFLICT and the time, until its driver has been told. The field `driver` counts what waits of it, `*` all.
local CONFLICT = 'conflict'

local function is_conflict(value)
  return sub(value, 1, #CONFLICT) == CONFLICT
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

-- Keeps checkpoints until Postgres has them. They are not in the log: whether one moves its driver is the edge's to say.
-- KEYS meta, checkpoints
-- ARGV map hash, first and last byte (from 1) of the part of a body that tells time and place, then for each: driver,
--   checkpoint id, body
-- Returns state, a letter for each: a waits now, d waited already, x another of that id waits, c too many of its driver
-- Errors MAPMISMATCH
local function checkpoint(keys, args)
  local meta, err = open(keys[1], args[1])
  if not meta then return err end
  local outcomes, counts, added, fields = {}, {}, 0, {}
  local first, last = tonumber(args[2]), tonumber(args[3])
  local n = 0
  for i = 4, #args, 3 do
    local driver, body = args[i], args[i + 2]
    local field = driver .. ':' .. args[i + 1]
    local held = fields[field] or redis.call('HGET', keys[2], field)
    local outcome
    if held and not is_conflict(held) then
      outcome = sub(held, first, last) == sub(body, first, last) and 'd' or 'x'
    else
      local count = counts[driver] or waiting_of(keys[2], driver)
      outcome = count >= MAX_CHECKPOINTS_PER_DRIVER and 'c' or 'a'
      if outcome == 'a' then
        counts[driver], fields[field], added = count + 1, body, added + 1
      end
    end
    n = n + 1
    outcomes[n] = outcome
  end
  if added > 0 then
    acknowledge(meta)
    local list = { '*', digits(waiting_of(keys[2], '*') + added) }
    for field, body in pairs(fields) do list[#list + 1], list[#list + 2] = field, body end
    for driver, count in pairs(counts) do list[#list + 1], list[#list + 2] = driver, digits(count) end
    redis.call('HSET', keys[2], unpack(list))
  end
  write_meta(keys[1], meta)
  local answer = state_of(meta)
  answer[3] = concat(outcomes)
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
    local left = is_counted and waiting or waiting - count
    if left > 0 then redis.call('HSET', key, id, digits(left)) else redis.call('HDEL', key, id) end
  end
  return ended
end

-- Takes checkpoints out that are committed in Postgres, and conflicts that have been told.
-- KEYS meta, checkpoints   ARGV map hash, fields   Returns state, how many waited   Errors MAPMISMATCH
local function checkpoints_done(keys, args)
  local meta, err = open(keys[1], args[1])
  if not meta then return err end
  local done = end_waiting(keys[2], args, 2, function(field) redis.call('HDEL', keys[2], field) end)
  write_meta(keys[1], meta)
  local answer = state_of(meta)
  answer[3] = done
  return answer
end

-- Postgres has other checkpoints under these ids: they wait no more, and their drivers are to be told.
-- KEYS meta, checkpoints   ARGV map hash, fields   Returns state, how many waited   Errors MAPMISMATCH
local function checkpoints_conflict(keys, args)
  local meta, err = open(keys[1], args[1])
  if not meta then return err end
  local ended = end_waiting(keys[2], args, 2, function(field, waited)
    if waited then redis.call('HSET', keys[2], field, CONFLICT .. digits(meta.now)) end
  end)
  write_meta(keys[1], meta)
  local answer = state_of(meta)
  answer[3] = ended
  return answer
end

-- What connections of a driver are ordered by: the time at which they were made, by the clock of this node.
local function is_later(claim, known, known_at)
  return claim.connected_at > known_at or claim.connected_at == known_at and claim.session > known
end

-- Whether a claim wins against the connection that holds its driver. A session that this library gave is no later than
-- one that it gave after it, whatever the clocks say; an entry of the future was written under another clock.
local function wins(claim, known, known_at, now)
  if claim.counts_by_arrival then return true end
  if claim.kind == 'g' and claim.session <= known then return false end
  return known_at > now + CLOCKS_APART_MS or is_later(claim, known, known_at)
end

-- One claim against the entry of its driver. Returns the letter, the connection that held the driver so far, and of the
-- entry from now on: session, time of its connection, whose it is (nothing: it stays as it is).
local function decide_claim(entry, claim, now)
  local known, known_at, holder = 0, 0, ''
  if entry and #entry >= SESSION_BYTES then
    known, known_at = unpack_struct(SESSION, entry)
    holder = sub(entry, SESSION_BYTES + 1)
  end
  local session = claim.session
  if holder == claim.connection then return 'w', holder, max(known, session), claim.connected_at, holder end
  if holder ~= '' and not wins(claim, known, known_at, now) then
    if session < known then return 'l', holder, known end
    -- There may be records under this session: those of the holder must not rank below them.
    return 'r', holder, session + 1, known_at, holder
  end
  -- Without an entry what an earlier session was is not known, but that it was not after now.
  if session == 0 or claim.kind == 'f' and session < now - CLOCKS_APART_MS then session = now end
  local is_bound = known_at <= now + CLOCKS_APART_MS
  local at = is_bound and max(claim.connected_at, known_at + 1) or claim.connected_at
  return 'w', holder, max(known + 1, session), at, claim.connection
end

-- Claims drivers for connections. Claims that come first are ordered by arrival, unless they lay in a stalled node for
-- so long that this says nothing; a late or repeated claim loses to another connection that was made later.
-- KEYS meta, sessions
-- ARGV map hash, until when arrival counts (ms; 0: always), then for each claim: kind (f first, l late or repeated,
--   g the same with a session that was given here), driver, connection id, time of the connection by the clock of this
--   node (0: now), session that it has (0: none)
-- At most 1,000 claims: a call's values have to fit Lua's stack.
-- Returns state, then for each: letter (w won, l lost, r lost and the holder has a greater session than before), session
--   of the driver now, the connection that held the driver before, or holds it   Errors MAPMISMATCH
local function claim(keys, args)
  local meta, err = open(keys[1], args[1])
  if not meta then return err end
  local until_ms = tonumber(args[2])
  local is_in_time = until_ms == 0 or meta.now <= until_ms
  local drivers, n = {}, 0
  for i = 4, #args, 5 do
    n = n + 1
    drivers[n] = args[i]
  end
  -- A driver may stand twice in a call: what the first claim made of his entry counts for the second.
  local found, stands, results, written, w = redis.call('HMGET', keys[2], unpack(drivers)), {}, {}, {}, 0
  for k = 1, n do
    local driver, at = drivers[k], 5 * k - 2
    local connected_at = tonumber(args[at + 3])
    local one = { kind = args[at], connection = args[at + 2], session = tonumber(args[at + 4]),
      connected_at = connected_at > 0 and connected_at or meta.now, counts_by_arrival = args[at] == 'f' and is_in_time }
    local letter, held_by, session, made_at, holder = decide_claim(stands[driver] or found[k], one, meta.now)
    session = min(session, MAX_U48)
    if holder then
      stands[driver] = pack(SESSION, session, min(made_at, MAX_U48), meta.now) .. holder
      written[w + 1], written[w + 2] = driver, stands[driver]
      w = w + 2
    end
    results[3 * k - 2], results[3 * k - 1], results[3 * k] = letter, digits(session), held_by
  end
  if w > 0 then
    redis.call('HSET', keys[2], unpack(written))
    acknowledge(meta)
  end
  write_meta(keys[1], meta)
  local answer = state_of(meta)
  for i = 1, #results do answer[2 + i] = results[i] end
  return answer
end

-- One page of sessions, without those that nobody has claimed for long.
-- KEYS meta, sessions   ARGV map hash, claimed before (ms), cursor, page size
-- Returns next cursor ('0' ends), how many were removed   Errors MAPMISMATCH
local function sweep_sessions(keys, args)
  local meta, err = open(keys[1], args[1])
  if not meta then return err end
  local before = tonumber(args[2])
  local page = redis.call('HSCAN', keys[2], args[3], 'COUNT', args[4])
  local rows, ids = page[2], {}
  for i = 1, #rows, 2 do
    local value = rows[i + 1]
    local claimed_at = 0
    if #value >= SESSION_BYTES then
      local _, _, at = unpack_struct(SESSION, value)
      claimed_at = at
    end
    if claimed_at < before then ids[#ids + 1] = rows[i] end
  end
  if #ids > 0 then redis.call('HDEL', keys[2], unpack(ids)) end
  write_meta(keys[1], meta)
  return { page[1], #ids }
end

-- Every lease runs out soon. What does not is none, and must not keep a partition from being flushed for ever.
local function is_lease(key)
  local left_ms = redis.call('PTTL', key)
  return left_ms >= 0 and left_ms <= MAX_LEASE_MS
end

-- Takes the lease of a partition, for one flush.
-- KEYS meta, lease   ARGV map hash, flusher, lease in ms   Returns state   Errors MAPMISMATCH, LEASED
local function begin(keys, args)
  local meta, err = open(keys[1], args[1])
  if not meta then return err end
  local holder = redis.call('GET', keys[2])
  if holder and holder ~= args[2] and is_lease(keys[2]) then return fail('LEASED', 'by ' .. holder) end
  redis.call('SET', keys[2], args[2], 'PX', args[3])
  local w = meta.watermark
  set_watermark(meta, { term = w.term, revision = w.revision, at = w.at, accepted_at_begin = meta.accepted,
    accepted = w.accepted })
  write_meta(keys[1], meta)
  return state_of(meta)
end

local function release_lease(key, flusher)
  if redis.call('GET', key) == flusher then redis.call('DEL', key) end
end

-- Moves the watermark after a commit, and gives the lease back.
-- KEYS meta, lease   ARGV map hash, term, revision of begin, time of begin (ms), flusher   Returns state
-- Errors MAPMISMATCH, TERMCHANGED (also for a revision that this term has not reached)
local function flushed(keys, args)
  local meta, err = read_meta(keys[1], args[1])
  if not meta then return err end
  local number, revision, as_of = tonumber(args[2]), tonumber(args[3]), tonumber(args[4])
  local term = meta.term
  if not term or term.owner ~= my_owner(meta.now) or term.number ~= number or revision > meta.revision then
    return fail('TERMCHANGED', term and digits(term.number) or 'none')
  end
  local w = meta.watermark
  if not is_after(w.term, w.revision, number, revision) then
    meta.dirty_since = meta.appended <= revision and 0 or as_of
    set_watermark(meta, { term = number, revision = revision, at = max(as_of, w.at),
      accepted_at_begin = w.accepted_at_begin, accepted = w.accepted_at_begin })
    write_meta(keys[1], meta)
  end
  release_lease(keys[2], args[5])
  return state_of(meta)
end

-- KEYS lease   ARGV flusher   Returns 1
local function release(keys, args)
  release_lease(keys[1], args[1])
  return 1
end

-- Notes which records Postgres refused, or takes the note back from those that it has taken since.
-- KEYS meta, refused   ARGV map hash, 1 (notes) or 0, then for each: driver, id of its record
-- Returns state, how many notes there are   Errors MAPMISMATCH
local function refuse(keys, args)
  local meta, err = open(keys[1], args[1])
  if not meta then return err end
  for i = 3, #args, 2 do
    if args[2] == '1' then
      redis.call('HSET', keys[2], args[i], args[i + 1])
    elseif redis.call('HGET', keys[2], args[i]) == args[i + 1] then
      redis.call('HDEL', keys[2], args[i])
    end
  end
  write_meta(keys[1], meta)
  local answer = state_of(meta)
  answer[3] = redis.call('HLEN', keys[2])
  return answer
end

-- Declares everything unflushed, what Postgres refused too, in a new term, so that no flush under way can move the
-- watermark back up.
-- KEYS meta, refused   ARGV map hash, since when Postgres may lack positions (ms)   Returns state   Errors MAPMISMATCH
local function rewind(keys, args)
  local meta, err = open(keys[1], args[1])
  if not meta then return err end
  if not meta.is_new_term then begin_term(meta, args[1]) end
  -- 0 would say that nothing is dirty.
  meta.dirty_since = max(1, min(tonumber(args[2]), meta.dirty_since > 0 and meta.dirty_since or meta.now))
  local w = meta.watermark
  set_watermark(meta, { term = 0, revision = 0, at = 0, accepted_at_begin = w.accepted_at_begin, accepted = w.accepted })
  redis.call('DEL', keys[2])
  write_meta(keys[1], meta)
  return state_of(meta)
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
register('append', append, {})
register('touch', append, { 'allow-oom' })
register('compact', compact, { 'allow-oom' })
register('lease_compaction', lease_compaction, { 'allow-oom' })
register('sweep', sweep, { 'allow-oom' })
register('checkpoint', checkpoint, {})
register('checkpoints_done', checkpoints_done, { 'allow-oom' })
register('checkpoints_conflict', checkpoints_conflict, { 'allow-oom' })
register('claim', claim, { 'allow-oom' })
register('sweep_sessions', sweep_sessions, { 'allow-oom' })
register('begin', begin, { 'allow-oom' })
register('flushed', flushed, { 'allow-oom' })
register('release', release, { 'allow-oom' })
register('refuse', refuse, { 'allow-oom' })
register('rewind', rewind, { 'allow-oom' })
