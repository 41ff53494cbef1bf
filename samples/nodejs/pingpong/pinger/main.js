"use strict";

const Box = require("@m6s/box");

/** Calls the function that its argument names, and returns both messages as one line. */
module.exports = async (name) => {
  const ping = `ping to ${name}...`;
  console.log(ping);
  const pong = `pong from ${name}: ${await Box.invoke(name, "ping")}`;
  console.log(pong);
  return ping + pong;
};
