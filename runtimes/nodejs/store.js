/**
 * What this process passes by the store of its workflow: to those it calls, out of its own region, and to its caller.
 *
 * As `mee6/lane/store.py` and `runtimes/python/store.py`, with one difference: Node.js cannot map a file without native
 * code, so what lies in the store is read from it into a Buffer, one copy for the system call, and written the same way.
 */

"use strict";

const fs = require("node:fs");
const { Arena, pages } = require("./arena.js");
const { unpack } = require("./content.js");

const FOLDER = ".store";
const INLINE_BYTES = 32 << 10; // as in Python, and so are the others
const MAX_ROOM_BYTES = 64 << 20;
const SHARE = 4;
const RETIRED_MS = 5000;
const KEPT = 4;
const NAME = /^[a-z0-9][a-z0-9.-]{0,63}$/;
const OURS = new Set(["function_raised", "load_failed", "result_refused", "call_refused", "invalid_input", "conflict"]);
const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
const NOTHING = { stored: null, room: null };

/** One file of a store, open. */
class Region {
  /**
   * @param {number} size bytes, to make it; 0 = it is there.
   * @throws {Error} it cannot be made or opened, or is no file.
   */
  constructor(folder, name, size = 0) {
    const flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | (size > 0 ? O_CREAT | O_EXCL : 0);
    this.name = name;
    this.fd = fs.openSync(`${folder}/${name}`, flags, 0o600);
    try {
      if (size > 0) fs.ftruncateSync(this.fd, size);
      const found = fs.fstatSync(this.fd);
      if (!found.isFile()) throw new Error(`${name} is no file`);
      this.size = found.size;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Its name has been removed. */
  get isGone() {
    return fs.fstatSync(this.fd).nlink === 0;
  }

  /** Writes at a place within it; false where there is no memory for that. */
  write(offset, data) {
    try {
      for (let at = 0; at < data.length; ) at += fs.writeSync(this.fd, data, at, data.length - at, offset + at);
      return true;
    } catch {
      return false;
    }
  }

  /** What lies there, in a Buffer of its own. */
  read(offset, size) {
    const data = Buffer.allocUnsafeSlow(size);
    for (let at = 0; at < size; ) {
      const read = fs.readSync(this.fd, data, at, size - at, offset + at);
      if (read === 0) throw invalid(`the store's file ${this.name} has been cut short`);
      at += read;
    }
    return data;
  }

  close() {
    fs.closeSync(this.fd);
  }
}

class Store {
  #worker = "";
  #folder = "";
  #others = new Map(); // name -> Region, of those who call this process
  #own = null;
  #place = ""; // which folder its region is in: another one when this worker serves another workflow
  #arena = new Arena(0);
  #made = 0;
  #entered = false;
  #standing = null; // room that is kept from call to call
  #standsFree = false;
  #sent = new Map(); // call -> { name, arg, room }
  #peaks = new Map(); // function -> bytes of its largest result worth the store
  #retired = []; // [when, offset, arena]
  #passed = { blocks: 0, size: 0, over: 0 };

  /** Bytes that its region may have; 0 = it has none. */
  quota = 0;

  /** Learns where the store is. */
  welcomed(worker, act) {
    this.#worker = worker;
    this.#folder = `${act}/${FOLDER}`;
  }

  // The caller's side ------------------------------------------------------------------------------------------

  /** An invocation begins. */
  begin() {
    this.#entered = false;
    for (const id of this.#sent.keys()) this.#end(id, false); // calls that nobody heard the end of
  }

  /** Where a call's argument lies, unless it is to travel, and the room for its result: `{ stored, room }`. */
  offer(name, id, data) {
    if (this.quota === 0) return NOTHING;
    const region = this.#entered ? this.#own : this.#enter();
    if (region === null) return NOTHING;
    const stored = data.length > INLINE_BYTES ? this.#stored(region, data) : null;
    let room = this.#standing;
    if (this.#standsFree && room.size >= 2 * (this.#peaks.get(name) ?? 0)) this.#standsFree = false;
    else room = this.#room(region, name);
    this.#sent.set(id, { name, arg: stored?.offset ?? null, room });
    return { stored, room };
  }

  /**
   * The value of a call that went well.
   * @throws {Error} the bytes are not what they should be.
   */
  result({ id, result, contentType, stored: size }) {
    const sent = this.#sent.get(id);
    if (sent === undefined) return unpack(result, contentType);
    const { name, room } = sent;
    try {
      if (size === 0) {
        if (result.length > INLINE_BYTES) {
          if (room === null || room.size < result.length) this.#passed.over += 1;
          this.#note(name, result.length);
        }
        return unpack(result, contentType);
      }
      if (room === null || this.#own === null || size < 0 || size > room.size) {
        throw invalid("a result is said to lie where there is no room for one");
      }
      this.#count(size);
      this.#note(name, size);
      return unpack(this.#own.read(room.offset, size), contentType, true);
    } finally {
      this.#end(id, true);
    }
  }

  /** A call has ended with a fault; unless its callee said so itself, that may still be writing. */
  failed(id, code) {
    if (this.#sent.has(id)) this.#end(id, OURS.has(code));
  }

  /** What is to be said of an invocation that ends; null for nothing. */
  told(invocation) {
    const passed = this.#passed;
    if (passed.blocks === 0 && passed.over === 0) return null;
    this.#passed = { blocks: 0, size: 0, over: 0 };
    return { invocation, ...passed };
  }

  /** The region of its own, in the store of the workflow that this invocation is part of; null where there is none. */
  #enter() {
    this.#entered = true;
    const found = fs.statSync(this.#folder, { throwIfNoEntry: false });
    if (found === undefined) return this.#leave();
    const place = `${found.dev}:${found.ino}`;
    if (this.#own !== null && this.#place === place && this.#arena.size <= this.quota) return this.#own;
    this.#leave();
    const size = this.quota - (this.quota % 4096);
    try {
      this.#own = new Region(this.#folder, `${this.#worker}-${process.pid}-${++this.#made}`, size);
    } catch {
      return null; // no files left there, or it is not a worker's storage
    }
    this.#place = place;
    this.#arena = new Arena(size);
    return this.#own;
  }

  #leave() {
    this.#own?.close();
    this.#own = null;
    this.#place = "";
    this.#standing = null;
    this.#standsFree = false;
    this.#sent.clear();
    return null;
  }

  #stored(region, data) {
    this.#sweep();
    const offset = this.#arena.take(data.length);
    if (offset !== null && region.write(offset, data)) {
      this.#count(data.length);
      return { file: region.name, offset, size: data.length };
    }
    if (offset !== null) this.#arena.give(offset);
    this.#passed.over += 1;
    return null;
  }

  /** Room for a result: a part of what there is, or twice the largest that came of that function if that is more. */
  #room(region, name) {
    this.#sweep();
    const { largest } = this.#arena;
    const size = Math.min(
      Math.max(Math.floor(largest / SHARE), 2 * (this.#peaks.get(name) ?? 0)), largest, MAX_ROOM_BYTES,
    );
    if (size <= INLINE_BYTES) return null;
    const room = { file: region.name, offset: this.#arena.take(size), size: pages(size) };
    if (this.#standing === null) this.#standing = room;
    return room;
  }

  #sweep() {
    while (this.#retired.length > 0 && this.#retired[0][0] < performance.now()) {
      const [, offset, arena] = this.#retired.shift();
      if (arena === this.#arena) arena.give(offset); // else its region has been left
    }
  }

  #count(size) {
    this.#passed.blocks += 1;
    this.#passed.size += size;
  }

  #note(name, size) {
    if (size > (this.#peaks.get(name) ?? 0)) this.#peaks.set(name, size);
  }

  /** Takes back what a call held; some time later, where its callee may not know that it has ended. */
  #end(id, isDone) {
    const { arg, room } = this.#sent.get(id);
    this.#sent.delete(id);
    if (room !== null && room === this.#standing && isDone) {
      this.#standsFree = true;
    } else if (room !== null) {
      if (room === this.#standing) this.#standing = null;
      this.#give(room.offset, isDone);
    }
    if (arg !== null) this.#give(arg, isDone);
  }

  #give(offset, isDone) {
    if (isDone) this.#arena.give(offset);
    else this.#retired.push([performance.now() + RETIRED_MS, offset, this.#arena]);
  }

  // The callee's side ------------------------------------------------------------------------------------------

  /**
   * The bytes of an argument in the store, in a Buffer of its own.
   * @throws {Error} they are not there.
   */
  argument(block) {
    return this.#of(block).read(block.offset, block.size);
  }

  /** Puts a result where its caller has room for it; how many bytes, or 0 where it has to travel. */
  put(room, data) {
    if (room === null || data.length <= INLINE_BYTES || data.length > room.size) return 0;
    try {
      return this.#of(room).write(room.offset, data) ? data.length : 0;
    } catch {
      return 0;
    }
  }

  #of({ file, offset, size }) {
    const region = this.#others.get(file) ?? this.#found(file);
    if (offset < 0 || size < 0 || offset + size > region.size) {
      throw invalid(`the store has no ${size} bytes at ${offset} of ${file}`);
    }
    return region;
  }

  #found(name) {
    if (!NAME.test(name)) throw invalid("the store has no file of that name");
    for (const [known, region] of this.#others) {
      if (!region.isGone && this.#others.size < KEPT) continue;
      region.close();
      this.#others.delete(known);
    }
    let region;
    try {
      region = new Region(this.#folder, name);
    } catch (error) {
      throw invalid(`the store's file ${name} cannot be read: ${error.message}`);
    }
    this.#others.set(name, region);
    return region;
  }
}

const invalid = (message) => Object.assign(new Error(message), { code: "invalid_input" });

module.exports = { Store };
