"use strict";

const HEADING = /^(\d+(?:\.\d+)*)\s+(\S.*)$/gm;
const FOOT = /\n\s*- \d+ -\s*$/;
const LETTERS = 7;

/** Reads one page: its headings and its longer words. The running foot is left out, words cut in two are whole again. */
module.exports = (page) => {
  const text = page.text.replace(FOOT, "").replace(/([a-z])-\n([a-z])/g, "$1$2");
  const headings = [...text.matchAll(HEADING)].map(([, number, title]) => [number, title]);
  const words = text.replace(HEADING, "").toLowerCase().match(/[a-z]+/g) ?? [];
  const terms = [...new Set(words.filter((word) => word.length >= LETTERS))].sort();
  return { number: page.number, headings, words: words.length, terms };
};
