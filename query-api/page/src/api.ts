// The page's requests to query-api, and how their answers are read. For the page and for its worker.

export interface Driver {
  driver_id: string;
  lat: number;
  lon: number;
  distance_m: number | null;
  heading_deg: number | null;
  speed_mps: number | null;
  status: 'available' | 'busy' | 'offline';
  recorded_at: string;
  age_ms: number;
  persisted: boolean;
}

export interface Coverage {
  complete: boolean;
  missing: { from: string; to: string; reason: string }[];
  view_age_ms: number | null;
}

export interface NearbyAnswer extends Coverage {
  drivers: Driver[];
}

export interface LiveAnswer extends Coverage {
  truncated: boolean;
  drivers: Driver[];
}

export interface SupplyAnswer extends Coverage {
  cells: { geohash: string; drivers: number; available: number; busy: number }[];
}

export type Health = 'ok' | 'unreachable' | 'timeout' | 'not_ready' | 'map_mismatch' | 'silent' | 'warming';

export interface Partition {
  partition: number;
  from: string;
  to: string;
  node: string | null;
  health: Health;
  unwell_since: string | null;
  drivers: number | null;
  available: number | null;
  busy: number | null;
  loss_window_ms: number | null;
}

type Ring = [number, number][];

export interface PartitionsAnswer extends Coverage {
  map: { hash: string; partitions: number };
  partitions: Partition[];
}

export interface PartitionCells extends Coverage {
  map: { hash: string; partitions: number };
  features: { geometry: { coordinates: Ring[][] }; properties: Partition }[];
}

/** [west, south, east, north] in degrees. */
export type Box = [number, number, number, number];

const DEADLINE_MS = 5_000;

export class ApiError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, { detail, code }: { detail?: string; code?: string }) {
    super(detail ?? `the API answered ${status}`);
    this.status = status;
    this.code = code ?? '';
  }

  get needsToken(): boolean {
    return this.status === 401 || this.status === 403;
  }
}

export class Api {
  #token: string;

  constructor(token = '') {
    this.#token = token;
  }

  get hasToken(): boolean {
    return this.#token !== '';
  }

  get token(): string {
    return this.#token;
  }

  useToken(token: string): void {
    this.#token = token;
  }

  partitions(): Promise<PartitionsAnswer> {
    return this.#get('/v1/partitions');
  }

  partitionCells(): Promise<PartitionCells> {
    return this.#get('/v1/partitions', 'application/geo+json');
  }

  live(box: Box, limit: number): Promise<LiveAnswer> {
    return this.#get(`/v1/drivers/live?${new URLSearchParams({ bbox: boxText(box), limit: String(limit) })}`);
  }

  supply(box: Box, precision: number): Promise<SupplyAnswer> {
    const query = { bbox: boxText(box), precision: String(precision) };
    return this.#get(`/v1/supply?${new URLSearchParams(query)}`);
  }

  nearby(point: { lat: number; lon: number }, status: string, limit: number): Promise<NearbyAnswer> {
    const query = { lat: point.lat.toFixed(7), lon: point.lon.toFixed(7), status, radius_m: '50000' };
    return this.#get(`/v1/drivers/nearby?${new URLSearchParams({ ...query, limit: String(limit) })}`);
  }

  driver(id: string): Promise<Driver & Coverage> {
    // A driver may be called `nearby` or `live`.
    return this.#get<Coverage & { drivers: Driver[] }>(
      `/v1/drivers?${new URLSearchParams({ ids: id })}`,
    ).then(({ drivers: [driver], ...coverage }) => {
      if (driver) return { ...driver, ...coverage };
      const detail = coverage.complete
        ? `No driver ${id} is known.`
        : `Driver ${id} was not found, but a part of the map cannot be seen now.`;
      throw new ApiError(coverage.complete ? 404 : 503, { detail });
    });
  }

  async #get<T>(path: string, accept = 'application/json'): Promise<T> {
    const headers: Record<string, string> = { accept };
    if (this.#token !== '') headers.authorization = `Bearer ${this.#token}`;
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const response = await fetch(path, { headers, cache: 'no-store', signal });
    if (response.ok) return (await response.json()) as T;
    throw new ApiError(response.status, await response.json().catch(() => ({})));
  }
}

function boxText(box: Box): string {
  return box.map((degrees) => degrees.toFixed(6)).join(',');
}
