// Generated from mee6/lane/messages.py by `python -m mee6.lane.schema --write`; do not edit.

"use strict";

/** Integers over 32 bits travel as BigInt: a JavaScript number would be sent as a float, which is no integer there. */
const int = (value) => (value > 0xffffffff ? BigInt(value) : value);

/** The object with `each` applied to its values. */
const mapValues = (object, each) => {
  const result = {};
  for (const key of Object.keys(object)) result[key] = each(object[key]);
  return result;
};

/** Limits: What a peer may send. Bytes; a message over a limit is refused by name, not cut. */
function encodeLimits({ resultBytes = 8388608, logBytes = 1048576 }) {
  return [int(resultBytes), int(logBytes)];
}

function decodeLimits(a) {
  return {
    resultBytes: a.length > 0 ? a[0] : 8388608,
    logBytes: a.length > 1 ? a[1] : 1048576,
  };
}

/** Fault: Why something failed, in a form that crosses processes and languages. */
function encodeFault({ code, message, function: function_ = "", errorType = "", traceback = "", invocation = "" }) {
  return [code, message, function_, errorType, traceback, invocation];
}

function decodeFault(a) {
  return {
    code: a[0],
    message: a[1],
    function: a.length > 2 ? a[2] : "",
    errorType: a.length > 3 ? a[3] : "",
    traceback: a.length > 4 ? a[4] : "",
    invocation: a.length > 5 ? a[5] : "",
  };
}

/** Function: One version of a function as a worker needs it. */
function encodeFunction({ name, version, runtime, path, dependencies = {}, maxParallelism = 0, timeoutS = 60.0, env = {}, packages = "", concurrency = 1, storeBytes = 0, declaration = Buffer.from("") }) {
  return [name, int(version), runtime, path, dependencies, int(maxParallelism), timeoutS, env, packages, int(concurrency), int(storeBytes), declaration];
}

function decodeFunction(a) {
  return {
    name: a[0],
    version: a[1],
    runtime: a[2],
    path: a[3],
    dependencies: a.length > 4 ? a[4] : {},
    maxParallelism: a.length > 5 ? a[5] : 0,
    timeoutS: a.length > 6 ? a[6] : 60.0,
    env: a.length > 7 ? a[7] : {},
    packages: a.length > 8 ? a[8] : "",
    concurrency: a.length > 9 ? a[9] : 1,
    storeBytes: a.length > 10 ? a[10] : 0,
    declaration: a.length > 11 ? a[11] : Buffer.from(""),
  };
}

/** Block: A part of a workflow's store, for bytes that a message tells of and does not carry; see `mee6.lane.store`. */
function encodeBlock({ file, offset, size }) {
  return [file, int(offset), int(size)];
}

function decodeBlock(a) {
  return {
    file: a[0],
    offset: a[1],
    size: a[2],
  };
}

/** Span: A part of a step's life: `queued start resume load handover run`. Nanoseconds, monotonic clock. */
function encodeSpan({ kind, startNs, endNs = 0 }) {
  return [kind, int(startNs), int(endNs)];
}

function decodeSpan(a) {
  return {
    kind: a[0],
    startNs: a[1],
    endNs: a.length > 2 ? a[2] : 0,
  };
}

/** Step: One function's run within an invocation: the row that a trace draws. Sent again when it changes. */
function encodeStep({ id, parent, function: function_, version, worker, start, via, state, pid = 0, error = "", spans = [], name = "", resultBytes = 0 }) {
  return [id, parent, function_, int(version), worker, start, via, state, int(pid), error, spans.map(encodeSpan), name, int(resultBytes)];
}

function decodeStep(a) {
  return {
    id: a[0],
    parent: a[1],
    function: a[2],
    version: a[3],
    worker: a[4],
    start: a[5],
    via: a[6],
    state: a[7],
    pid: a.length > 8 ? a[8] : 0,
    error: a.length > 9 ? a[9] : "",
    spans: a.length > 10 ? a[10].map(decodeSpan) : [],
    name: a.length > 11 ? a[11] : "",
    resultBytes: a.length > 12 ? a[12] : 0,
  };
}

/** Hop: A call over a direct lane, as its caller or its callee tells the proxy of it. */
function encodeHop({ lane, id, startNs, endNs = 0, code = "", error = "" }) {
  return [int(lane), id, int(startNs), int(endNs), code, error];
}

function decodeHop(a) {
  return {
    lane: a[0],
    id: a[1],
    startNs: a[2],
    endNs: a.length > 3 ? a[3] : 0,
    code: a.length > 4 ? a[4] : "",
    error: a.length > 5 ? a[5] : "",
  };
}

/** Next: A call that a run of a function is expected to make. */
function encodeNext({ caller, function: function_, chance, afterNs = 0, leadNs = 0 }) {
  return [caller, function_, chance, int(afterNs), int(leadNs)];
}

function decodeNext(a) {
  return {
    caller: a[0],
    function: a[1],
    chance: a[2],
    afterNs: a.length > 3 ? a[3] : 0,
    leadNs: a.length > 4 ? a[4] : 0,
  };
}

/** Guess: A function that was loaded ahead of its call, and what became of it. */
function encodeGuess({ caller, function: function_, used, tookNs = 0, savedNs = 0 }) {
  return [caller, function_, used, int(tookNs), int(savedNs)];
}

function decodeGuess(a) {
  return {
    caller: a[0],
    function: a[1],
    used: a[2],
    tookNs: a.length > 3 ? a[3] : 0,
    savedNs: a.length > 4 ? a[4] : 0,
  };
}

/** Header: One field of an HTTP message's head. */
function encodeHeader({ name, value }) {
  return [name, value];
}

function decodeHeader(a) {
  return {
    name: a[0],
    value: a[1],
  };
}

/** Request: The HTTP request that an invocation came with, its body apart. */
function encodeRequest({ method, path, query, headers = {}, streams = false }) {
  return [method, path, query, headers, streams];
}

function decodeRequest(a) {
  return {
    method: a[0],
    path: a[1],
    query: a[2],
    headers: a.length > 3 ? a[3] : {},
    streams: a.length > 4 ? a[4] : false,
  };
}

/** Response: What a function says of its answer over HTTP, besides the body and its type. */
function encodeResponse({ status = 200, headers = [] }) {
  return [int(status), headers.map(encodeHeader)];
}

function decodeResponse(a) {
  return {
    status: a.length > 0 ? a[0] : 200,
    headers: a.length > 1 ? a[1].map(decodeHeader) : [],
  };
}

/** Hello: proxy or runtime -> server, first frame on a lane: who I am. */
function encodeHello({ token, role, runtime, pid = 0, protocol = 1, direct = false, many = false, store = false }) {
  return ["hello", token, role, runtime, int(pid), int(protocol), direct, many, store];
}

function decodeHello(a) {
  return {
    type: "hello",
    token: a[1],
    role: a[2],
    runtime: a[3],
    pid: a.length > 4 ? a[4] : 0,
    protocol: a.length > 5 ? a[5] : 1,
    direct: a.length > 6 ? a[6] : false,
    many: a.length > 7 ? a[7] : false,
    store: a.length > 8 ? a[8] : false,
  };
}

/** Welcome: server -> peer: the answer to `Hello`; tasks may follow. */
function encodeWelcome({ worker, limits = decodeLimits([8388608, 1048576]), act = "/act", direct = true, oneCore = true }) {
  return ["welcome", worker, encodeLimits(limits), act, direct, oneCore];
}

function decodeWelcome(a) {
  return {
    type: "welcome",
    worker: a[1],
    limits: a.length > 2 ? decodeLimits(a[2]) : decodeLimits([8388608, 1048576]),
    act: a.length > 3 ? a[3] : "/act",
    direct: a.length > 4 ? a[4] : true,
    oneCore: a.length > 5 ? a[5] : true,
  };
}

/** Load: server -> peer: get this function ready. Answered by `Report` with the same id. */
function encodeLoad({ id, function: function_, functions = {} }) {
  return ["load", id, encodeFunction(function_), mapValues(functions, encodeFunction)];
}

function decodeLoad(a) {
  return {
    type: "load",
    id: a[1],
    function: decodeFunction(a[2]),
    functions: a.length > 3 ? mapValues(a[3], decodeFunction) : {},
  };
}

/** Invoke: server -> peer: run the loaded function once. Answered by `Report` with the same id. */
function encodeInvoke({ id, arg, contentType, chain, request = null, window = 0, above = [], stored = null, room = null, groups = {}, part = false }) {
  return ["invoke", id, arg, contentType, chain, request && encodeRequest(request), int(window), above.map(encodeHop), stored && encodeBlock(stored), room && encodeBlock(room), groups, part];
}

function decodeInvoke(a) {
  return {
    type: "invoke",
    id: a[1],
    arg: a[2],
    contentType: a[3],
    chain: a[4],
    request: a.length > 5 ? a[5] && decodeRequest(a[5]) : null,
    window: a.length > 6 ? a[6] : 0,
    above: a.length > 7 ? a[7].map(decodeHop) : [],
    stored: a.length > 8 ? a[8] && decodeBlock(a[8]) : null,
    room: a.length > 9 ? a[9] && decodeBlock(a[9]) : null,
    groups: a.length > 10 ? a[10] : {},
    part: a.length > 11 ? a[11] : false,
  };
}

/** Report: peer -> server: the outcome of the `Load` or `Invoke` with this id; `fault` is None when it went well. */
function encodeReport({ id, result = Buffer.from(""), contentType = "text/plain", fault = null, handedOver = false, response = null, below = [], told = false, putBack = false, stored = 0 }) {
  return ["report", id, result, contentType, fault && encodeFault(fault), handedOver, response && encodeResponse(response), below.map(encodeHop), told, putBack, int(stored)];
}

function decodeReport(a) {
  return {
    type: "report",
    id: a[1],
    result: a.length > 2 ? a[2] : Buffer.from(""),
    contentType: a.length > 3 ? a[3] : "text/plain",
    fault: a.length > 4 ? a[4] && decodeFault(a[4]) : null,
    handedOver: a.length > 5 ? a[5] : false,
    response: a.length > 6 ? a[6] && decodeResponse(a[6]) : null,
    below: a.length > 7 ? a[7].map(decodeHop) : [],
    told: a.length > 8 ? a[8] : false,
    putBack: a.length > 9 ? a[9] : false,
    stored: a.length > 10 ? a[10] : 0,
  };
}

/** Head: peer -> server, only for an `Invoke` with a window: the result comes as `Chunk`s, up to the `Report`. */
function encodeHead({ id, contentType, response = null }) {
  return ["head", id, contentType, response && encodeResponse(response)];
}

function decodeHead(a) {
  return {
    type: "head",
    id: a[1],
    contentType: a[2],
    response: a.length > 3 ? a[3] && decodeResponse(a[3]) : null,
  };
}

/** Chunk: A piece of the result (peer -> server, after `Head`), or of a request's body (server -> peer). */
function encodeChunk({ id, data, last = false }) {
  return ["chunk", id, data, last];
}

function decodeChunk(a) {
  return {
    type: "chunk",
    id: a[1],
    data: a[2],
    last: a.length > 3 ? a[3] : false,
  };
}

/** Credit: Whoever takes `Chunk`s -> who sends them: so many bytes have been used up, and as many more may come. */
function encodeCredit({ id, size }) {
  return ["credit", id, int(size)];
}

function decodeCredit(a) {
  return {
    type: "credit",
    id: a[1],
    size: a[2],
  };
}

/** Call: peer -> server: a running function calls another. Answered by `Result` with the same id. */
function encodeCall({ id, invocation, name, arg, contentType, chain = [], group = "", stored = null, room = null, step = "", part = false, timeoutS = 0.0 }) {
  return ["call", id, invocation, name, arg, contentType, chain, group, stored && encodeBlock(stored), room && encodeBlock(room), step, part, timeoutS];
}

function decodeCall(a) {
  return {
    type: "call",
    id: a[1],
    invocation: a[2],
    name: a[3],
    arg: a[4],
    contentType: a[5],
    chain: a.length > 6 ? a[6] : [],
    group: a.length > 7 ? a[7] : "",
    stored: a.length > 8 ? a[8] && decodeBlock(a[8]) : null,
    room: a.length > 9 ? a[9] && decodeBlock(a[9]) : null,
    step: a.length > 10 ? a[10] : "",
    part: a.length > 11 ? a[11] : false,
    timeoutS: a.length > 12 ? a[12] : 0.0,
  };
}

/** Result: server -> peer: the outcome of the `Call` with this id. */
function encodeResult({ id, result = Buffer.from(""), contentType = "text/plain", fault = null, putBack = false, stored = 0 }) {
  return ["result", id, result, contentType, fault && encodeFault(fault), putBack, int(stored)];
}

function decodeResult(a) {
  return {
    type: "result",
    id: a[1],
    result: a.length > 2 ? a[2] : Buffer.from(""),
    contentType: a.length > 3 ? a[3] : "text/plain",
    fault: a.length > 4 ? a[4] && decodeFault(a[4]) : null,
    putBack: a.length > 5 ? a[5] : false,
    stored: a.length > 6 ? a[6] : 0,
  };
}

/** Log: peer -> server: what a function wrote; whole lines wherever possible. */
function encodeLog({ invocation, stream, text, atNs = 0, droppedBytes = 0 }) {
  return ["log", invocation, stream, text, int(atNs), int(droppedBytes)];
}

function decodeLog(a) {
  return {
    type: "log",
    invocation: a[1],
    stream: a[2],
    text: a[3],
    atNs: a.length > 4 ? a[4] : 0,
    droppedBytes: a.length > 5 ? a[5] : 0,
  };
}

/** Stored: peer -> server: what an invocation has passed to those it called by its store, before its `Report`. */
function encodeStored({ invocation, blocks, size, over = 0 }) {
  return ["stored", invocation, int(blocks), int(size), int(over)];
}

function decodeStored(a) {
  return {
    type: "stored",
    invocation: a[1],
    blocks: a[2],
    size: a[3],
    over: a.length > 4 ? a[4] : 0,
  };
}

/** Steps: proxy -> agent: steps that began, changed or ended inside the worker, batched. */
function encodeSteps({ steps }) {
  return ["steps", steps.map(encodeStep)];
}

function decodeSteps(a) {
  return {
    type: "steps",
    steps: a[1].map(decodeStep),
  };
}

/** Introduce: proxy -> runtime: have a direct lane. */
function encodeIntroduce({ lane, address = "", function: function_ = "" }) {
  return ["introduce", int(lane), address, function_];
}

function decodeIntroduce(a) {
  return {
    type: "introduce",
    lane: a[1],
    address: a.length > 2 ? a[2] : "",
    function: a.length > 3 ? a[3] : "",
  };
}

/** Introduced: runtime -> proxy: the callee of a direct lane awaits its caller, or (either side) there is no such lane here. */
function encodeIntroduced({ lane, ready }) {
  return ["introduced", int(lane), ready];
}

function decodeIntroduced(a) {
  return {
    type: "introduced",
    lane: a[1],
    ready: a[2],
  };
}

/** Hops: runtime -> proxy: calls over direct lanes that began or ended, outer ones before inner ones; batched. */
function encodeHops({ hops, lost = false }) {
  return ["hops", hops.map(encodeHop), lost];
}

function decodeHops(a) {
  return {
    type: "hops",
    hops: a[1].map(decodeHop),
    lost: a.length > 2 ? a[2] : false,
  };
}

/** Expect: agent -> proxy: what the functions of a workflow will call, to load it ahead. Replaces what was said before. */
function encodeExpect({ calls, atOnce }) {
  return ["expect", calls.map(encodeNext), int(atOnce)];
}

function decodeExpect(a) {
  return {
    type: "expect",
    calls: a[1].map(decodeNext),
    atOnce: a[2],
  };
}

/** Guessed: proxy -> agent, after a `Report`: what was loaded ahead during that invocation. */
function encodeGuessed({ guesses }) {
  return ["guessed", guesses.map(encodeGuess)];
}

function decodeGuessed(a) {
  return {
    type: "guessed",
    guesses: a[1].map(decodeGuess),
  };
}

/** Cancel: agent -> runtime, one of several that run: end this `Invoke`. Answered by its `Report`, whatever it says. */
function encodeCancel({ id }) {
  return ["cancel", id];
}

function decodeCancel(a) {
  return {
    type: "cancel",
    id: a[1],
  };
}

/** AskHandover: proxy -> agent, once after a `Load`: my runtime could be yours. Answered by `Handover`, granted or refused. */
function encodeAskHandover() {
  return ["askhandover"];
}

function decodeAskHandover() {
  return {
    type: "askhandover",
  };
}

/** Handover: agent -> proxy -> runtime: connect to the agent with this one-time token, then report the load. */
function encodeHandover({ token, address }) {
  return ["handover", token, address];
}

function decodeHandover(a) {
  return {
    type: "handover",
    token: a[1],
    address: a[2],
  };
}

/** Goodbye: server -> peer: you are no longer needed; leave at once. */
function encodeGoodbye() {
  return ["goodbye"];
}

function decodeGoodbye() {
  return {
    type: "goodbye",
  };
}

/** Message name -> its encoder. */
const ENCODERS = {
  hello: encodeHello,
  welcome: encodeWelcome,
  load: encodeLoad,
  invoke: encodeInvoke,
  report: encodeReport,
  head: encodeHead,
  chunk: encodeChunk,
  credit: encodeCredit,
  call: encodeCall,
  result: encodeResult,
  log: encodeLog,
  stored: encodeStored,
  steps: encodeSteps,
  introduce: encodeIntroduce,
  introduced: encodeIntroduced,
  hops: encodeHops,
  expect: encodeExpect,
  guessed: encodeGuessed,
  cancel: encodeCancel,
  askhandover: encodeAskHandover,
  handover: encodeHandover,
  goodbye: encodeGoodbye,
};

/** Message name -> its decoder. */
const DECODERS = {
  hello: decodeHello,
  welcome: decodeWelcome,
  load: decodeLoad,
  invoke: decodeInvoke,
  report: decodeReport,
  head: decodeHead,
  chunk: decodeChunk,
  credit: decodeCredit,
  call: decodeCall,
  result: decodeResult,
  log: decodeLog,
  stored: decodeStored,
  steps: decodeSteps,
  introduce: decodeIntroduce,
  introduced: decodeIntroduced,
  hops: decodeHops,
  expect: decodeExpect,
  guessed: decodeGuessed,
  cancel: decodeCancel,
  askhandover: decodeAskHandover,
  handover: decodeHandover,
  goodbye: decodeGoodbye,
};

module.exports = {
  PROTOCOL: 1,
  TEXT: "text/plain",
  JSON: "application/json",
  BINARY: "application/octet-stream",
  CHUNK_BYTES: 65536,
  ENCODERS,
  DECODERS,
};
