const ms = require("ms");

module.exports = (arg) => `${ms(arg)} ms`;
