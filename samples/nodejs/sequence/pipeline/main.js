"use strict";

const Box = require("@m6s/box");

/** From an order's text to its receipt: three steps, one after the other, in one worker. */
module.exports = async (text) => {
  const lines = await Box.invoke("clean", text);
  const order = await Box.invoke("enrich", lines);
  return await Box.invoke("publish", order);
};
