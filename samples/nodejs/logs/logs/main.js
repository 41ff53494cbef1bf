"use strict";

const Box = require("@m6s/box");

const LINES = 200;

/** What an access log tells. Chunks of lines are read in parallel, and travel as arguments through the node's memory. */
module.exports = async (text) => {
  const lines = text.match(/.*\n|.+$/g) ?? [];
  const chunks = [];
  for (let start = 0; start < lines.length; start += LINES) chunks.push(lines.slice(start, start + LINES).join(""));
  return await Box.invoke("report", await Box.gather(chunks.map((chunk) => ["requests", chunk])));
};
