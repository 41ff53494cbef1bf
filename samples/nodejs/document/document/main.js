"use strict";

const Box = require("@m6s/box");

/** A document as `pdftotext` gives it, pages apart by form feeds: what is in it, and on which page. */
module.exports = async (text) => {
  const pages = text.replace(/[\f\n]+$/, "").split("\f");
  const read = await Box.gather(pages.map((page, index) => ["page", { number: index + 1, text: page }]));
  return await Box.invoke("contents", read);
};
