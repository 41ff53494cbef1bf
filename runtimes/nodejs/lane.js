/**
 * The lane on Node.js: frames of a 4-byte big-endian length and a MessagePack body, over a Unix socket.
 *
 * Reads into one buffer for the lane's life, so a message's bytes are only valid while its handler runs
 * (`content.unpack` copies what it keeps). Writes of one tick leave as one write. Knows nothing of what the
 * messages mean; a frame over the limit ends the lane before it is buffered.
 */

"use strict";

const net = require("node:net");
const { Encoder, Decoder } = require("./vendor/msgpack.js");
const { ENCODERS, DECODERS } = require("./messages.js");

const MAX_FRAME_BYTES = 16 << 20;
const MAX_PAYLOAD_BYTES = MAX_FRAME_BYTES - (64 << 10); // of an argument or a result, with room for the rest
const READ_BYTES = 64 << 10;
const KEPT_ENCODER_BYTES = 1 << 20; // a large frame grows the encoder's buffer, which is not to be kept

class Lane {
  #socket;
  #received;
  #encoder = new Encoder({ useBigInt64: true });
  #decoder = new Decoder();
  #partial = null; // a frame that came in pieces, header included
  #filled = 0;
  #corked = false;

  /** The lane that the process was started with, on descriptor `fd`. See `constructor` for the handlers. */
  static inherited(fd, handlers) {
    return new Lane((onread) => new net.Socket({ fd, readable: true, writable: true, onread }), handlers);
  }

  /** A lane over a socket that a server has accepted. */
  static accepted(socket, handlers) {
    return new Lane(({ callback }) => socket.on("data", callback), handlers);
  }

  /**
   * Connects to the lane socket at `path`.
   * @returns {Promise<Lane>} rejected when that fails, or takes longer than `timeoutMs`.
   */
  static connect(path, timeoutMs, handlers) {
    return new Promise((resolve, reject) => {
      const lane = new Lane((onread) => net.connect({ path, onread }), handlers);
      const socket = lane.#socket;
      const timer = setTimeout(() => socket.destroy(new Error(`no answer at ${path} for ${timeoutMs} ms`)), timeoutMs);
      socket.once("connect", () => {
        clearTimeout(timer);
        resolve(lane);
      });
      socket.once("error", (error) => {
        clearTimeout(timer);
        reject(error);
      });
    });
  }

  /**
   * @param {function(object): net.Socket} open makes the socket, given its `onread` option.
   * @param {{received: function(object, Lane), ended: function(Lane)}} handlers called with each message, and once
   *   when the peer is gone or broke the rules.
   */
  constructor(open, { received, ended }) {
    this.#received = received;
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    const callback = (read) => this.#read(typeof read === "number" ? buffer.subarray(0, read) : read);
    this.#socket = open({ buffer, callback });
    this.#socket.on("error", () => {}); // "close" follows, and is what counts
    this.#socket.on("close", () => ended(this));
  }

  /**
   * Queues one message, by the name of its class in lower case; it leaves at the end of the tick.
   * @throws {RangeError} the frame would be over the lane's limit.
   */
  send(type, fields) {
    const body = this.#encoder.encodeSharedRef(ENCODERS[type](fields));
    const size = body.length;
    if (size > KEPT_ENCODER_BYTES) this.#encoder = new Encoder({ useBigInt64: true });
    if (size > MAX_FRAME_BYTES) throw tooLarge(type, size);
    const frame = Buffer.allocUnsafe(4 + size);
    frame.writeUInt32BE(size, 0);
    frame.set(body, 4);
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(() => this.flush());
    }
    this.#socket.write(frame);
  }

  /** Writes what is queued now, as far as the socket takes it without waiting. */
  flush() {
    if (!this.#corked) return;
    this.#corked = false;
    this.#socket.uncork();
  }

  /** Ends the lane after what is queued has gone out, then calls `then`; after `timeoutMs` in any case. */
  close(then = () => {}, timeoutMs = 1000) {
    const socket = this.#socket;
    const timer = setTimeout(() => socket.destroy(), timeoutMs);
    socket.once("close", () => {
      clearTimeout(timer);
      then();
    });
    this.flush();
    socket.destroySoon();
  }

  #read(data) {
    try {
      let start = 0;
      while (start < data.length) start = this.#partial ? this.#complete(data, start) : this.#cut(data, start);
    } catch (error) {
      this.#socket.destroy(error);
    }
    return true;
  }

  /** Takes one frame, or the beginning of one, that starts at `start`; returns where the next begins. */
  #cut(data, start) {
    const left = data.length - start;
    const size = left >= 4 ? data.readUInt32BE(start) : 0;
    if (size > MAX_FRAME_BYTES) throw tooLarge("frame", size);
    if (left >= 4 + size && left >= 4) {
      this.#dispatch(data.subarray(start + 4, start + 4 + size));
      return start + 4 + size;
    }
    this.#partial = Buffer.allocUnsafeSlow(left >= 4 ? 4 + size : 4);
    this.#filled = data.copy(this.#partial, 0, start);
    return data.length;
  }

  /** Goes on with a frame of which a part had come before. */
  #complete(data, start) {
    const copied = data.copy(this.#partial, this.#filled, start);
    this.#filled += copied;
    if (this.#filled < this.#partial.length) return start + copied;
    const partial = this.#partial;
    const size = partial.readUInt32BE(0);
    if (size > MAX_FRAME_BYTES) throw tooLarge("frame", size);
    if (partial.length < 4 + size) {
      this.#partial = Buffer.allocUnsafeSlow(4 + size); // only now is the length known
      partial.copy(this.#partial);
      return start + copied;
    }
    this.#partial = null;
    this.#dispatch(partial.subarray(4));
    return start + copied;
  }

  #dispatch(body) {
    const array = this.#decoder.decode(body);
    const decode = Array.isArray(array) && Object.hasOwn(DECODERS, array[0]) ? DECODERS[array[0]] : null;
    if (decode === null) throw new TypeError("not a lane message");
    this.#received(decode(array), this);
  }
}

function tooLarge(what, size) {
  return new RangeError(`a ${what} of ${size} bytes is over the lane's ${MAX_FRAME_BYTES}`);
}

module.exports = { Lane, MAX_PAYLOAD_BYTES };
