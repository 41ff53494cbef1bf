"use strict";

const TAX_PERCENT = 10;

/** Adds what an order's lines cost, the order's total, and the tax of 10 % that the total contains. In cents. */
module.exports = (order) => {
  const lines = order.map((line) => ({ ...line, total: line.quantity * line.cents }));
  const total = lines.reduce((sum, line) => sum + line.total, 0);
  const net = Math.floor((total * 100 + (100 + TAX_PERCENT) / 2) / (100 + TAX_PERCENT));
  return { lines, total, tax: total - net };
};
