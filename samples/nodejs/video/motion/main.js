"use strict";

const fs = require("node:fs");
const path = require("node:path");
const Box = require("@m6s/box");

/** How much each frame of a chunk differs from the one before it: thousandths of a grey step, over all pixels. */
module.exports = ({ first, end, size }) => {
  const file = fs.openSync(path.join(Box.flow, "frames.raw"));
  const read = (number) => {
    const frame = Buffer.alloc(size);
    fs.readSync(file, frame, 0, size, number * size);
    return frame;
  };
  const changes = [];
  let before = read(Math.max(first - 1, 0));
  for (let number = first; number < end; number++) {
    const frame = read(number);
    let difference = 0;
    for (let at = 0; at < size; at++) difference += Math.abs(frame[at] - before[at]);
    changes.push(Math.floor((difference * 1000) / size));
    before = frame;
  }
  fs.closeSync(file);
  return changes;
};
