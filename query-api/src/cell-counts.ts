// Counts drivers in each cell of a geohash, of one precision, within some boxes: counts in columns, with an entry for
// each cell that the boxes touch.
//
//  A cell includes its upper and right border but not its lower and left one; only the first row and column include
// both. That is ngeohash's rule, which partitions also use. Borders are counted in whole units of 1e-7 degree, so
// nothing is rounded.

import { codeToString } from '@whereabouts/infra/geohash';
import type { Box } from './area.js';

const X_UNITS = 3_600_000_000;
const Y_UNITS = 1_800_000_000;
/** Room for a cell's entry number behind its code: codes have up to 35 of the 53 bits of a number. */
const PLACES = 2 ** 16;

export class CellCounts {
  readonly precision: number;
  readonly #allColumns: number;
  readonly #allRows: number;
  readonly #firstColumn: number;
  readonly #firstRow: number;
  readonly #columns: number;
  readonly #rows: number;
  #available = new Uint32Array(0);
  #busy = new Uint32Array(0);

  /** `boxes`: one, or two that meet at the antimeridian, the western one first. */
  constructor(boxes: readonly Box[], precision: number) {
    this.precision = precision;
    const bits = 5 * precision;
    this.#allColumns = 2 ** Math.ceil(bits / 2);
    this.#allRows = 2 ** Math.floor(bits / 2);
    const [one, two] = boxes as [Box, Box?];
    this.#firstColumn = this.#columnOf(one.minLonE7);
    this.#firstRow = this.#rowOf(one.minLatE7);
    const lastColumn = two ? this.#allColumns + this.#columnOf(two.maxLonE7) : this.#columnOf(one.maxLonE7);
    // A box may wrap round the world into the column that it began in.
    this.#columns = Math.min(this.#allColumns, Math.max(0, lastColumn - this.#firstColumn + 1));
    this.#rows = Math.max(0, this.#rowOf(one.maxLatE7) - this.#firstRow + 1);
  }

  /** Cells that the boxes touch. */
  get size(): number {
    return this.#columns * this.#rows;
  }

  /** The entry of a place within the boxes. */
  add(latE7: number, lonE7: number, isAvailable: boolean): void {
    if (this.#available.length === 0) {
      this.#available = new Uint32Array(this.size);
      this.#busy = new Uint32Array(this.size);
    }
    const column = (this.#columnOf(lonE7) - this.#firstColumn) & (this.#allColumns - 1);
    const place = (this.#rowOf(latE7) - this.#firstRow) * this.#columns + column;
    const counts = isAvailable ? this.#available : this.#busy;
    counts[place] = (counts[place] as number) + 1;
  }

  /** The cells with at least one driver, in the order of their geohashes, as JSON. */
  texts(): string[] {
    const keys: number[] = [];
    for (let place = 0; place < this.#available.length; place++) {
      if (this.#available[place] === 0 && this.#busy[place] === 0) continue;
      keys.push(this.#codeAt(place) * PLACES + place);
    }
    return Array.from(Float64Array.from(keys).sort(), (key) => this.#textOf(key));
  }

  #textOf(key: number): string {
    const place = key % PLACES;
    const available = this.#available[place] as number;
    const busy = this.#busy[place] as number;
    const geohash = codeToString((key - place) / PLACES, this.precision);
    return `{"geohash":"${geohash}","drivers":${available + busy},"available":${available},"busy":${busy}}`;
  }

  /** The geohash as a number: a bit of the column, a bit of the row, and so on. */
  #codeAt(place: number): number {
    const column = (this.#firstColumn + (place % this.#columns)) & (this.#allColumns - 1);
    const row = this.#firstRow + Math.floor(place / this.#columns);
    let code = 0;
    let [columnBit, rowBit] = [this.#allColumns / 2, this.#allRows / 2];
    while (columnBit >= 1) {
      code = 2 * code + (column & columnBit ? 1 : 0);
      columnBit /= 2;
      if (rowBit < 1) break;
      code = 2 * code + (row & rowBit ? 1 : 0);
      rowBit /= 2;
    }
    return code;
  }

  #columnOf(lonE7: number): number {
    return Math.max(0, Math.ceil(((lonE7 + X_UNITS / 2) * this.#allColumns) / X_UNITS) - 1);
  }

  #rowOf(latE7: number): number {
    return Math.max(0, Math.ceil(((latE7 + Y_UNITS / 2) * this.#allRows) / Y_UNITS) - 1);
  }
}
