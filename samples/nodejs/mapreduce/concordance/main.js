"use strict";

const Box = require("@m6s/box");

const REDUCERS = 2;

/** Which word stands in which document, the way of map and reduce: a mapper a document, a reducer a share of words. */
module.exports = async (documents) => {
  const tasks = Object.entries(documents).map(([document, text]) => ["mapper", { document, text, reducers: REDUCERS }]);
  const mapped = await Box.gather(tasks);
  const shares = Array.from({ length: REDUCERS }, (_, number) => mapped.flatMap((part) => part[number]));
  const reduced = await Box.gather(shares.map((share) => ["reducer", share]));
  return Object.assign({}, ...reduced);
};
