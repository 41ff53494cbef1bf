"use strict";

const { setTimeout: sleep } = require("node:timers/promises");

/** Takes as many seconds as its argument says. */
module.exports = async (arg) => {
  const seconds = Number(arg || 1);
  if (!Number.isFinite(seconds)) throw new TypeError(`not a number of seconds: ${arg}`);
  console.log(`sleeping for ${seconds} s`);
  await sleep(seconds * 1000);
  return `slept for ${seconds} s`;
};
