/**
 * The folder that an invocation has for itself under the worker's storage, as `cur` and as its id.
 *
 * At most one step runs in a worker at a time, so `cur` is well defined: a callee in the same worker moves it, and
 * its caller moves it back. A process keeps one real folder for all its invocations and empties it after each;
 * the id is a link to it, made when the function asks for it, since only then can it know the name. Making and
 * removing a folder for each invocation cost 27 us of a step's 80 us on a tmpfs, and 110 us on a disk.
 */

"use strict";

const fs = require("node:fs");

const COARSE_NS = 50000000n; // longer than the grain of any file system's times that a worker's storage may be on

class Scratch {
  #act;
  #name = `.scratch-${process.pid}`;
  #folder;
  #named = ""; // the link to remove
  #emptySince = -1n; // time of the folder's last change, when it was found empty well after it

  /** @param {string} act the worker's storage. */
  constructor(act) {
    this.#act = act;
    this.#folder = `${act}/${this.#name}`;
    fs.mkdirSync(this.#folder, { recursive: true });
  }

  /** Points `cur` at this process's folder, where another's step has moved it. */
  enter() {
    const cur = `${this.#act}/cur`;
    try {
      if (fs.readlinkSync(cur) === this.#name) return;
    } catch {
      // the first step of this worker
    }
    try {
      // A link made ahead and renamed into place takes 5 us more on a tmpfs.
      fs.unlinkSync(cur);
    } catch {
      // as above
    }
    try {
      fs.symlinkSync(this.#name, cur);
    } catch {
      // a function may have left no room: it is told where it writes
    }
  }

  /** The folder's path by the id of the invocation that runs. */
  named(id) {
    const link = `${this.#act}/${id}`;
    if (this.#named === "") {
      fs.symlinkSync(this.#name, link);
      this.#named = link;
    }
    return link;
  }

  /** Which of the worker's folders has no room left, for people; empty for none. */
  full() {
    for (const place of [`${this.#act}/flow`, this.#act, process.env.TMPDIR ?? "/tmp"]) {
      try {
        const found = fs.statfsSync(place);
        if (found.bavail === 0) return `${place} is full, with ${Math.floor((found.blocks * found.bsize) / 1048576)} MiB`;
        if (found.files > 0 && found.ffree === 0) return `${place} is full, with ${found.files} files`;
      } catch {
        // it is not there, or this Node.js cannot ask
      }
    }
    return "";
  }

  /** Empties the folder and drops its name; for after the report. */
  leave() {
    if (this.#named !== "") fs.rmSync(this.#named, { force: true });
    this.#named = "";
    try {
      // Reading a folder takes several system calls; that it is as it was when it was found empty shows in one.
      const changed = fs.statSync(this.#folder, { bigint: true }).mtimeNs;
      if (changed === this.#emptySince) return;
      if (fs.readdirSync(this.#folder).length === 0) {
        if (BigInt(Date.now()) * 1000000n - changed > COARSE_NS) this.#emptySince = changed;
        return;
      }
    } catch {
      // the function has removed or replaced the folder
    }
    try {
      removeTree(this.#folder);
    } catch {
      // the function has removed it, or put something else in its place
    }
    try {
      fs.rmSync(this.#folder, { recursive: true, force: true });
      fs.mkdirSync(this.#folder);
    } catch {
      // no room, as above; tried again after the next
    }
  }
}

/** The folder of one of several invocations at once: its own, made when it is first asked for. */
class OwnScratch {
  #act;
  #shared;
  #folder = "";

  /**
   * @param {string} act the worker's storage.
   * @param {Scratch} shared of the process.
   */
  constructor(act, shared) {
    this.#act = act;
    this.#shared = shared;
  }

  /** There is no `cur` for several at once. */
  enter() {}

  named(id) {
    if (this.#folder === "") {
      fs.mkdirSync(`${this.#act}/${id}`);
      this.#folder = `${this.#act}/${id}`;
    }
    return this.#folder;
  }

  full() {
    return this.#shared.full();
  }

  /** Removes the folder, behind the report. */
  leave() {
    if (this.#folder !== "") fs.rm(this.#folder, { recursive: true, force: true }, () => {});
  }
}

/** Removes a folder however deep it is, where `fs.rmSync` ends at the longest path: what is found is moved up first. */
function removeTree(top) {
  fs.chmodSync(top, 0o700);
  const found = [""];
  const mark = `.gone-${process.hrtime.bigint()}`;
  let count = 0;
  for (let inner = found.pop(); inner !== undefined; inner = found.pop()) {
    const folder = `${top}/${inner}`;
    for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
      const path = `${folder}/${entry.name}`;
      if (!entry.isDirectory()) {
        fs.unlinkSync(path);
        continue;
      }
      fs.chmodSync(path, 0o700);
      const up = `${mark}-${++count}`;
      fs.renameSync(path, `${top}/${up}`);
      found.push(up);
    }
    if (inner !== "") fs.rmdirSync(folder);
  }
  fs.rmdirSync(top);
}

module.exports = { OwnScratch, Scratch };
