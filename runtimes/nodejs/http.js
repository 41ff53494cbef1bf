/**
 * What a function sees of HTTP, as its sibling `mee6/http.py`: the request it serves (`Box.request`), and the answer it
 * may give in place of a plain value (`new Box.Response(body, { status, headers })`, `new Box.Event(data)`).
 */

"use strict";

const { TEXT, BINARY } = require("./messages.js");

const EVENTS = "text/event-stream";
const LINES = "application/x-ndjson";
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]{0,8000}$/;

/** Throws a `RangeError` for what cannot be a header of an answer. */
function checkHeader(name, value) {
  if (!NAME.test(name)) throw new RangeError(`'${name}' is not a header's name`);
  if (!VALUE.test(value)) {
    throw new RangeError(`the value of header '${name}' is too long, or has characters that a header cannot hold`);
  }
}

/** A function's answer with a status and headers of its own. */
class Response {
  /**
   * @param {*} [body] what the function would return otherwise: a value, or an iterator that gives it in pieces.
   * @param {{status: number, headers: object|Iterable<[string, string]>, contentType: string}} [options]
   * @throws {RangeError} a status or header that HTTP cannot carry.
   */
  constructor(body = null, { status = 200, headers = {}, contentType = "" } = {}) {
    if (!Number.isInteger(status) || status < 200 || status > 599) {
      throw new RangeError(`status ${status} is not one of an answer: 200 to 599`);
    }
    this.body = body;
    this.status = status;
    this.headers = [];
    this.contentType = contentType;
    const pairs = typeof headers[Symbol.iterator] === "function" ? headers : Object.entries(headers);
    for (const [name, value] of Array.from(pairs, (pair) => pair.map(String))) {
      checkHeader(name, value);
      if (name.toLowerCase() !== "content-type") this.headers.push([name, value]);
      else this.contentType ||= value;
    }
    checkHeader("Content-Type", this.contentType);
  }

  /**
   * The same, without its body, for the wire.
   * @throws {RangeError} as the constructor, of what a function has changed since.
   */
  onTheLane() {
    const { status, headers } = new Response(null, this);
    return { status, headers: headers.map(([name, value]) => ({ name, value })) };
  }
}

/** One server-sent event. */
class Event {
  /**
   * @param {*} [data] text, or a value that is sent as JSON.
   * @param {{event: string, id: string, retryMs: number}} [options]
   */
  constructor(data = "", { event = "", id = "", retryMs = null } = {}) {
    Object.assign(this, { data, event, id, retryMs });
  }

  /** The event as it is sent. */
  encode() {
    const text = typeof this.data === "string" ? this.data : JSON.stringify(this.data ?? null);
    const line = (value) => String(value).replace(/[\r\n\0]/g, " ");
    const lines = [];
    if (this.event) lines.push(`event: ${line(this.event)}`);
    if (this.id) lines.push(`id: ${line(this.id)}`);
    if (this.retryMs !== null) lines.push(`retry: ${Math.trunc(this.retryMs)}`);
    for (const part of text.split(/\r\n|\r|\n/)) lines.push(`data: ${part}`);
    return `${lines.join("\n")}\n\n`;
  }
}

/** The HTTP request that an invocation came with. */
class Request {
  #arg;
  #streams;

  constructor(came, arg, streams) {
    this.method = came?.method ?? "";
    this.path = came?.path ?? "";
    this.query = new URLSearchParams(came?.query ?? "");
    this.headers = came?.headers ?? {};
    this.#arg = came?.streams ? null : arg;
    this.#streams = streams;
  }

  /** The body's pieces: `for await (const piece of request.body)`; once. */
  get body() {
    return this.#arg === null ? this.#streams.pieces() : pieceOnce(this.#arg);
  }

  /** The attributes of the CloudEvent that it brings; empty where it is none. */
  get event() {
    const attributes = Object.entries(this.headers).filter(([name]) => name.startsWith("ce-"));
    return Object.fromEntries(attributes.map(([name, value]) => [name.slice(3), value]));
  }
}

async function* pieceOnce(data) {
  if (data.length > 0) yield data;
}

/**
 * The bytes of one item that a function's iterator gave, and the content type of a result of such items.
 * @returns {[Uint8Array, string]}
 * @throws {TypeError} the item has no JSON form.
 */
function pieceOf(item) {
  if (typeof item === "string") return [Buffer.from(item, "utf8"), TEXT];
  if (item instanceof Uint8Array) return [item, BINARY];
  if (item instanceof Event) return [Buffer.from(item.encode(), "utf8"), EVENTS];
  const text = JSON.stringify(item === undefined ? null : item);
  if (text === undefined) throw new TypeError(`a value of type '${typeof item}' has no JSON form`);
  return [Buffer.from(`${text}\n`, "utf8"), LINES];
}

/** The value that stands for an iterator's items where they cannot be sent one by one; see `mee6.http.whole_of`. */
function wholeOf(items) {
  if (items.length === 0) return items;
  if (items.every((item) => typeof item === "string" || item instanceof Event)) {
    return items.map((item) => (typeof item === "string" ? item : item.encode())).join("");
  }
  return items.every((item) => item instanceof Uint8Array) ? Buffer.concat(items) : items;
}

/** Whether a function's result comes in pieces: a generator or another iterator, sync or async. */
function isStream(value) {
  return typeof value === "object" && value !== null && typeof value.next === "function";
}

module.exports = { Event, Request, Response, isStream, pieceOf, wholeOf };
