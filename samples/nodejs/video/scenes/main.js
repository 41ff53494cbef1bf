"use strict";

const FAR = 3;

/** Tells scenes by how much each frame differs from the one before: a cut is a change far beyond the usual one. */
module.exports = (changes) => {
  const usual = [...changes].sort((a, b) => a - b)[Math.floor(changes.length / 2)];
  const starts = [0];
  changes.forEach((change, number) => {
    if (change > FAR * usual) starts.push(number);
  });
  return starts.map((start, index) => ({ from: start, to: (starts[index + 1] ?? changes.length) - 1 }));
};
