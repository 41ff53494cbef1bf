"use strict";

const fs = require("node:fs");
const path = require("node:path");
const Box = require("@m6s/box");

const EDGES = [128, 64, 32];

/** Thumbnails of a picture in several sizes, made in parallel: their files stay in the workflow's folder, what they are is told. */
module.exports = async (picture) => {
  fs.writeFileSync(path.join(Box.flow, "picture.png"), picture);
  return await Box.gather(EDGES.map((edge) => ["thumbnail", edge]));
};
