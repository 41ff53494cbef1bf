"use strict";

/** Puts the table of contents and the index together: of the terms, those that stand on two pages or more. */
module.exports = (pages) => {
  const lines = ["Contents"];
  const where = new Map();
  for (const page of pages) {
    for (const [number, title] of page.headings) {
      const indent = "  ".repeat(number.split(".").length - 1);
      lines.push(`${indent}${number} ${title}, ${page.number}`);
    }
    for (const term of page.terms) where.set(term, [...(where.get(term) ?? []), page.number]);
  }
  lines.push("Index");
  for (const term of [...where.keys()].sort())
    if (where.get(term).length > 1) lines.push(`${term} ${where.get(term).join(", ")}`);
  const words = pages.reduce((sum, page) => sum + page.words, 0);
  lines.push(`${words} words on ${pages.length} pages`);
  return lines.join("\n");
};
