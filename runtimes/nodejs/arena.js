/**
 * Which parts of a store are taken: first fit over one stretch of bytes. As `mee6/lane/arena.py`, which is the one
 * to read; tests hold the two against each other.
 */

"use strict";

const PAGE = 4096;

/** The bytes of the whole pages that so many bytes take. */
const pages = (size) => Math.ceil(size / PAGE) * PAGE;

class Arena {
  #free; // [offset, size] of what is free, by offset; no two touch each other
  #taken = new Map(); // offset -> size

  /** @param {number} size bytes; what is over whole pages is left out. */
  constructor(size) {
    this.size = size - (size % PAGE);
    this.#free = this.size > 0 ? [[0, this.size]] : [];
  }

  /** Bytes of all blocks. */
  get taken() {
    let sum = 0;
    for (const size of this.#taken.values()) sum += size;
    return sum;
  }

  /** Bytes of the largest block that there is room for. */
  get largest() {
    return this.#free.reduce((most, [, size]) => Math.max(most, size), 0);
  }

  /** Takes a block of at least so many bytes; its offset, or null where there is no room. */
  take(size) {
    const wanted = pages(size);
    const index = this.#free.findIndex(([, free]) => free >= wanted);
    if (index < 0) return null;
    const [offset, free] = this.#free[index];
    if (free === wanted) this.#free.splice(index, 1);
    else this.#free[index] = [offset + wanted, free - wanted];
    this.#taken.set(offset, wanted);
    return offset;
  }

  /** Frees a block. */
  give(offset) {
    let size = this.#taken.get(offset);
    if (size === undefined) throw new RangeError(`no block at ${offset}`);
    this.#taken.delete(offset);
    const free = this.#free;
    let index = free.findIndex(([other]) => other > offset);
    if (index < 0) index = free.length;
    if (index < free.length && offset + size === free[index][0]) size += free.splice(index, 1)[0][1];
    if (index > 0 && free[index - 1][0] + free[index - 1][1] === offset) free[index - 1][1] += size;
    else free.splice(index, 0, [offset, size]);
  }
}

module.exports = { Arena, pages };
