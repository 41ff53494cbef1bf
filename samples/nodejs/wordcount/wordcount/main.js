"use strict";

const fs = require("node:fs");
const path = require("node:path");
const Box = require("@m6s/box");

const CHUNKS = 6;

/** Splits a text into chunks of about the same size, between lines. */
function split(text) {
  const size = Math.ceil(text.length / CHUNKS);
  const chunks = [];
  for (let start = 0; start < text.length; ) {
    const newline = text.indexOf("\n", start + size - 1);
    const end = newline < 0 ? text.length : newline + 1;
    chunks.push(text.slice(start, end));
    start = end;
  }
  return chunks;
}

/** The most frequent words of a text: the chunks and their counts travel through the workflow's folder. */
module.exports = async (text) => {
  const names = split(text).map((chunk, index) => {
    const name = `chunk-${index}.txt`;
    fs.writeFileSync(path.join(Box.flow, name), chunk);
    return name;
  });
  const counted = await Box.gather(names.map((name) => ["count", name]));
  return await Box.invoke("merge", counted);
};
