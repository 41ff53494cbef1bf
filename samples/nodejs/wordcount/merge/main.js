"use strict";

const fs = require("node:fs");
const path = require("node:path");
const Box = require("@m6s/box");

const TOP = 10;

/** Adds up the counts of all chunks: the number of words, of different words, and the most frequent ones. */
module.exports = (names) => {
  const counts = new Map();
  for (const name of names) {
    const part = JSON.parse(fs.readFileSync(path.join(Box.flow, name), "utf8"));
    for (const [word, count] of Object.entries(part)) counts.set(word, (counts.get(word) ?? 0) + count);
  }
  const ranked = [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
  const words = ranked.reduce((sum, [, count]) => sum + count, 0);
  return { words, distinct: ranked.length, top: ranked.slice(0, TOP) };
};
