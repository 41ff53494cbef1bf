"use strict";

/** The words of one document, each with its count, in the share of its reducer: the same one for the same word always. */
module.exports = ({ document, text, reducers }) => {
  const counts = new Map();
  for (const [word] of text.toLowerCase().matchAll(/[a-z]+/g)) counts.set(word, (counts.get(word) ?? 0) + 1);
  const shares = Array.from({ length: reducers }, () => []);
  for (const word of [...counts.keys()].sort()) {
    const number = Buffer.from(word).reduce((sum, byte) => sum + byte, 0) % reducers;
    shares[number].push([word, document, counts.get(word)]);
  }
  return shares;
};
