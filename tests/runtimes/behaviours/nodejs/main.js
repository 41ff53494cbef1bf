/** What the conformance suite asks of a function, in JavaScript. Returns what it was given, or does what `do` says. */

"use strict";

const fs = require("node:fs");
const path = require("node:path");
const Box = require("@m6s/box");

const list = (folder) => fs.readdirSync(folder).sort();
const cur = () => path.join(path.dirname(Box.flow), "cur");

const behaviours = {
  same_async: async ({ value }) => value,
  raise_it: ({ message = "no good" }) => {
    throw new TypeError(message);
  },
  exit_by_call: ({ status }) => process.exit(status),
  exit_at_once: ({ status }) => process.reallyExit(status),
  kill_itself: () => {
    process.kill(process.pid, "SIGKILL");
    return new Promise(() => {});
  },
  kill_its_caller: ({ pid }) => {
    process.kill(pid, "SIGKILL");
    return behaviours.never();
  },
  break_its_lanes: () => {
    for (let fd = 3; fd < 64; fd++) {
      try {
        if (fs.fstatSync(fd).isSocket()) fs.writeSync(fd, "\x00\x00\x00\x05no no");
      } catch {
        // none of its
      }
    }
  },
  large: ({ size }) => "x".repeat(size),
  unserialisable: () => () => {},
  nothing: () => null,
  say: ({ lines }) => lines.forEach(([stream, text]) => process[stream === "err" ? "stderr" : "stdout"].write(`${text}\n`)),
  say_much: ({ size }) => {
    const line = "y".repeat(999);
    for (let written = 0; written < size; written += 1000) console.log(line);
  },
  pid: () => process.pid,
  where: () => {
    fs.writeFileSync(path.join(Box.scratch, "note"), "mine");
    return {
      flow: Box.flow,
      scratch: Box.scratch,
      cur: list(cur()),
      invocation: Box.context.invocation,
      function: Box.context.function,
      chain: Box.context.chain,
      cwd: process.cwd(),
      env: process.env.GREETING ?? "",
    };
  },
  scratch_is_empty: () => list(Box.scratch).length === 0,
  cur_across_a_call: async ({ name }) => {
    fs.writeFileSync(path.join(cur(), "caller"), "");
    const inner = await Box.invoke(name, { do: "list_cur" });
    return [inner, list(cur())];
  },
  list_cur: () => list(cur()),
  call: ({ name, arg = null }) => Box.invoke(name, arg),
  call_async: async ({ name, arg = null }) => await Box.invoke(name, arg),
  call_twice: async ({ name }) => [await Box.invoke(name, 1), await Box.invoke(name, 2)],
  call_many: ({ name, count }) => Box.gather(Array.from({ length: count }, (_, number) => [name, number])),
  call_many_async: ({ name, count }) => Promise.all(Array.from({ length: count }, (_, number) => Box.invoke(name, number))),
  call_and_catch: async ({ name, arg = null }) => {
    try {
      await Box.invoke(name, arg);
    } catch (error) {
      return {
        code: error.code,
        message: error.message,
        function: error.function,
        type: error.errorType,
        traceback: error.remoteStack,
      };
    }
  },
  call_and_leave: ({ name, arg = null }) => {
    Box.invoke(name, arg);
    return new Promise((resolve) => setTimeout(resolve, 10, "left"));
  },
  call_in_turn: async ({ calls }) => {
    const found = [];
    for (const [name, arg] of calls) found.push(await Box.invoke(name, arg));
    return found;
  },
  call_in_turn_async: (arg) => behaviours.call_in_turn(arg),
  call_after_a_call_that_goes_on: async ({ first, second, arg }) => {
    const begun = Box.invoke(first, arg);
    const after = await Box.invoke(second, 2);
    return [await begun, after];
  },
  pause: ({ s }) => new Promise((resolve) => setTimeout(resolve, s * 1000, s)),
  call_and_leave_at_once: ({ name, arg = null }) => {
    Box.invoke(name, arg);
    return "left";
  },
  leave_something_running: () => {
    setInterval(() => {}, 3600_000);
    return "left";
  },
  never: () => new Promise(() => setInterval(() => {}, 3600_000)),
};

module.exports = (arg) => (arg !== null && typeof arg === "object" && "do" in arg ? behaviours[arg.do](arg) : arg);
