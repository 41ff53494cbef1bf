/**
 * The Node.js runtime: `node runtime.js` with its lane on descriptor 3.
 *
 * Says `Hello`, then does as it is told: loads one function, runs it once for each `Invoke`, and carries the calls
 * it makes. Of a function with more `concurrency` than one it runs as many invocations at once, told apart by an
 * `AsyncLocalStorage`. On a `Handover` it connects to the agent and serves there from then on. It ends with its lane. An error
 * that no promise and no `try` of the function's caught ends the process, after a report: its state is unknown.
 */

"use strict";

const { AsyncLocalStorage } = require("node:async_hooks");
const { Lane, MAX_PAYLOAD_BYTES } = require("./lane.js");
const { createBox, RemoteError } = require("./box.js");
const { pack, unpack } = require("./content.js");
const { LoadError, raised, notLoaded, lineOf, tracebackOf } = require("./faults.js");
const { Edges, Untold, nowNs } = require("./direct.js");
const { load, provide } = require("./loader.js");
const { Output } = require("./output.js");
const { OwnScratch, Scratch } = require("./scratch.js");
const { Store } = require("./store.js");
const { Streams, gathered } = require("./streams.js");
const { Response, isStream } = require("./http.js");

const NAME = "nodejs";
const LANE_FD = 3;
const NOTHING = Buffer.alloc(0);
const ALONE_BYTES = 1 << 20; // with a larger result nothing else rides to a direct caller: a frame has a limit
const MAX_DEPTH = 16; // of calls within calls, as `mee6.outflow`; the proxy refuses what is deeper
const HANDOVER_MS = 800; // less than the proxy waits

/** One run of the function, and the calls it is waiting for. */
class Invocation {
  #scratch;
  #lane;
  #edges;
  #store;
  #calls = 0;
  #waiting = new Map(); // call id -> resolve
  #idle = null; // what waits for the last call to end
  #controller = null;

  /**
   * @param {Lane} lane to the server.
   * @param {Edges} edges to those who can be called directly.
   * @param {Store} store for what is too large to travel well.
   * @param {Lane|null} caller a direct lane that the invocation came on.
   * @param {Writer} writer of its output.
   */
  constructor({ id, chain, arg, above, request, window, room }, loaded, lane, scratch, edges, store, caller, writer) {
    this.#scratch = scratch;
    this.#store = store;
    store.begin();
    this.room = room;
    this.#lane = lane;
    this.#edges = edges;
    this.id = id;
    this.chain = chain;
    this.loaded = loaded;
    this.caller = caller;
    this.writer = writer;
    this.isOneOfMany = loaded.concurrency > 1;
    this.isOver = false; // it has returned, and may call nothing any more
    const hops = caller === null ? [] : [...above, { lane: caller.number, id, startNs: nowNs() }];
    this.untold = new Untold((told) => lane.send("hops", told), hops);
    this.deadline = Number(process.hrtime.bigint()) / 1e9 + loaded.timeoutS;
    this.window = window;
    this.came = request;
    this.streams = new Streams(id, lane, window, request?.streams ?? false);
    this.arg = arg;
  }

  /** The path of the invocation's own folder. */
  get scratch() {
    return this.#scratch.named(this.id);
  }

  /** Aborted when it is called off. */
  get signal() {
    this.#controller ??= new AbortController();
    return this.#controller.signal;
  }

  /** Lets it know that it is called off: its signal is aborted, and nothing that it called is waited for. */
  callOff() {
    const why = { code: "cancelled", message: "the invocation was called off", function: this.loaded.name };
    void this.signal;
    this.#controller.abort(new RemoteError(why));
    for (const resolve of this.#waiting.values()) resolve({ value: null, fault: why });
    this.#waiting.clear();
  }

  /** Points `cur` at its folder, where it has one. */
  enter() {
    this.#scratch.enter();
  }

  /** Gives its folder up; for after the report. */
  leave() {
    this.#scratch.leave();
  }

  /** Sends a call; resolved with `{ value, fault }`. */
  call(name, data, contentType) {
    return new Promise((resolve) => {
      const id = `${this.id}.${++this.#calls}`;
      const { stored, room } = this.#store.offer(name, id, data);
      if (stored === null && data.length > MAX_PAYLOAD_BYTES) {
        this.#store.failed(id, "call_refused");
        const message = `the argument for '${name}' is ${data.length} bytes, over the limit of ${MAX_PAYLOAD_BYTES}`;
        resolve({ value: null, fault: { code: "too_large", message } });
        return;
      }
      const arg = stored === null ? data : NOTHING;
      const edge = this.#edgeTo(name);
      if (edge !== undefined) {
        const chain = [...this.chain, name];
        this.untold.calls(edge.number, id);
        edge.lane.send("invoke", { id, arg, contentType, chain, above: this.untold.above, stored, room });
      } else {
        this.untold.tell();
        this.#lane.send("call", { id, invocation: this.id, name, arg, contentType, stored, room });
      }
      this.#waiting.set(id, resolve);
    });
  }

  /** The direct lane for a call, if it is the only one under way: two at once are the proxy's to order. */
  #edgeTo(name) {
    if (this.#waiting.size > 0 || this.chain.length >= MAX_DEPTH || this.chain.includes(name)) return undefined;
    return this.#edges.to(name);
  }

  /** Takes the `Report` of a direct call. */
  reported({ id, result, contentType, fault, below, told, putBack, stored }) {
    if (id !== this.untold.call) return;
    this.untold.ended(fault, below, told);
    this.answered({ id, result, contentType, fault, stored }, putBack);
  }

  /** A direct lane has ended; what was under way on it is answered by the proxy. */
  cut(number) {
    if (this.untold.lane === number) this.untold.lost();
  }

  /** Whether it has to wait for calls of its own before it is reported. */
  get mustWait() {
    return this.#waiting.size > 0 && (this.caller !== null || this.untold.call !== null);
  }

  /** Calls `then` when all its calls have ended. */
  whenIdle(then) {
    this.#idle = then;
  }

  /** Takes the `Result` of a call; one that nobody waits for is dropped. */
  answered(message, putBack = false) {
    const { id, fault } = message;
    const resolve = this.#waiting.get(id);
    if (resolve === undefined) return;
    this.#waiting.delete(id);
    if (fault !== null || this.isOver) this.#store.failed(id, fault?.code ?? "call_refused");
    if (this.isOver) {
      resolve({ value: null, fault: null });
      if (this.#waiting.size === 0) this.#idle?.();
      return;
    }
    if (!putBack) this.#scratch.enter(); // the callee may have run in this worker
    try {
      resolve({ value: fault === null ? this.#store.result(message) : null, fault });
    } catch (error) {
      resolve({ value: null, fault: { code: "invalid_input", message: error.message, function: this.loaded.name } });
    }
  }
}

class Runtime {
  #act = "";
  #scratch = null;
  #limits = null;
  #lane = null;
  #output = null;
  #edges = null;
  #shared = new Store();
  #loaded = null; // the `Function`, with its `main`
  #load = null; // { id, lane, reported }
  #grant = null; // a `Handover` that came before the function was ready
  #running = new Map(); // id -> Invocation
  #store = new AsyncLocalStorage(); // whose code runs, where several do
  #ending = false;

  /** Connects and serves until the lane ends. */
  start() {
    this.#lane = Lane.inherited(LANE_FD, this.#handlers());
    this.#hello(this.#lane, "");
    process.on("uncaughtException", (error) => this.#die(error));
    process.on("unhandledRejection", (reason) => this.#die(reason));
    process.on("exit", () => {
      for (const { writer } of this.#running.values()) writer.flush(true);
      this.#output?.current()?.flush(true);
      this.#lane.flush();
    });
    provide(createBox(() => this.#act, () => (this.#invocation?.isOver ? null : this.#invocation)));
    this.#edges = new Edges(
      (number, ready) => this.#lane.send("introduced", { lane: number, ready }),
      { received: (message, lane) => this.#invoke(message, this.#lane, lane) },
      {
        received: (message) => this.#invocation?.reported(message),
        ended: (lane) => this.#invocation?.cut(lane.number),
      },
    );
  }

  /** The one that runs, or that the code that asks belongs to; null for none. */
  get #invocation() {
    if (this.#loaded?.concurrency > 1) return this.#store.getStore() ?? null;
    for (const invocation of this.#running.values()) return invocation;
    return null;
  }

  #handlers() {
    return {
      received: (message, lane) => this.#received(message, lane),
      ended: (lane) => {
        if (lane === this.#lane && !this.#ending) process.exit(0);
      },
    };
  }

  #hello(lane, token) {
    lane.send("hello", {
      token, role: "runtime", runtime: NAME, pid: process.pid, direct: true, many: true, store: true,
    });
    lane.flush();
  }

  #received(message, lane) {
    switch (message.type) {
      case "welcome":
        return this.#welcomed(message);
      case "load":
        return void this.#loadFunction(message, lane);
      case "invoke":
        return this.#invoke(message, lane, null);
      case "result":
        return this.#running.get(message.id.slice(0, message.id.lastIndexOf(".")))?.answered(message, message.putBack);
      case "introduce":
        return this.#edges.introduced(message);
      case "chunk":
      case "credit":
        return this.#running.get(message.id)?.streams.took(message);
      case "cancel":
        return this.#callOff(this.#running.get(message.id));
      case "handover":
        return void this.#handedOver(message);
      case "goodbye":
        return this.#end(0);
      default:
        throw new TypeError(`a runtime is not sent a ${message.type}`);
    }
  }

  #welcomed({ limits, act, worker }) {
    this.#limits = limits;
    this.#shared.welcomed(worker, act);
    if (act !== this.#act) this.#scratch = new Scratch(act);
    this.#act = act;
    if (this.#output !== null) {
      this.#output.limit = limits.logBytes;
      return;
    }
    this.#output = new Output(limits.logBytes);
    this.#output.preface = () => this.#invocation?.untold.preface();
    this.#output.install();
  }

  async #loadFunction({ id, function: record }, lane) {
    const loading = { id, lane, name: record.name, reported: false };
    this.#load = loading;
    loading.writer = this.#output.begin(id, lane);
    let fault = null;
    try {
      this.#loaded = { ...record, main: await load(record) };
      this.#shared.quota = record.storeBytes;
    } catch (error) {
      fault = error instanceof LoadError ? error.fault : notLoaded(error, record.name, "main.js", "");
    }
    if (loading.reported) return; // by an error that nobody caught
    this.#output.end(loading.writer);
    if (this.#loaded?.concurrency > 1) this.#output.current = () => this.#store.getStore()?.writer ?? null;
    if (fault === null && this.#grant !== null) await this.#takeOver(this.#grant);
    else this.#reportLoad(fault, false);
  }

  #reportLoad(fault, handedOver) {
    const { id, lane } = this.#load;
    this.#load.reported = true;
    lane.send("report", { id, fault, handedOver });
    lane.flush();
  }

  async #handedOver(grant) {
    if (this.#load?.reported) await this.#takeOver(grant);
    else this.#grant = grant;
  }

  /** Connects to the agent; only when it has answered is the load reported, to the proxy, and the old lane left. */
  async #takeOver({ token, address }) {
    this.#grant = null;
    const old = this.#lane;
    let handedOver = true;
    try {
      this.#lane = await this.#connect(token, address);
    } catch {
      handedOver = false; // the proxy is told, and keeps this runtime
    }
    this.#reportLoad(null, handedOver);
    if (handedOver) old.close();
  }

  async #connect(token, address) {
    const { promise, resolve, reject } = withResolvers();
    promise.catch(() => {}); // it may be rejected while nobody waits for it yet
    const handlers = this.#handlers();
    const received = (message, lane) => {
      handlers.received(message, lane);
      if (message.type === "welcome") resolve();
    };
    const ended = (lane) => {
      reject(new Error(`the agent at ${address} hung up`));
      handlers.ended(lane);
    };
    const lane = await Lane.connect(address, HANDOVER_MS, { received, ended });
    const timer = setTimeout(() => reject(new Error(`no welcome for ${HANDOVER_MS} ms`)), HANDOVER_MS);
    try {
      this.#hello(lane, token);
      await promise;
      return lane;
    } catch (error) {
      lane.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  #invoke(message, lane, caller) {
    if (this.#loaded === null || this.#running.size >= this.#loaded.concurrency) {
      const why = this.#loaded === null ? "no function is loaded" : `'${this.#loaded.name}' is running already`;
      (caller ?? lane).send("report", { id: message.id, fault: { code: "conflict", message: why } });
      return;
    }
    const { name, main } = this.#loaded;
    const scratch = this.#loaded.concurrency > 1 ? new OwnScratch(this.#act, this.#scratch) : this.#scratch;
    const writer = this.#output.begin(message.id, lane);
    const invocation = new Invocation(
      message, this.#loaded, lane, scratch, this.#edges, this.#shared, caller, writer,
    );
    this.#running.set(invocation.id, invocation);
    let arg;
    try {
      invocation.enter();
      if (message.stored !== null) invocation.arg = this.#shared.argument(message.stored);
      else if (message.arg.length > 0) invocation.arg = Buffer.from(message.arg); // the lane reads on into its own
      arg = unpack(invocation.arg, message.contentType, message.stored !== null);
    } catch (error) {
      const code = error.code === "invalid_input" ? error.code : "internal";
      this.#report(invocation, { fault: { code, message: `cannot run '${name}': ${error.message}`, function: name } });
      return;
    }
    if (invocation.isOneOfMany) this.#store.run(invocation, () => this.#call(invocation, main, arg));
    else this.#call(invocation, main, arg);
  }

  #callOff(invocation) {
    if (invocation !== undefined) this.#store.run(invocation, () => invocation.callOff());
  }

  #call(invocation, main, arg) {
    const { name } = invocation.loaded;
    let outcome;
    try {
      outcome = main(arg);
      if (typeof outcome?.then === "function") {
        Promise.resolve(outcome).then(
          (value) => this.#returned(invocation, value),
          (thrown) => this.#report(invocation, { fault: this.#raised(thrown, name) }),
        );
        return;
      }
    } catch (thrown) {
      this.#report(invocation, { fault: this.#raised(thrown, name) });
      return;
    }
    this.#returned(invocation, outcome);
  }

  #returned(invocation, value) {
    const { name } = invocation.loaded;
    const answer = value instanceof Response ? value : { body: value, contentType: "", onTheLane: () => null };
    let response;
    try {
      response = answer.onTheLane();
    } catch (thrown) {
      this.#report(invocation, { fault: this.#raised(thrown, name) });
      return;
    }
    if (!isStream(answer.body)) {
      this.#answered(invocation, answer.body, answer.contentType, response);
      return;
    }
    const failed = (thrown) => this.#report(invocation, { fault: raised(thrown, name) });
    if (invocation.window > 0) {
      invocation.streams.send(answer.body, answer.contentType, response).then((refusal) => {
        if (refusal === null) this.#report(invocation, {});
        else this.#report(invocation, refused(name, `'${name}' gave what cannot be sent: ${lineOf(refusal)}`));
      }, failed);
    } else {
      gathered(answer.body).then(
        (whole) => this.#answered(invocation, whole, answer.contentType, response),
        failed,
      );
    }
  }

  #answered(invocation, value, type, response) {
    const { name } = invocation.loaded;
    let packed;
    try {
      packed = pack(value);
    } catch (error) {
      this.#report(invocation, refused(name, `'${name}' returned what cannot be sent: ${lineOf(error)}`));
      return;
    }
    const [result, contentType] = packed;
    const stored = this.#shared.put(invocation.room, result);
    if (stored > 0) {
      this.#report(invocation, { stored, contentType: type || contentType, response });
      return;
    }
    const limit = Math.min(this.#limits.resultBytes, MAX_PAYLOAD_BYTES);
    if (result.length > limit) {
      let size = `${result.length} bytes, over the limit of ${limit}`;
      if (invocation.room !== null) size += `, and its caller's store has no room for more than ${invocation.room.size}`;
      this.#report(invocation, refused(name, `the result of '${name}' is ${size}`));
    } else {
      this.#report(invocation, { result, contentType: type || contentType, response });
    }
  }

  #report(invocation, outcome) {
    if (invocation.isOver) return; // reported, by an error that nobody caught
    this.#output.end(invocation.writer);
    invocation.isOver = true;
    if (invocation.mustWait) invocation.whenIdle(() => this.#send(invocation, outcome));
    else this.#send(invocation, outcome);
  }

  #send(invocation, outcome) {
    const { id, caller, untold, streams } = invocation;
    this.#running.delete(id);
    untold.close();
    const passed = this.#shared.told(id);
    if (passed !== null) {
      untold.preface();
      this.#lane.send("stored", passed);
    }
    if (caller === null) {
      untold.tell();
      this.#lane.send("report", { id, ...outcome });
    }
    if (caller !== null && (outcome.result?.length ?? 0) > ALONE_BYTES) untold.tell();
    this.#lane.flush();
    if (caller !== null) {
      caller.send("report", { id, ...outcome, below: untold.takeBelow(), told: untold.told });
      caller.flush();
    }
    streams.end();
    invocation.leave();
  }

  #raised(thrown, name) {
    return raised(thrown, name, () => this.#scratch?.full() ?? "");
  }

  /** Reports an error that nobody caught as the outcome of what runs, and ends the process. */
  #die(thrown) {
    if (this.#ending) return;
    // Whose error it is of several is not always known; those that are not told of it are lost with the process.
    const only = this.#running.size === 1 ? this.#running.values().next().value : null;
    const invocation = this.#invocation ?? only;
    if (invocation !== null && !(invocation.isOneOfMany && invocation.isOver)) {
      this.#report(invocation, { fault: this.#raised(thrown, invocation.loaded.name) });
    } else if (this.#load !== null && !this.#load.reported) {
      this.#output.end(this.#load.writer);
      this.#reportLoad(notLoaded(thrown, this.#load.name, "main.js", ""), false);
    } else {
      process.stderr.write(`${tracebackOf(thrown) || lineOf(thrown)}\n`);
    }
    this.#end(1);
  }

  #end(status) {
    this.#ending = true;
    this.#lane.close(() => process.exit(status));
  }
}

const refused = (name, message) => ({ fault: { code: "result_refused", message, function: name } });

function withResolvers() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}

new Runtime().start();
