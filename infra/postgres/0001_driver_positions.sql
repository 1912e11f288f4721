-- The archive: one row a driver, its checkpoints, and how far the table can be believed.
-- Columns of a position stand in infra/src/position.ts (COLUMNS); a new field is one line there and one migration.

-- Up Migration

-- Each driver is updated every few seconds for ever. Half-empty pages and no index on a changing column keep
-- those updates on their page (HOT, 0.99 of them): about 200 bytes of WAL a row, against 300 at fillfactor 90.
-- What seldom changes stands first: what an update leaves as it was at either end of a row is not logged.
CREATE TABLE driver_positions (
  driver_id    text COLLATE "C" PRIMARY KEY,
  map_hash     text NOT NULL,
  partition    integer NOT NULL,
  services     integer NOT NULL,
  session      bigint NOT NULL,
  seq          bigint NOT NULL,
  recorded_at  timestamptz NOT NULL,
  lat          double precision NOT NULL,
  lon          double precision NOT NULL,
  heading_deg  real,
  speed_mps    real,
  accuracy_m   real,
  status       text NOT NULL,
  persisted_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT driver_id_length CHECK (octet_length(driver_id) BETWEEN 1 AND 64),
  CONSTRAINT partition_range CHECK (partition >= 0),
  CONSTRAINT services_range CHECK (services BETWEEN 0 AND 65535),
  CONSTRAINT session_range CHECK (session >= 0),
  CONSTRAINT seq_range CHECK (seq BETWEEN 1 AND 4294967295),
  CONSTRAINT lat_range CHECK (lat BETWEEN -85.05112878 AND 85.05112878),
  CONSTRAINT lon_range CHECK (lon >= -180 AND lon < 180),
  CONSTRAINT heading_range CHECK (heading_deg >= 0 AND heading_deg < 360),
  CONSTRAINT speed_range CHECK (speed_mps >= 0),
  CONSTRAINT accuracy_range CHECK (accuracy_m >= 0),
  CONSTRAINT status_known CHECK (status IN ('offline', 'available', 'busy'))
) WITH (fillfactor = 50);

CREATE TABLE checkpoints (
  driver_id     text COLLATE "C" NOT NULL,
  session       bigint NOT NULL,
  seq           bigint NOT NULL,
  checkpoint_id text COLLATE "C",
  services      integer NOT NULL,
  recorded_at   timestamptz NOT NULL,
  lat           double precision NOT NULL,
  lon           double precision NOT NULL,
  heading_deg   real,
  speed_mps     real,
  accuracy_m    real,
  status        text NOT NULL,
  persisted_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (driver_id, session, seq),
  CONSTRAINT driver_id_length CHECK (octet_length(driver_id) BETWEEN 1 AND 64),
  CONSTRAINT checkpoint_id_length CHECK (octet_length(checkpoint_id) BETWEEN 1 AND 64),
  CONSTRAINT services_range CHECK (services BETWEEN 0 AND 65535),
  CONSTRAINT session_range CHECK (session >= 0),
  CONSTRAINT seq_range CHECK (seq BETWEEN 1 AND 4294967295),
  CONSTRAINT lat_range CHECK (lat BETWEEN -85.05112878 AND 85.05112878),
  CONSTRAINT lon_range CHECK (lon >= -180 AND lon < 180),
  CONSTRAINT heading_range CHECK (heading_deg >= 0 AND heading_deg < 360),
  CONSTRAINT speed_range CHECK (speed_mps >= 0),
  CONSTRAINT accuracy_range CHECK (accuracy_m >= 0),
  CONSTRAINT status_known CHECK (status IN ('offline', 'available', 'busy'))
);

-- A driver that sends a checkpoint again over a new connection has a new session and seq, but the same id.
CREATE UNIQUE INDEX checkpoints_once ON checkpoints (driver_id, checkpoint_id) WHERE checkpoint_id IS NOT NULL;
-- For the retention only: rows come in the order of persisted_at, so a BRIN of a few pages finds the old ones.
CREATE INDEX checkpoints_age ON checkpoints USING brin (persisted_at);

CREATE TABLE flush_progress (
  map_hash  text NOT NULL,
  partition integer NOT NULL,
  as_of     timestamptz NOT NULL,
  PRIMARY KEY (map_hash, partition),
  CONSTRAINT partition_range CHECK (partition >= 0)
) WITH (fillfactor = 50);

CREATE VIEW driver_positions_as_of AS
SELECT progress.as_of, whole.map_as_of, positions.*
FROM driver_positions AS positions
LEFT JOIN flush_progress AS progress USING (map_hash, partition)
LEFT JOIN (SELECT map_hash, min(as_of) AS map_as_of FROM flush_progress GROUP BY map_hash) AS whole USING (map_hash);

COMMENT ON TABLE driver_positions IS
  'The latest position of each driver, written behind the cache. True as of flush_progress, partition by partition: what drivers reported later is in the cache alone, and positions are provisional until then. Read driver_positions_as_of to see how old the truth of a row is. Newest means the greatest (session, recorded_at).';
COMMENT ON COLUMN driver_positions.map_hash IS 'The partition map under which the row was written.';
COMMENT ON COLUMN driver_positions.partition IS 'The partition of that map that the position lies in.';
COMMENT ON COLUMN driver_positions.services IS 'Bits 0-15: the kinds of ride that the driver takes.';
COMMENT ON COLUMN driver_positions.session IS 'The connection that reported it, in epoch ms by the clock of Redis.';
COMMENT ON COLUMN driver_positions.seq IS 'Sequence number within the session.';
COMMENT ON COLUMN driver_positions.recorded_at IS 'When the driver''s device took the position, to the millisecond.';
COMMENT ON COLUMN driver_positions.lat IS 'Degrees, in steps of 1e-7.';
COMMENT ON COLUMN driver_positions.lon IS 'Degrees, in steps of 1e-7; +180 is stored as -180.';
COMMENT ON COLUMN driver_positions.heading_deg IS 'Clockwise from north; null where the driver gave none.';
COMMENT ON COLUMN driver_positions.persisted_at IS 'When this row was written, by the clock of Postgres.';
COMMENT ON TABLE checkpoints IS
  'Positions that a driver asked to keep, such as the end of a trip. Append-only; a checkpoint is acknowledged to the driver as persisted only once its row stands here.';
COMMENT ON COLUMN checkpoints.checkpoint_id IS 'Given by the driver and unique to it, so that one sent twice is one row.';
COMMENT ON COLUMN checkpoints.persisted_at IS 'When this row was written, by the clock of Postgres.';
COMMENT ON TABLE flush_progress IS
  'How far driver_positions can be believed: every position that the cache had taken for a partition by as_of is in the table. Written in the transaction that makes it true; never moves back.';
COMMENT ON COLUMN flush_progress.as_of IS 'By the clock of the Redis node that held the partition when its flush began.';
COMMENT ON VIEW driver_positions_as_of IS
  'driver_positions with the time as of which each row is true. Positions are provisional: the driver may have reported since as_of.';
COMMENT ON COLUMN driver_positions_as_of.as_of IS
  'The row is true as of then, unless the driver has since left for a partition that is further behind.';
COMMENT ON COLUMN driver_positions_as_of.map_as_of IS
  'The table is true as of then wherever the driver has gone: the least as_of among the partitions of the row''s map.';

-- Without these roles (a database where one role does everything) there is nothing to grant.
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'whereabouts_flusher') THEN
    -- SELECT: what an upsert compares. DELETE: the retention.
    GRANT SELECT, INSERT, UPDATE, DELETE ON driver_positions TO whereabouts_flusher;
    GRANT SELECT, INSERT, DELETE ON checkpoints TO whereabouts_flusher;
    GRANT SELECT, INSERT, UPDATE ON flush_progress TO whereabouts_flusher;
  END IF;
END
$$;

-- Down Migration

DROP VIEW driver_positions_as_of;
DROP TABLE flush_progress;
DROP TABLE checkpoints;
DROP TABLE driver_positions;
