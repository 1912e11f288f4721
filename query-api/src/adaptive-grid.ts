// Points on the map, in cells that adapt to their density: a cell is divided in four when it holds more than
// BUCKET points, and joined again when its quarters hold few together. So a search looks at about as many points in a
// city of a million drivers as in a village. There are several grids in one, each with a root of its own.
//
//   units     1e-7 degree: x from -180 degrees, y from -90; the root spans 2^32 of them both ways, beyond the map
//   node      a cell. Its four quarters are adjacent; a leaf has a bucket, or none while it is empty
//   bucket    BUCKET points side by side (x, y, slot, and a mask that searches filter by), so that a search reads memory
//             in a row. At MAX_DEPTH (1 m) buckets are chained; only the first of a chain may have room
//   place     of a slot: where its point stands (bucket * BUCKET + index), -1 where it is in no grid

const BUCKET = 16;
const MAX_DEPTH = 25;
/**
 * Four quarters that hold no more than this together are joined. It is well below BUCKET, so a cell does not flutter.
 */
const JOIN_AT = 6;
const NONE = -1;
const WORLD_UNITS = 3_600_000_000;
const X_OFFSET = 1_800_000_000;
const Y_OFFSET = 900_000_000;
const RADIANS_PER_UNIT = Math.PI / 180 / 1e7;
const HALF_RADIANS_PER_UNIT = RADIANS_PER_UNIT / 2;
/** A path pushes three quarters at each depth, and four at the last. */
const STACK = 3 * MAX_DEPTH + 4;

/** Receives the points of a search. */
export interface Visitor {
  /** Only points with all of these bits are shown. */
  mask: number;
  /** Points farther than this can be skipped. In the unit of `haversineOf`. */
  limit: number;
  /** The visitor may lower `limit`. */
  visit(slot: number): void;
}

/** In units of 1e-7 degree; all bounds belong to it. */
export interface GridBox {
  minLatE7: number;
  minLonE7: number;
  maxLatE7: number;
  maxLonE7: number;
}

/** sin² of half the angle of a distance: it grows as the distance does, up to half way round the world. */
export function haversineOf(angle: number): number {
  const sin = Math.sin(Math.min(Math.PI / 2, angle / 2));
  return sin * sin;
}

export class AdaptiveGrid {
  // Nodes.
  #x0 = new Uint32Array(64);
  #y0 = new Uint32Array(64);
  #depth = new Uint8Array(64);
  /** The smallest cosine of a latitude in the cell. */
  #cos = new Float64Array(64);
  /** The first of its four quarters; 0 for a leaf, as no root is a quarter. */
  #quarters = new Int32Array(64);
  #parent = new Int32Array(64);
  #bucket = new Int32Array(64);
  #nodes = 0;
  /** Groups of four nodes that are free again. */
  readonly #freeQuarters: number[] = [];
  // Buckets.
  #x = new Uint32Array(64 * BUCKET);
  #y = new Uint32Array(64 * BUCKET);
  #slot = new Int32Array(64 * BUCKET);
  #mask = new Uint16Array(64 * BUCKET);
  #fill = new Uint8Array(64);
  #next = new Int32Array(64);
  #node = new Int32Array(64);
  #buckets = 0;
  readonly #freeBuckets: number[] = [];
  // Slots.
  #place = new Int32Array(0);
  // A search.
  readonly #stackNode = new Int32Array(STACK);
  readonly #stackBound = new Float64Array(STACK);

  constructor(roots: number) {
    for (let i = 0; i < roots; i++) this.#setNode(this.#nodes++, 0, 0, 0, NONE);
  }

  /** Bytes of its arrays. */
  get bytes(): number {
    const arrays = [
      ...[this.#x0, this.#y0, this.#depth, this.#cos, this.#quarters, this.#parent, this.#bucket],
      ...[this.#x, this.#y, this.#slot, this.#mask, this.#fill, this.#next, this.#node, this.#place],
    ];
    return arrays.reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /** Room for slots below this. */
  grow(slots: number): void {
    const before = this.#place;
    this.#place = new Int32Array(slots).fill(NONE, before.length);
    this.#place.set(before);
  }

  has(slot: number): boolean {
    return (this.#place[slot] as number) >= 0;
  }

  insert(root: number, slot: number, latE7: number, lonE7: number, mask: number): void {
    const x = lonE7 + X_OFFSET;
    const y = latE7 + Y_OFFSET;
    let node = this.#leafAt(root, x, y);
    while (this.#isFull(node)) {
      this.#divide(node);
      node = this.#leafAt(node, x, y);
    }
    this.#add(node, slot, x, y, mask);
  }

  /** Whether the point is still in its cell. */
  move(slot: number, latE7: number, lonE7: number, mask: number): boolean {
    const place = this.#place[slot] as number;
    const node = this.#node[(place / BUCKET) | 0] as number;
    const x = lonE7 + X_OFFSET;
    const y = latE7 + Y_OFFSET;
    const size = sizeAt(this.#depth[node] as number);
    const dx = x - (this.#x0[node] as number);
    const dy = y - (this.#y0[node] as number);
    if (dx < 0 || dy < 0 || dx >= size || dy >= size) return false;
    this.#x[place] = x;
    this.#y[place] = y;
    this.#mask[place] = mask;
    return true;
  }

  remove(slot: number): void {
    const place = this.#place[slot] as number;
    const node = this.#node[(place / BUCKET) | 0] as number;
    const first = this.#bucket[node] as number;
    const last = first * BUCKET + (this.#fill[first] as number) - 1;
    // The last point of the chain's first bucket fills the hole.
    const moved = this.#slot[last] as number;
    this.#x[place] = this.#x[last] as number;
    this.#y[place] = this.#y[last] as number;
    this.#mask[place] = this.#mask[last] as number;
    this.#slot[place] = moved;
    this.#place[moved] = place;
    this.#place[slot] = NONE;
    const left = (this.#fill[first] as number) - 1;
    this.#fill[first] = left;
    if (left === 0) {
      this.#bucket[node] = this.#next[first] as number;
      this.#freeBuckets.push(first);
    }
    this.#join(this.#parent[node] as number);
  }

  /**
   * Shows the visitor every point within its limit, and perhaps some beyond it, nearer cells first. Returns the number
   * of points and cells examined.
   *  It compares a lower bound of the haversine: the smallest differences of latitude and longitude, the smallest
   * cosine, and x - x³/6 for the sine. So it never skips a point within the limit.
   */
  search(root: number, lat: number, lon: number, visitor: Visitor): number {
    const x = lon * 1e7 + X_OFFSET;
    const y = lat * 1e7 + Y_OFFSET;
    const cos = Math.cos((lat * Math.PI) / 180);
    const stackNode = this.#stackNode;
    const stackBound = this.#stackBound;
    let looked = 0;
    let top = 0;
    stackNode[0] = root;
    stackBound[0] = 0;
    while (top >= 0) {
      const node = stackNode[top] as number;
      const isNear = (stackBound[top] as number) <= visitor.limit;
      top--;
      if (!isNear) continue;
      const quarters = this.#quarters[node] as number;
      if (quarters === 0) {
        looked += this.#searchLeaf(node, x, y, cos, visitor);
        continue;
      }
      looked += 4;
      const bottom = top + 1;
      for (let i = quarters; i < quarters + 4; i++) {
        if (this.#quarters[i] === 0 && this.#bucket[i] === NONE) continue;
        const bound = this.#boundOf(i, x, y, cos);
        if (bound > visitor.limit) continue;
        // The nearest on top.
        let at = ++top;
        for (; at > bottom && (stackBound[at - 1] as number) < bound; at--) {
          stackBound[at] = stackBound[at - 1] as number;
          stackNode[at] = stackNode[at - 1] as number;
        }
        stackBound[at] = bound;
        stackNode[at] = i;
      }
    }
    return looked;
  }

  /** Calls `use` with each slot within the box, up to a limit. Returns whether these were all. */
  within(root: number, box: GridBox, atMost: number, use: (slot: number) => void): boolean {
    const [west, east] = [box.minLonE7 + X_OFFSET, box.maxLonE7 + X_OFFSET];
    const [south, north] = [box.minLatE7 + Y_OFFSET, box.maxLatE7 + Y_OFFSET];
    const stack = [root];
    let count = 0;
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      const size = sizeAt(this.#depth[node] as number);
      const x0 = this.#x0[node] as number;
      const y0 = this.#y0[node] as number;
      if (x0 > east || y0 > north || x0 + size <= west || y0 + size <= south) continue;
      const quarters = this.#quarters[node] as number;
      if (quarters !== 0) stack.push(quarters + 3, quarters + 2, quarters + 1, quarters);
      for (
        let bucket = this.#bucket[node] as number;
        bucket !== NONE;
        bucket = this.#next[bucket] as number
      ) {
        const first = bucket * BUCKET;
        const end = first + (this.#fill[bucket] as number);
        for (let i = first; i < end; i++) {
          const x = this.#x[i] as number;
          const y = this.#y[i] as number;
          if (x < west || x > east || y < south || y > north) continue;
          if (++count > atMost) return false;
          use(this.#slot[i] as number);
        }
      }
    }
    return true;
  }

  #searchLeaf(node: number, x: number, y: number, cos: number, visitor: Visitor): number {
    const cosines = cos * (this.#cos[node] as number);
    const xs = this.#x;
    const ys = this.#y;
    const masks = this.#mask;
    const { mask } = visitor;
    let looked = 0;
    for (let bucket = this.#bucket[node] as number; bucket !== NONE; bucket = this.#next[bucket] as number) {
      const first = bucket * BUCKET;
      const end = first + (this.#fill[bucket] as number);
      looked += end - first;
      for (let i = first; i < end; i++) {
        if (((masks[i] as number) & mask) !== mask) continue;
        const dx = Math.abs((xs[i] as number) - x);
        const dy = Math.abs((ys[i] as number) - y);
        const bound = haversineBound(dx > WORLD_UNITS / 2 ? WORLD_UNITS - dx : dx, dy, cosines);
        if (bound <= visitor.limit) visitor.visit(this.#slot[i] as number);
      }
    }
    return looked;
  }

  #boundOf(node: number, x: number, y: number, cos: number): number {
    const size = sizeAt(this.#depth[node] as number);
    const x0 = this.#x0[node] as number;
    const y0 = this.#y0[node] as number;
    let dx = 0;
    // The other way round the world may be shorter. (Cells that reach beyond the map come out too near.)
    if (x < x0) dx = Math.max(0, Math.min(x0 - x, x + WORLD_UNITS - x0 - size));
    else if (x > x0 + size) dx = Math.max(0, Math.min(x - x0 - size, x0 + WORLD_UNITS - x));
    const dy = y < y0 ? y0 - y : Math.max(0, y - y0 - size);
    return haversineBound(dx, dy, cos * (this.#cos[node] as number));
  }

  #leafAt(from: number, x: number, y: number): number {
    let node = from;
    let shift = 31 - (this.#depth[node] as number);
    for (let quarters = this.#quarters[node] as number; quarters !== 0; shift--) {
      node = quarters + ((x >>> shift) & 1) + (((y >>> shift) & 1) << 1);
      quarters = this.#quarters[node] as number;
    }
    return node;
  }

  #isFull(node: number): boolean {
    const bucket = this.#bucket[node] as number;
    return bucket !== NONE && this.#fill[bucket] === BUCKET && (this.#depth[node] as number) < MAX_DEPTH;
  }

  #add(node: number, slot: number, x: number, y: number, mask: number): void {
    let bucket = this.#bucket[node] as number;
    if (bucket === NONE || this.#fill[bucket] === BUCKET) {
      const behind = bucket;
      bucket = this.#newBucket();
      this.#next[bucket] = behind;
      this.#node[bucket] = node;
      this.#bucket[node] = bucket;
    }
    const place = bucket * BUCKET + (this.#fill[bucket] as number);
    this.#fill[bucket] = (this.#fill[bucket] as number) + 1;
    this.#x[place] = x;
    this.#y[place] = y;
    this.#slot[place] = slot;
    this.#mask[place] = mask;
    this.#place[slot] = place;
  }

  /** A leaf with one full bucket. */
  #divide(node: number): void {
    const quarters = this.#newQuarters();
    const depth = (this.#depth[node] as number) + 1;
    const size = sizeAt(depth);
    for (let i = 0; i < 4; i++) {
      const x0 = (this.#x0[node] as number) + (i & 1 ? size : 0);
      const y0 = (this.#y0[node] as number) + (i & 2 ? size : 0);
      this.#setNode(quarters + i, x0, y0, depth, node);
    }
    const bucket = this.#bucket[node] as number;
    this.#quarters[node] = quarters;
    this.#bucket[node] = NONE;
    this.#spill(bucket, node);
  }

  /** Moves the points of a bucket to the leaves below a node, none of which is full. */
  #spill(bucket: number, node: number): void {
    const first = bucket * BUCKET;
    const end = first + (this.#fill[bucket] as number);
    for (let i = first; i < end; i++) {
      const x = this.#x[i] as number;
      const y = this.#y[i] as number;
      this.#add(this.#leafAt(node, x, y), this.#slot[i] as number, x, y, this.#mask[i] as number);
    }
    this.#freeBuckets.push(bucket);
  }

  #join(parent: number): void {
    for (let node = parent; node !== NONE; node = this.#parent[node] as number) {
      const quarters = this.#quarters[node] as number;
      let count = 0;
      for (let i = quarters; i < quarters + 4; i++) {
        const bucket = this.#bucket[i] as number;
        if (this.#quarters[i] !== 0 || (bucket !== NONE && this.#next[bucket] !== NONE)) return;
        if (bucket !== NONE) count += this.#fill[bucket] as number;
        if (count > JOIN_AT) return;
      }
      this.#quarters[node] = 0;
      for (let i = quarters; i < quarters + 4; i++) {
        if (this.#bucket[i] !== NONE) this.#spill(this.#bucket[i] as number, node);
      }
      this.#freeQuarters.push(quarters);
    }
  }

  #setNode(node: number, x0: number, y0: number, depth: number, parent: number): void {
    this.#x0[node] = x0;
    this.#y0[node] = y0;
    this.#depth[node] = depth;
    this.#cos[node] = leastCosine(y0, y0 + sizeAt(depth));
    this.#quarters[node] = 0;
    this.#parent[node] = parent;
    this.#bucket[node] = NONE;
  }

  #newQuarters(): number {
    const free = this.#freeQuarters.pop();
    if (free !== undefined) return free;
    const first = this.#nodes;
    this.#nodes += 4;
    if (this.#nodes > this.#x0.length) {
      const length = 2 * this.#x0.length;
      this.#x0 = enlarged(this.#x0, new Uint32Array(length));
      this.#y0 = enlarged(this.#y0, new Uint32Array(length));
      this.#depth = enlarged(this.#depth, new Uint8Array(length));
      this.#cos = enlarged(this.#cos, new Float64Array(length));
      this.#quarters = enlarged(this.#quarters, new Int32Array(length));
      this.#parent = enlarged(this.#parent, new Int32Array(length));
      this.#bucket = enlarged(this.#bucket, new Int32Array(length));
    }
    return first;
  }

  #newBucket(): number {
    const bucket = this.#freeBuckets.pop() ?? this.#buckets++;
    if (bucket >= this.#fill.length) {
      const length = 2 * this.#fill.length;
      this.#fill = enlarged(this.#fill, new Uint8Array(length));
      this.#next = enlarged(this.#next, new Int32Array(length));
      this.#node = enlarged(this.#node, new Int32Array(length));
      this.#x = enlarged(this.#x, new Uint32Array(length * BUCKET));
      this.#y = enlarged(this.#y, new Uint32Array(length * BUCKET));
      this.#slot = enlarged(this.#slot, new Int32Array(length * BUCKET));
      this.#mask = enlarged(this.#mask, new Uint16Array(length * BUCKET));
    }
    this.#fill[bucket] = 0;
    return bucket;
  }
}

const SIZES = Float64Array.from({ length: MAX_DEPTH + 1 }, (_, depth) => 2 ** (32 - depth));
const sizeAt = (depth: number): number => SIZES[depth] as number;

function haversineBound(dx: number, dy: number, cosines: number): number {
  const a = dx * HALF_RADIANS_PER_UNIT;
  const b = dy * HALF_RADIANS_PER_UNIT;
  const sinA = a - (a * a * a) / 6;
  const sinB = b - (b * b * b) / 6;
  return sinB * sinB + cosines * sinA * sinA;
}

/** The cosine falls towards both poles, so it is least at an end. */
function leastCosine(south: number, north: number): number {
  const at = (y: number) => Math.max(0, Math.cos(Math.min(Math.PI / 2, (y - Y_OFFSET) * RADIANS_PER_UNIT)));
  return Math.min(at(south), at(north)) * (1 - 1e-12);
}

function enlarged<T extends Uint8Array | Uint16Array | Uint32Array | Int32Array | Float64Array>(
  from: T,
  into: T,
): T {
  into.set(from);
  return into;
}
