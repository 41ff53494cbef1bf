"use strict";

const money = (cents) => `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, "0")}`;

/** Writes the receipt of an order, and prints it. */
module.exports = (order) => {
  const rows = order.lines.map((line) => `${line.quantity} x ${line.item}  ${money(line.total)}`);
  rows.push(`total ${money(order.total)}, of which tax ${money(order.tax)}`);
  const receipt = rows.join("\n");
  console.log(receipt);
  return receipt;
};
