"use strict";

const fs = require("node:fs");
const path = require("node:path");
const Box = require("@m6s/box");

const SQUARE = 8;
const WHITE = 255;

function frame(number, { width, height, cuts }) {
  const scene = cuts.filter((cut) => cut <= number).length;
  const pixels = Buffer.alloc(width * height, (scene * 97) % 200);
  const left = (number * 2) % (width - SQUARE);
  const top = number % (height - SQUARE);
  for (let row = top; row < top + SQUARE; row++) {
    const start = row * width + left;
    pixels.fill(WHITE, start, start + SQUARE);
  }
  return pixels;
}

/** Makes the frames of a video, a byte a pixel, in one file: a square moves, and each cut changes the light. */
module.exports = (video) => {
  const frames = Array.from({ length: video.frames }, (_, number) => frame(number, video));
  fs.writeFileSync(path.join(Box.flow, "frames.raw"), Buffer.concat(frames));
};
