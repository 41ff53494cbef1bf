"use strict";

const fs = require("node:fs");
const path = require("node:path");
const Box = require("@m6s/box");

/** Counts the words of one chunk in the workflow's folder; leaves the counts there and returns their file's name. */
module.exports = (name) => {
  const counts = new Map();
  const text = fs.readFileSync(path.join(Box.flow, name), "utf8");
  for (const [word] of text.toLowerCase().matchAll(/[a-z]+/g)) counts.set(word, (counts.get(word) ?? 0) + 1);
  const result = name.replace(".txt", ".json");
  fs.writeFileSync(path.join(Box.flow, result), JSON.stringify(Object.fromEntries(counts)));
  return result;
};
