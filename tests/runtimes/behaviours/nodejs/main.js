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
  answer_http: ({ body, status, type: contentType = "" }) =>
    new Box.Response(body, { status, contentType, headers: [["X-A", "1"], ["X-A", "2"]] }),
  answer_http_wrongly: ({ status = 200, name = "X", value = "" }) => new Box.Response("", { status, headers: { [name]: value } }),
  answer_http_changed: ({ name, value }) => Object.assign(new Box.Response(""), { [name]: value }),
  told_of_http: async () => {
    const { method, path, query, headers, event, body } = Box.request;
    let size = 0;
    for await (const piece of body) size += piece.length;
    return [method, path, Object.fromEntries(query), headers, event, size];
  },
  count_up: function* ({ count }) {
    for (let number = 0; number < count; number += 1) yield `${number}\n`;
  },
  count_up_async: async function* ({ count }) {
    for (let number = 0; number < count; number += 1) yield `${number}\n`;
  },
  events: () =>
    [new Box.Event({ a: 1 }, { event: "tick", id: "7", retryMs: 5 }), new Box.Event("two\nlines")].values(),
  values: () => [{ a: 1 }, [2], "three"].values(),
  pieces_of: function* ({ count, size }) {
    for (let number = 0; number < count; number += 1) yield Buffer.alloc(size, "z");
  },
  fail_midway: function* () {
    yield "part";
    throw new TypeError("no good");
  },
  unserialisable_piece: function* () {
    yield () => {};
  },
  nothing_in_pieces: () => [].values(),
  answer_http_in_pieces: () =>
    new Box.Response(["a", "b"].values(), { status: 202, contentType: "text/html", headers: { "X-A": "1" } }),
  read_body: async () => {
    let count = 0;
    let size = 0;
    for await (const piece of Box.request.body) {
      count += 1;
      size += piece.length;
    }
    return [count > 1, size];
  },
  read_body_async: async () => (await behaviours.read_body())[1],
  echo_body: () => Box.request.body,
  echo_body_async: async function* () {
    for await (const piece of Box.request.body) yield piece;
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
