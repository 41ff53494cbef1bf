"use strict";

const LINE = /^\S+ \S+ \S+ \[[^\]]+\] "[A-Z]+ ([^ ?"]+)[^"]*" (\d{3}) \d+ "[^"]*" "[^"]*" (\d+)$/;

/** Reads lines of an access log in the combined format with a time in milliseconds at the end; counts what is no such line. */
module.exports = (text) => {
  const paths = {};
  let unread = 0;
  for (const line of text.trimEnd().split("\n")) {
    const match = LINE.exec(line);
    if (match === null) {
      unread += 1;
      continue;
    }
    const [, path, status, took] = match;
    paths[path] ??= { failed: 0, took_ms: [] };
    paths[path].failed += Number(status >= "500");
    paths[path].took_ms.push(Number(took));
  }
  return { paths, unread };
};
