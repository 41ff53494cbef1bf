"use strict";

/** Puts together what all documents say of a share of the words: only words of more than one document are kept. */
module.exports = (pairs) => {
  const places = {};
  for (const [word, document, count] of pairs) {
    places[word] ??= {};
    places[word][document] = count;
  }
  return Object.fromEntries(Object.entries(places).filter(([, found]) => Object.keys(found).length > 1));
};
