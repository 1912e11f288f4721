// What the page asks of the API. The token comes from the address's fragment, which no server ever sees, or is
// typed in; it is kept for this tab alone and taken out of the address bar.

const KEEP = 'whereabouts-token';

export class FeedError extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `the API answered ${status}`);
    this.status = status;
    this.code = problem.code ?? '';
    this.missing = problem.missing ?? [];
  }

  get needsToken() {
    return this.status === 401 || this.status === 403;
  }
}

export class Feed {
  #token = '';

  constructor() {
    const given = new URLSearchParams(location.hash.slice(1)).get('token');
    if (given) history.replaceState(null, '', location.pathname + location.search);
    this.useToken(given ?? sessionStorage.getItem(KEEP) ?? '');
  }

  get hasToken() {
    return this.#token !== '';
  }

  useToken(token) {
    this.#token = token.trim();
    sessionStorage.setItem(KEEP, this.#token);
  }

  cells() {
    return this.#get('/v1/partitions', 'application/geo+json');
  }

  partitions() {
    return this.#get('/v1/partitions');
  }

  live(bounds, limit) {
    const bbox = bounds.map((degrees) => degrees.toFixed(6)).join(',');
    return this.#get(`/v1/drivers/live?${new URLSearchParams({ bbox, limit })}`);
  }

  nearby(lat, lon, status) {
    const query = { lat: lat.toFixed(7), lon: lon.toFixed(7), status, radius_m: 50_000, limit: 10 };
    return this.#get(`/v1/drivers/nearby?${new URLSearchParams(query)}`);
  }

  async #get(path, accept = 'application/json') {
    const headers = { accept };
    if (this.#token !== '') headers.authorization = `Bearer ${this.#token}`;
    const response = await fetch(path, { headers, cache: 'no-store', signal: AbortSignal.timeout(5_000) });
    if (response.ok) return response.json();
    throw new FeedError(response.status, await response.json().catch(() => ({})));
  }
}
