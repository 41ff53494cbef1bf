/**
 * Direct lanes: sockets from a caller's process to its callee's, and what the proxy has yet to be told of them.
 *
 * The callee's end awaits one caller at a path; the caller's connects there. A call is an `Invoke` and its `Report`,
 * without a step in between. What nobody knows of but the two is gathered as hops: it goes to the proxy with the next
 * thing that goes there anyway, rides on the report to a caller that was called directly itself, and is told at once
 * where somebody has to act on it. As `runtimes/python/direct.py`.
 */

"use strict";

const net = require("node:net");
const { Lane } = require("./lane.js");

const TELL_MS = 10; // a call that takes longer is told of, and so are those that have ended for as long
const CONNECT_MS = 1000;
const MAX_UNTOLD = 512;

const nowNs = () => Number(process.hrtime.bigint());

/** The ends of direct lanes that this process has. */
class Edges {
  #tell;
  #called;
  #cut;
  #to = new Map(); // function -> { number, lane }
  #all = new Map(); // number -> what ends it

  /**
   * @param {function(number, boolean)} tell sends an `Introduced`.
   * @param {{received: function(object, Lane), ended: function(Lane)}} called handlers of what callers send.
   * @param {{received: function(object, Lane), ended: function(Lane)}} cut handlers of what callees send.
   */
  constructor(tell, called, cut) {
    this.#tell = tell;
    this.#called = called;
    this.#cut = cut;
  }

  /** The lane to a function; undefined where there is none. */
  to(name) {
    return this.#to.get(name);
  }

  /** Does what an `Introduce` says. */
  introduced({ lane: number, address, function: name }) {
    if (address === "") this.#forget(number);
    else if (name === "") this.#await(number, address);
    else this.#connect(number, address, name);
  }

  #forget(number) {
    const end = this.#all.get(number);
    this.#all.delete(number);
    end?.();
  }

  #await(number, address) {
    const server = net.createServer((socket) => {
      server.close(); // which removes the path
      const lane = Lane.accepted(socket, {
        received: (message) => this.#called.received(message, lane),
        ended: () => this.#all.delete(number),
      });
      lane.number = number;
      this.#all.set(number, () => lane.close());
    });
    server.on("error", () => this.#tell(number, false));
    server.listen(address, () => this.#tell(number, true));
    this.#all.set(number, () => server.close());
  }

  async #connect(number, address, name) {
    let forgotten = false;
    this.#all.set(number, () => (forgotten = true));
    try {
      const lane = await Lane.connect(address, CONNECT_MS, {
        received: (message) => this.#cut.received(message, lane),
        ended: () => {
          if (this.#to.get(name)?.number === number) this.#to.delete(name);
          this.#all.delete(number);
          this.#cut.ended(lane);
          this.#tell(number, false);
        },
      });
      lane.number = number;
      if (forgotten) return void lane.close();
      this.#to.set(name, { number, lane });
      this.#all.set(number, () => this.#to.delete(name)); // one that is in use ends with its callee
    } catch {
      this.#all.delete(number);
      this.#tell(number, false);
    }
  }
}

/** What the proxy has not been told of one invocation: how it was called, and whom it called. */
class Untold {
  #send;
  #told = false;
  #below = [];
  #call = null; // the direct call that goes on
  #callTold = false;
  #timer = null;

  /**
   * @param {function(object)} send sends a `Hops`.
   * @param {Array} above the direct calls down to this invocation, which is the last.
   */
  constructor(send, above) {
    this.#send = send;
    this.above = above;
  }

  /** The id of the direct call that goes on, or null. */
  get call() {
    return this.#call?.id ?? null;
  }

  /** The number of its lane, or 0. */
  get lane() {
    return this.#call?.lane ?? 0;
  }

  /** The proxy knows of this invocation, which it was not asked for. */
  get told() {
    return this.#told;
  }

  /** A direct call begins. */
  calls(lane, id) {
    this.#call = { lane, id, startNs: nowNs() };
    this.#callTold = false;
    this.#timer ??= setTimeout(() => this.#sweep(), TELL_MS);
  }

  /** It has ended. */
  ended(fault, below, told) {
    const endNs = nowNs();
    const said = fault === null ? {} : { code: fault.code, error: String(fault.message).slice(0, 4000) };
    for (const hop of below) this.#below.push(hop);
    this.#below.push({ ...this.#call, endNs, ...said });
    this.#call = null;
    const isLate = endNs - this.#below[0].endNs > TELL_MS * 1e6;
    if (told || this.#callTold || isLate || this.#below.length >= MAX_UNTOLD) this.tell();
  }

  /** The direct call's lane has ended without an answer. */
  lost() {
    this.tell(true);
    this.#call = null;
  }

  /** Tells all of it; nothing where there is nothing. */
  tell(lost = false) {
    const hops = this.#told ? [] : [...this.above];
    this.#told = this.above.length > 0;
    hops.push(...this.takeBelow());
    if (this.#call !== null && (lost || !this.#callTold)) {
      this.#callTold = true;
      hops.push(this.#call);
    }
    if (hops.length > 0) this.#send({ hops, lost });
  }

  /** Tells how this invocation was called, before something of it reaches the proxy. */
  preface() {
    if (!this.#told && this.above.length > 0) this.tell();
  }

  /** The calls that have ended. */
  takeBelow() {
    const below = this.#below;
    this.#below = [];
    return below;
  }

  /** The invocation has ended. */
  close() {
    clearTimeout(this.#timer);
  }

  #sweep() {
    this.#timer = null;
    if (this.#call === null || this.#callTold) return;
    const leftMs = TELL_MS - (nowNs() - this.#call.startNs) / 1e6;
    if (leftMs <= 0) this.tell();
    else this.#timer = setTimeout(() => this.#sweep(), Math.ceil(leftMs));
  }
}

module.exports = { Edges, Untold, nowNs };
