/**
 * What went wrong in a user's code, as the fields of a `Fault`: its kind, one line for people, and a traceback that
 * shows only the user's own frames. The words are those of the Python runtime.
 */

"use strict";

const { inspect, types } = require("node:util");

const MAX_CAUSES = 8;
const MAX_LINE = 500;
const MAX_MESSAGE = 2000;
const MAX_NAME = 200;
const MAX_TRACEBACK = 64 << 10; // characters; of a longer one the middle is left out
const OURS = `${__dirname}/`;

/** A function of the user's that could not be loaded; `fault` is ready to send. */
class LoadError extends Error {
  constructor(fault) {
    super(fault.message);
    this.fault = fault;
  }
}

/**
 * The fault of a function that threw, or whose promise was rejected.
 *
 * @param {() => string} full says which folder has no room left, where that was the error.
 */
function raised(thrown, name, full) {
  const place = () => (isError(thrown) && ["ENOSPC", "EDQUOT"].includes(thrown.code) ? full() : "");
  const told = (where) => `'${name}' raised ${described(thrown)}${where && "; "}${where}`;
  return fault("function_raised", name, () => told(place()), thrown);
}

/** The fault of code that threw when it was loaded; `place` is where its syntax is wrong, or empty. */
function notLoaded(thrown, name, file, place) {
  const what = () =>
    place !== "" ? `${typeOf(thrown)} in ${place}: ${lineOf(thrown)}` : `loading ${file} raised ${described(thrown)}`;
  return fault("load_failed", name, () => `cannot load '${name}': ${what()}`, thrown);
}

function fault(code, name, message, thrown) {
  return {
    code,
    message: had(message, `'${name}' raised what cannot be told`, MAX_MESSAGE),
    function: name,
    errorType: had(() => typeOf(thrown), "", MAX_NAME),
    traceback: had(() => tracebackOf(thrown), "", 2 * MAX_TRACEBACK),
  };
}

/** A text that the function's own code has a hand in: its getters may throw, and give what is no text or huge. */
function had(make, otherwise, limit) {
  try {
    return String(make()).slice(0, limit);
  } catch {
    return otherwise;
  }
}

const isError = (thrown) => thrown instanceof Error || types.isNativeError(thrown);

/** The class of what was thrown, as people know it. */
function typeOf(thrown) {
  if (!isError(thrown)) return thrown?.constructor?.name ?? String(thrown);
  return thrown.name !== "Error" ? String(thrown.name) : (thrown.constructor?.name ?? "Error");
}

/** One line on what was thrown. */
function lineOf(thrown) {
  const text = isError(thrown) ? String(thrown.message) : inspect(thrown, { depth: 1, breakLength: Infinity });
  const first = text.trim().split("\n", 1)[0];
  return first.length > MAX_LINE ? `${first.slice(0, MAX_LINE)}...` : first;
}

function described(thrown) {
  const line = lineOf(thrown);
  return line === "" ? typeOf(thrown) : `${typeOf(thrown)}: ${line}`;
}

/** The stack of what was thrown and of its causes, without the frames of Node.js and of this runtime. */
function tracebackOf(thrown) {
  const parts = [];
  let seen = thrown;
  while (isError(seen) && parts.length < MAX_CAUSES) {
    parts.push(trimmed(String(seen.stack ?? seen)));
    seen = seen.cause;
  }
  if (!isError(seen) && (seen !== undefined || parts.length === 0)) {
    parts.push(`${inspect(seen, { depth: 1 })} (no stack: it is no Error)`);
  }
  const text = `${parts.join("\n\nCaused by: ")}\n`;
  if (text.length <= MAX_TRACEBACK) return text;
  return `${text.slice(0, MAX_TRACEBACK / 2)}\n[...]\n${text.slice(-MAX_TRACEBACK / 2)}`;
}

function trimmed(stack) {
  const isOurs = (line) => /^\s*(at |- )/.test(line) && (line.includes(OURS) || line.includes("node:"));
  return stack
    .split("\n")
    .filter((line) => !isOurs(line))
    .join("\n")
    .trimEnd();
}

module.exports = { LoadError, raised, notLoaded, typeOf, lineOf, tracebackOf };
