"use strict";

/** Answers a ping. */
module.exports = () => "ponged";
