"use strict";

/** Puts the parts of an access log together: by path, the busiest first, with the share that failed and the 95th percentile. */
module.exports = (parts) => {
  const paths = new Map();
  for (const part of parts) {
    for (const [path, found] of Object.entries(part.paths)) {
      const whole = paths.get(path) ?? { failed: 0, took: [] };
      paths.set(path, { failed: whole.failed + found.failed, took: [...whole.took, ...found.took_ms] });
    }
  }
  const rows = [...paths].map(([path, { failed, took }]) => {
    const p95 = took.sort((a, b) => a - b)[Math.floor((took.length * 95 - 1) / 100)];
    return { path, requests: took.length, failed, p95_ms: p95 };
  });
  rows.sort((one, other) => other.requests - one.requests || (one.path < other.path ? -1 : 1));
  return { paths: rows, unread: parts.reduce((sum, part) => sum + part.unread, 0) };
};
