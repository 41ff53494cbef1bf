/**
 * Arguments and results: bytes with a content type on the wire, values in a function.
 *
 * A string travels as text, a Buffer or typed array as itself, everything else as JSON; the same table as
 * `mee6/content.py`.
 */

"use strict";

const { isUtf8 } = require("node:buffer");
const { TEXT, JSON: JSON_TYPE, BINARY } = require("./messages.js");

const NOTHING = Buffer.alloc(0);

/** A value that cannot be sent, or bytes that are not what they claim; named as its sibling in `mee6/errors.py`. */
class InvalidInput extends TypeError {
  name = "InvalidInput";
  code = "invalid_input";
}

/**
 * The bytes and content type of a value; `undefined` and `null` are the JSON `null`.
 * @returns {[Uint8Array, string]}
 * @throws {InvalidInput} the value is of a kind that JSON cannot hold; names the kind.
 */
function pack(value) {
  if (typeof value === "string") return [value === "" ? NOTHING : Buffer.from(value, "utf8"), TEXT];
  if (value instanceof Uint8Array) return [value, BINARY];
  if (ArrayBuffer.isView(value)) return [new Uint8Array(value.buffer, value.byteOffset, value.byteLength), BINARY];
  if (value instanceof ArrayBuffer) return [new Uint8Array(value), BINARY];
  let text;
  let reason = "it has no JSON form";
  try {
    text = JSON.stringify(value === undefined ? null : value);
  } catch (error) {
    reason = String(error?.message ?? error).split("\n", 1)[0];
  }
  if (text === undefined) throw new InvalidInput(`cannot send a value of type '${kindOf(value)}' as JSON: ${reason}`);
  return [Buffer.from(text, "utf8"), JSON_TYPE];
}

/**
 * The value that `pack` made these bytes of; a Buffer of its own for a content type that is not text or JSON.
 * @param {boolean} isOwn the bytes are a Buffer of its own already.
 * @throws {InvalidInput} the bytes are not what the content type says.
 */
function unpack(data, contentType, isOwn = false) {
  const known = contentType === TEXT || contentType === JSON_TYPE;
  const kind = known ? contentType : contentType.split(";", 1)[0].trim().toLowerCase();
  if (kind !== TEXT && kind !== JSON_TYPE && kind !== "") return isOwn ? data : Buffer.from(data);
  if (!isUtf8(data)) throw new InvalidInput(`the bytes are not valid ${kind || TEXT}: they are not UTF-8`);
  const text = data.toString("utf8");
  if (kind !== JSON_TYPE) return text;
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InvalidInput(`the bytes are not valid ${kind}: ${error.message}`);
  }
}

function kindOf(value) {
  return typeof value === "object" ? (value?.constructor?.name ?? "object") : typeof value;
}

module.exports = { pack, unpack, InvalidInput };
