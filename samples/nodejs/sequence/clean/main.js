"use strict";

/** Reads an order: `item, quantity, price` a line, untidy as people write it, into a list of records. */
module.exports = (text) =>
  text
    .split("\n")
    .map((line) => line.split("#", 1)[0].trim())
    .filter((line) => line !== "")
    .map((line) => {
      const [item, quantity, price] = line.split(",").map((part) => part.trim());
      const [whole, cents = ""] = price.split(".");
      return {
        item: item.toLowerCase().split(/\s+/).join(" "),
        quantity: Number(quantity),
        cents: Number(whole) * 100 + Number(cents.padEnd(2, "0")),
      };
    });
