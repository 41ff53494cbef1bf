/**
 * `@m6s/box`: what a function sees of mee6.
 *
 *     const Box = require("@m6s/box");
 *     module.exports = async (name) => await Box.invoke(name, "ping");
 *
 * Made once for the process by the runtime, which knows the invocation that runs. A call is an async function, so
 * that an error's stack shows the line that called.
 */

"use strict";

const path = require("node:path");
const { format } = require("node:util");
const { pack } = require("./content.js");
const { Event, Request, Response } = require("./http.js");

/**
 * A call that failed, or was refused. `name` is that of the error's class in Python (`FunctionRaised`, `CallRefused`,
 * ...), `code` the same for machines; `function`, `errorType` and `remoteStack` tell of the function that was called.
 */
class RemoteError extends Error {
  constructor({ code, message, function: function_ = "", errorType = "", traceback = "" }) {
    super(message);
    const inCamelCase = code.replace(/(?:^|_)([a-z])/g, (_, letter) => letter.toUpperCase());
    this.name = code === "internal" ? "Mee6Error" : inCamelCase;
    this.code = code;
    this.function = function_;
    this.errorType = errorType;
    this.remoteStack = traceback;
    this.stack = this.stack.replace(/^Error\b/, this.name);
    if (traceback) this.stack += `\n\nTraceback of '${function_}':\n${traceback.trimEnd().replace(/^/gm, "  ")}`;
  }
}

const refusal = (code, message) => new RemoteError({ code, message });

/**
 * @param {function(): string} act the worker's storage.
 * @param {function(): (Invocation|null)} current the invocation that runs.
 */
function createBox(act, current) {
  const running = () => {
    const invocation = current();
    if (invocation !== null) return invocation;
    throw refusal("conflict", "the Box is of use only while the function runs, not on load or after it has returned");
  };

  const box = {
    /**
     * Calls another function and waits for its result. Several calls at once run in parallel.
     * @param {string} name of a function among the dependencies in `activity.json`.
     * @param {*} [arg] a string, a Buffer, or anything that JSON holds.
     * @returns {Promise<*>} the result; rejected with a `RemoteError` when the call failed or was refused.
     */
    async invoke(name, arg = null) {
      if (typeof name !== "string") throw new TypeError(`Box.invoke takes a function's name, not a ${typeof name}`);
      const [data, contentType] = pack(arg);
      if (current() === null) {
        throw refusal("call_refused", "functions are called while the caller runs, not on load or after its return");
      }
      const { value, fault } = await current().call(name, data, contentType);
      if (fault !== null) throw new RemoteError(fault);
      return value;
    },

    /**
     * Calls several functions in parallel and waits for all: `Box.gather([["count", 1], ["count", 2]])`.
     * @param {Iterable<[string, *]|string>} calls
     * @returns {Promise<Array>} their results in the same order; rejected with the error of the first, in that order,
     *   that failed.
     */
    async gather(calls) {
      const made = Array.from(calls, (one) => (typeof one === "string" ? box.invoke(one) : box.invoke(...one)));
      const ended = await Promise.allSettled(made);
      const failed = ended.find((outcome) => outcome.status === "rejected");
      if (failed !== undefined) throw failed.reason;
      return ended.map((outcome) => outcome.value);
    },

    /** Writes a line to standard error, and so to the invocation's log. */
    log: (...parts) => void process.stderr.write(`${format(...parts)}\n`),

    /**
     * An `AbortSignal` of the invocation's, as for `fetch(url, { signal: Box.signal })`: aborted when it is called off, or its
     * time is up, where others run in the same process. What does not end then is ended with the process.
     */
    get signal() {
      return running().signal;
    },

    /** The folder that all steps of the running workflow share. */
    get flow() {
      if (current()?.isOneOfMany) {
        throw refusal("conflict", "of several invocations at once none has Box.flow; Box.scratch is each one's own");
      }
      return path.join(act(), "flow");
    },

    /** A folder of this invocation's own; it is removed when the invocation has ended. */
    get scratch() {
      return running().scratch;
    },

    /**
     * What is known about the invocation: `{ invocation, function, version, chain, deadline }`; `chain` holds the
     * function names from the workflow's first down to this one, `deadline` is on the clock of `process.hrtime`, in
     * seconds.
     */
    get context() {
      const { id, loaded, chain, deadline, scratch } = running();
      void scratch; // who knows the id may look for the folder of that name
      return { invocation: id, function: loaded.name, version: loaded.version, chain: [...chain], deadline };
    },

    /** The HTTP request that the invocation came with; its `method` is empty where it came another way. */
    get request() {
      const invocation = running();
      invocation.request ??= new Request(invocation.came, invocation.arg, invocation.streams);
      return invocation.request;
    },

    Event,
    Response,
    RemoteError,
  };
  return Object.freeze(box);
}

module.exports = { createBox, RemoteError };
