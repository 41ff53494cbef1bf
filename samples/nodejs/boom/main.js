"use strict";

class PriceError extends Error {}

function parse(text) {
  const number = Number(text);
  if (Number.isNaN(number)) throw new TypeError(`not a number: ${text}`);
  return number;
}

function price(text) {
  try {
    return Math.round(parse(text) * 100) / 100;
  } catch (error) {
    throw new PriceError(`no price in '${text}'`, { cause: error });
  }
}

/** Fails: an unreadable price is the cause, a `PriceError` the outcome. A number is accepted. */
module.exports = (arg) => price(arg);
