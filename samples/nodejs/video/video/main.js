"use strict";

const Box = require("@m6s/box");

const CHUNK = 12;

/**
 * Finds where the scenes of a video change. The frames are in the workflow's folder; only figures travel.
 * Makes the video that its argument describes, then looks for the cuts that were put into it.
 */
module.exports = async (video) => {
  await Box.invoke("frames", video);
  const chunks = [];
  for (let first = 0; first < video.frames; first += CHUNK) {
    const end = Math.min(first + CHUNK, video.frames);
    chunks.push(["motion", { first, end, size: video.width * video.height }]);
  }
  const changes = await Box.gather(chunks);
  return await Box.invoke("scenes", changes.flat());
};
