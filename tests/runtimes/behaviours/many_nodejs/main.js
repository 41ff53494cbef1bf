// What a function does of which several invocations run at once; see `tests/runtimes/test_many.py`.

"use strict";

const fs = require("node:fs");
const Box = require("@m6s/box");

const gates = new Map();

function gate(name) {
  if (!gates.has(name)) {
    const made = {};
    made.promise = new Promise((resolve) => (made.open = resolve));
    gates.set(name, made);
  }
  return gates.get(name);
}

const aborted = () =>
  new Promise((_resolve, reject) => Box.signal.addEventListener("abort", () => reject(Box.signal.reason)));

const behaviours = {
  async wait({ name }) {
    console.log("begins", name);
    await Promise.race([gate(name).promise, aborted()]);
    console.error("ends", name);
    return name;
  },
  open_({ name }) {
    gate(name).open();
    return "opened";
  },
  async who({ name }) {
    const before = Box.context.invocation;
    fs.writeFileSync(`${Box.scratch}/mine`, before);
    await gate(name).promise;
    return [before, Box.context.invocation, fs.readFileSync(`${Box.scratch}/mine`, "utf8"), Box.scratch];
  },
  call: ({ name }) => Box.gather([["g", name], ["g", name + name]]),
  flow: () => Box.flow,
  async deaf({ name }) {
    Box.signal.addEventListener("abort", () => console.log("not me"));
    await gate(name).promise;
    return "done";
  },
  body: async () => Box.request.path,
  async *stream({ name }) {
    for (let number = 0; number < 2; number += 1) {
      await gate(`${name}${number}`).promise;
      yield `${name}${number} `;
    }
  },
};

module.exports = (arg) => behaviours[arg.do](arg);
