/**
 * A result that goes out in pieces, and a request's body that comes in pieces, of one invocation, with back-pressure
 * both ways: who sends waits for credit; who takes gives it back as the function uses the pieces up.
 */

"use strict";

const { CHUNK_BYTES, TEXT } = require("./messages.js");
const { pieceOf, wholeOf } = require("./http.js");

class Streams {
  #id;
  #lane;
  #credit;
  #pieces = [];
  #whole;
  #ended = false;
  #waiting = []; // resolvers

  constructor(id, lane, window, bodyStreams) {
    this.#id = id;
    this.#lane = lane;
    this.#credit = window;
    this.#whole = !bodyStreams;
  }

  /** Takes a `Chunk` or a `Credit`; what is of another invocation is dropped. */
  took({ type, id, data, last, size }) {
    if (id !== this.#id) return;
    if (type === "credit") this.#credit += Number(size);
    else {
      if (data.length > 0) this.#pieces.push(Buffer.from(data)); // the lane reads on into its own buffer
      this.#whole ||= last;
    }
    this.#wake();
  }

  /** The invocation has ended: nothing more comes, and what would be sent is dropped. */
  end() {
    this.#ended = true;
    this.#whole = true;
    this.#wake();
  }

  #wake() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  async #until(holds) {
    while (!holds()) await new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** The body's pieces as they come. */
  async *pieces() {
    for (;;) {
      await this.#until(() => this.#pieces.length > 0 || this.#whole);
      const piece = this.#pieces.shift();
      if (piece === undefined) return;
      if (!this.#ended) this.#lane.send("credit", { id: this.#id, size: piece.length });
      yield piece;
    }
  }

  /**
   * Sends what an iterator gives, as it gives it.
   * @returns {Promise<?Error>} why one of its items cannot be sent; null for none. Rejected with what the iterator throws.
   */
  async send(items, contentType, response) {
    let begun = false;
    const begin = (kind) => {
      begun = true;
      this.#lane.send("head", { id: this.#id, contentType: contentType || kind, response });
    };
    const iterable = { [Symbol.asyncIterator]: () => items, [Symbol.iterator]: () => items };
    for await (const item of iterable) {
      if (this.#ended) return null;
      let data;
      let kind;
      try {
        [data, kind] = pieceOf(item);
      } catch (error) {
        return error;
      }
      if (!begun) begin(kind);
      for (let at = 0; at < data.length; at += CHUNK_BYTES) {
        await this.#until(() => this.#credit > 0 || this.#ended);
        if (this.#ended) return null;
        const piece = data.subarray(at, at + CHUNK_BYTES);
        this.#credit -= piece.length;
        this.#lane.send("chunk", { id: this.#id, data: piece });
      }
    }
    if (!begun) begin(TEXT);
    return null;
  }
}

/** The value that stands for what an iterator gives, for a caller that takes no pieces. */
async function gathered(items) {
  const found = [];
  for await (const item of { [Symbol.asyncIterator]: () => items }) found.push(item);
  return wholeOf(found);
}

module.exports = { Streams, gathered };
