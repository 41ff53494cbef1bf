/**
 * What went wrong in a user's code, as the fields of a `Fault`: one line for people and a traceback that shows
 * only the user's own frames.
 */

"use strict";

const { inspect } = require("node:util");

const MAX_CAUSES = 8;
const OURS = __dirname + "/";

/** A function of the user's that could not be loaded; `fault` is ready to send. */
class LoadError extends Error {
  constructor(fault) {
    super(fault.message);
    this.fault = fault;
  }
}

/** The class of what was thrown, as people know it. */
function typeOf(thrown) {
  if (!(thrown instanceof Error)) return thrown === null ? "null" : (thrown?.constructor?.name ?? typeof thrown);
  return thrown.name !== "Error" ? String(thrown.name) : (thrown.constructor?.name ?? "Error");
}

/** One line on what was thrown. */
function lineOf(thrown) {
  const text = thrown instanceof Error ? String(thrown.message) : inspect(thrown, { depth: 1, breakLength: Infinity });
  return text.split("\n", 1)[0];
}

/** The stack of what was thrown and of its causes, without the frames of Node.js and of this runtime. */
function tracebackOf(thrown, depth = 0) {
  if (!(thrown instanceof Error)) return depth === 0 ? "" : inspect(thrown, { depth: 1 });
  const own = trimmed(String(thrown.stack ?? thrown));
  if (thrown.cause === undefined || depth >= MAX_CAUSES) return own;
  return `${own}\nCaused by: ${tracebackOf(thrown.cause, depth + 1)}`;
}

function trimmed(stack) {
  const isOurs = (line) => /^(\s+at |- )/.test(line) && (line.includes(OURS) || line.includes("node:"));
  return stack
    .split("\n")
    .filter((line) => !isOurs(line))
    .join("\n")
    .trimEnd();
}

/** The fields of a `Fault` for what a function threw. */
function raised(thrown, name) {
  const errorType = typeOf(thrown);
  return { code: "function_raised", message: lineOf(thrown), function: name, errorType, traceback: tracebackOf(thrown) };
}

module.exports = { LoadError, typeOf, lineOf, tracebackOf, raised };
