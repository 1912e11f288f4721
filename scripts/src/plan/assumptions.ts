// What the capacity plan assumes because no bench measures it. The plan lists each, with its reason.

/** Share of a core in normal operation. */
export const CPU_TARGET = 0.6;
/** Share of a core when one of a kind is gone and the rest carry its part. */
export const CPU_AFTER_LOSS = 0.8;
/** A majority has to remain to promote a replica when one is gone. */
export const MIN_MASTERS = 3;
/** Of each service: one may be gone. */
export const MIN_PROCESSES = 2;
export const REPLICAS = 1;
/** The default of MAX_CONNECTIONS. */
export const MAX_CONNECTIONS = 50_000;
/** Besides drivers and Redis: listeners, logs, the ops port. */
export const OTHER_DESCRIPTORS = 100;
/** While Redis rewrites its append-only file, a child shares its memory, and each page that is written to is copied. */
export const COPY_ON_WRITE = 2;
export const REDIS_BASE_BYTES = 128 * 2 ** 20;
export const INGEST_BASE_BYTES = 128 * 2 ** 20;
export const QUERY_API_BASE_BYTES = 128 * 2 ** 20;
/** For rewriting the append-only file, and the kernel's part of the network. */
export const REDIS_HOST_SPARE_CORES = 1;
/** Redis's own default; beyond it a node refuses connections. */
export const REDIS_MAX_CLIENTS = 10_000;
/** Appends and polls a second at a master; beyond it the fixed cost of a call outweighs its content. */
export const REDIS_MAX_CALLS_PER_S = 10_000;
/** Above it, too little of Postgres is left for checkpoints and vacuum. */
export const POSTGRES_TARGET = 0.8;
/** The default if --queries is not given. */
export const QUESTIONS_PER_DRIVER_PER_S = 0.02;

const percent = (part: number) => `${Math.round(100 * part)} %`;

export const ASSUMPTIONS: readonly { what: string; why: string }[] = [
  {
    what: `a process is busy for ${percent(CPU_TARGET)} of its core; for ${percent(CPU_AFTER_LOSS)} once one of its kind is gone`,
    why: 'queues grow fast above that, and peaks are shorter than what a plan is made for',
  },
  {
    what: 'drivers are spread over the partitions evenly',
    why: "the map's borders are quantiles of a density sample; a map of another time of day is less even",
  },
  {
    what: `${REPLICAS} replica of each master, on the host of another one; at least ${MIN_MASTERS} masters, ${MIN_PROCESSES} of each service`,
    why: 'one host may be lost',
  },
  {
    what: `${REDIS_HOST_SPARE_CORES} core more for each Redis host`,
    why: 'the append-only file is rewritten by a child, and the kernel has its part of the network',
  },
  {
    what: `memory of a Redis node: its drivers after the loss of another master, times ${COPY_ON_WRITE}, and ${REDIS_BASE_BYTES / 2 ** 20} MiB`,
    why: 'pages are copied while that child runs; buffers, the backlog of replication',
  },
  {
    what: `${INGEST_BASE_BYTES / 2 ** 20} MiB for each ingest process besides its connections, ${QUERY_API_BASE_BYTES / 2 ** 20} MiB for each query-api besides its index`,
    why: 'Node itself',
  },
  {
    what: 'each message between a driver and ingest is a separate TCP segment and answered by an empty one, over IPv4, without TLS',
    why: 'some are joined in fact; a proxy for TLS adds 22 bytes or more to each record',
  },
  {
    what: 'a core of production does what a core of the measured machine does',
    why: 'measure there: npm run bench',
  },
];

export const NOT_PLANNED =
  'Not in the plan, as nothing measures it: handshakes (a storm of reconnects, TLS), checkpoints, the network between the services, the disks, a standby of Postgres.';
