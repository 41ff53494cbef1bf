"use strict";

const fs = require("node:fs");
const path = require("node:path");
const Box = require("@m6s/box");
const { PNG } = require("pngjs");

/** One thumbnail of the workflow's picture: its longer edge is as many pixels as the argument says. */
module.exports = (edge) => {
  const picture = PNG.sync.read(fs.readFileSync(path.join(Box.flow, "picture.png")));
  const scale = edge / Math.max(picture.width, picture.height);
  const small = new PNG({ width: Math.round(picture.width * scale), height: Math.round(picture.height * scale) });
  for (let y = 0; y < small.height; y++)
    for (let x = 0; x < small.width; x++) {
      const colour = mean(picture, x / small.width, y / small.height, (x + 1) / small.width, (y + 1) / small.height);
      small.data.set([...colour.map(Math.round), 255], (y * small.width + x) * 4);
    }
  const name = `thumbnail-${edge}.png`;
  fs.writeFileSync(path.join(Box.flow, name), PNG.sync.write(small));
  return { name, width: small.width, height: small.height, colour: mean(small, 0, 0, 1, 1).map(Math.round) };
};

/** The mean colour of a part of an image, which is given in shares of its width and height. */
function mean(image, left, top, right, bottom) {
  const sum = [0, 0, 0];
  let pixels = 0;
  for (let y = Math.floor(top * image.height); y < Math.ceil(bottom * image.height); y++)
    for (let x = Math.floor(left * image.width); x < Math.ceil(right * image.width); x++, pixels++)
      for (let channel = 0; channel < 3; channel++) sum[channel] += image.data[(y * image.width + x) * 4 + channel];
  return sum.map((value) => value / pixels);
}
