"use strict";

/** Says it louder. */
module.exports = (text) => `${text.toUpperCase()}!`;
