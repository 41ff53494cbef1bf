/**
 * What a function prints, as `Log` messages of the invocation that runs.
 *
 * `process.stdout` and `process.stderr` (and so `console`) are taken over while an invocation runs; what is
 * printed at other times goes to the process's own descriptors. Text is gathered and sent in whole lines: with the
 * report, after `FLUSH_MS`, or when there is much of it. Over the limit it is counted, not carried.
 */

"use strict";

const { StringDecoder } = require("node:string_decoder");

const FLUSH_MS = 20;
const FLUSH_CHARS = 16 << 10;
const STREAMS = { out: "stdout", err: "stderr" };

/** What one invocation, or a load, prints. */
class Writer {
  isOver = false;
  #lane;
  #invocation;
  #preface;
  #room;
  #dropped = 0;
  #chunks = []; // { stream, text, atNs }, in the order written
  #chars = 0;
  #firstMs = 0;
  #timer = null;

  /**
   * @param {string} invocation the id of a run or of a load.
   * @param {Lane} lane where it goes out.
   * @param {number} limit bytes carried.
   * @param {function(): void} preface sends what has to go before.
   */
  constructor(invocation, lane, limit, preface) {
    this.#invocation = invocation;
    this.#lane = lane;
    this.#room = limit;
    this.#preface = preface;
  }

  /** Takes `text`, printed to `stream`. */
  write(stream, text) {
    const size = Buffer.byteLength(text);
    const kept = size <= this.#room ? text : cut(text, this.#room);
    const keptBytes = kept === text ? size : Buffer.byteLength(kept);
    this.#room -= keptBytes;
    if (keptBytes < size) {
      this.#dropped += size - keptBytes;
      this.#room = 0; // what follows a gap is not carried, even where it would fit
    }
    if (kept !== "") this.#gather(stream, kept);
  }

  /** Sends what was gathered; an unfinished last line only when `all`. */
  flush(all = false) {
    if (this.#chunks.length === 0 && this.#dropped === 0) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#preface();
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#chars = 0;
    for (const [index, chunk] of chunks.entries()) {
      const end = all || index < chunks.length - 1 ? chunk.text.length : chunk.text.lastIndexOf("\n") + 1;
      if (end > 0) this.#emit(chunk.stream, chunk.text.slice(0, end), chunk.atNs);
      if (end < chunk.text.length) this.#chunks.push({ ...chunk, text: chunk.text.slice(end) });
    }
    if (all && this.#dropped > 0) this.#emit("err", "", process.hrtime.bigint());
  }

  #emit(stream, text, atNs) {
    this.#lane.send("log", { invocation: this.#invocation, stream, text, atNs, droppedBytes: this.#dropped });
    this.#dropped = 0;
  }

  #gather(stream, text) {
    const last = this.#chunks.at(-1);
    if (last !== undefined && last.stream === stream) last.text += text;
    else this.#chunks.push({ stream, text, atNs: process.hrtime.bigint() });
    this.#chars += text.length;
    if (this.#timer === null) {
      this.#firstMs = performance.now();
      this.#timer = setTimeout(() => this.flush(), FLUSH_MS);
    }
    // A function that never yields lets no timer run.
    if (this.#chars > FLUSH_CHARS) this.flush(!text.includes("\n"));
    else if (performance.now() - this.#firstMs > FLUSH_MS) this.flush();
  }
}

class Output {
  limit;
  preface = () => {}; // sends what has to go before output
  /** The writer of whoever runs; null for nobody. */
  current = () => this.#writer;
  #writer = null;

  /**
   * @param {number} limit bytes carried of one invocation.
   */
  constructor(limit) {
    this.limit = limit;
  }

  /** Takes the two streams over, once for the process; each is opened only when something is printed. */
  install() {
    for (const [stream, name] of Object.entries(STREAMS)) {
      const { get, enumerable } = Object.getOwnPropertyDescriptor(process, name);
      const opened = () => {
        const target = get.call(process);
        this.#takeOver(target, stream);
        Object.defineProperty(process, name, { value: target, configurable: true, enumerable, writable: true });
        return target;
      };
      Object.defineProperty(process, name, { get: opened, configurable: true, enumerable });
    }
  }

  /**
   * What is printed from now on, where one runs at a time, belongs to `invocation`, the id of a run or of a load, and
   * goes out on `lane`.
   */
  begin(invocation, lane) {
    this.#writer = new Writer(invocation, lane, this.limit, () => this.preface());
    return this.#writer;
  }

  /** Sends the rest of what a writer has; what is printed from now on belongs to no invocation of its. */
  end(writer) {
    writer.flush(true);
    writer.isOver = true;
    if (this.#writer === writer) this.#writer = null;
  }

  #takeOver(target, stream) {
    const original = target.write;
    const decoder = new StringDecoder("utf8");
    target.write = (chunk, encoding, callback) => {
      const writer = this.current();
      if (writer === null || writer.isOver) return original.call(target, chunk, encoding, callback);
      const done = typeof encoding === "function" ? encoding : callback;
      writer.write(stream, typeof chunk === "string" ? chunk : decoder.write(chunk));
      if (typeof done === "function") process.nextTick(done);
      return true;
    };
  }
}

/** The longest beginning of `text` that takes at most `bytes` bytes of UTF-8. */
function cut(text, bytes) {
  if (bytes === 0) return "";
  const data = Buffer.from(text.slice(0, bytes), "utf8");
  let end = Math.min(bytes, data.length);
  while (end > 0 && end < data.length && (data[end] & 0xc0) === 0x80) end -= 1;
  return data.toString("utf8", 0, end);
}

module.exports = { Output };
