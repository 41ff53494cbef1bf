/**
 * From a function's folder to the function: `main.js` (or `main.mjs`), and what `@m6s/box` resolves to.
 *
 * A folder with `main.mjs`, or with `"type": "module"` in its `package.json`, is loaded as an ES module, everything
 * else by `require`. The packages that it depends on are found from everywhere, after what it brings along. All that can go wrong becomes a `LoadError` that names the file and, where there is one, the line.
 */

"use strict";

const fs = require("node:fs");
const Module = require("node:module");
const path = require("node:path");
const { pathToFileURL } = require("node:url");
const { LoadError, notLoaded } = require("./faults.js");

const BOX = "@m6s/box";
const FACADE = asModule(
  `const box = globalThis[Symbol.for("${BOX}")];
   export default box;
   export const { invoke, gather, log, Event, Response, RemoteError } = box;`,
);

/** Makes `require("@m6s/box")` and `import "@m6s/box"` give `box`, from wherever they are said. */
function provide(box) {
  const load = Module._load;
  Module._load = (request, parent, isMain) => (request === BOX ? box : load(request, parent, isMain));
  globalThis[Symbol.for(BOX)] = box;
}

/**
 * Loads the function's code and returns what to call with the argument.
 * @param {{name: string, path: string, env: object, packages: string}} record the `Function` of a `Load`.
 * @throws {LoadError}
 */
async function load(record) {
  Object.assign(process.env, record.env);
  const { file, isModule } = find(record);
  process.argv = [process.argv[0], file];
  let exported;
  try {
    process.chdir(record.path);
    if (record.packages) addPackages(path.join(record.packages, "node_modules"));
    if (isModule || (record.packages && mayImport(record.path))) hookImports(record.packages);
    exported = isModule ? await import(file) : require(file);
  } catch (thrown) {
    const place = thrown instanceof SyntaxError ? syntaxPlace(thrown, record, file) : "";
    throw new LoadError(notLoaded(thrown, record.name, path.basename(file), place));
  }
  const candidates = [exported, exported?.main, exported?.default, exported?.default?.main];
  const main = candidates.find((value) => typeof value === "function");
  if (main !== undefined) return main;
  const rule = isModule ? "export default async (arg) => ..." : "module.exports = async (arg) => ...";
  throw refused(record, `${path.basename(file)} exports no function; write: ${rule}`);
}

function find(record) {
  const at = (name) => path.join(record.path, name);
  if (fs.existsSync(at("main.js"))) return { file: at("main.js"), isModule: isModuleFolder(at("package.json")) };
  if (fs.existsSync(at("main.mjs"))) return { file: at("main.mjs"), isModule: true };
  throw refused(record, "no main.js in its folder");
}

function isModuleFolder(packageFile) {
  try {
    return JSON.parse(fs.readFileSync(packageFile, "utf8")).type === "module";
  } catch {
    return false; // none, or broken: for `require` to say
  }
}

/** What `require` looks through last; for the Node.js processes that the function starts, too. */
function addPackages(folder) {
  process.env.NODE_PATH = process.env.NODE_PATH ? `${process.env.NODE_PATH}${path.delimiter}${folder}` : folder;
  Module._initPaths();
}

/**
 * Whether code of the function's own says `import(...)`: what it depends on finds its neighbours by itself.
 * A look at the files takes well under a millisecond, the thread that it may save 27 (Node.js 20).
 */
function mayImport(folder) {
  const ahead = [folder];
  for (let looked = 0; ahead.length > 0; ) {
    const place = ahead.pop();
    for (const entry of fs.readdirSync(place, { withFileTypes: true })) {
      const file = path.join(place, entry.name);
      if (entry.isDirectory()) ahead.push(file);
      else if (/\.[cm]?js$/.test(entry.name)) {
        if (++looked > 50 || /\bimport\s*\(/.test(fs.readFileSync(file, "utf8"))) return true;
      }
    }
  }
  return false;
}

let hooked = false;

/**
 * Has `import` find `@m6s/box`, and what nobody else finds in the folder `packages`, where there is one.
 * Costs a thread on a Node.js without `registerHooks`, so it is done only for a function that may need it.
 */
function hookImports(packages) {
  if (hooked) return;
  hooked = true;
  const answer = { url: FACADE, shortCircuit: true };
  const elsewhere = packages ? pathToFileURL(path.join(packages, "main.mjs")).href : "";
  if (Module.registerHooks) {
    Module.registerHooks({
      resolve(name, context, next) {
        if (name === BOX) return answer;
        try {
          return next(name, context);
        } catch (error) {
          if (!elsewhere || error.code !== "ERR_MODULE_NOT_FOUND" || !isBare(name)) throw error;
          return next(name, { ...context, parentURL: elsewhere });
        }
      },
    });
  } else {
    Module.register(
      asModule(`
        const elsewhere = ${JSON.stringify(elsewhere)}, answer = ${JSON.stringify(answer)};
        const isBare = ${isBare};
        export async function resolve(name, context, next) {
          if (name === "${BOX}") return answer;
          try {
            return await next(name, context);
          } catch (error) {
            if (!elsewhere || error.code !== "ERR_MODULE_NOT_FOUND" || !isBare(name)) throw error;
            return next(name, { ...context, parentURL: elsewhere });
          }
        }`),
    );
  }
}

/** Whether a package is named, not a path or an address. */
function isBare(name) {
  return !/^(?:[./#]|[a-z]+:)/i.test(name);
}

function asModule(source) {
  return `data:text/javascript,${encodeURIComponent(source)}`;
}

/** `main.js, line 3` of a syntax error; V8 puts it before the message, but keeps that of an ES module to itself. */
function syntaxPlace(thrown, record, file) {
  let text = String(thrown.stack);
  if (!/^.+:\d+\n/.test(text)) {
    const { spawnSync } = require("node:child_process");
    text = spawnSync(process.execPath, ["--check", file], { encoding: "utf8", timeout: 5000 }).stderr ?? "";
  }
  const found = /^(?:file:\/\/)?(.+):(\d+)\n/.exec(text);
  return found === null ? "" : `${path.relative(record.path, found[1])}, line ${found[2]}`;
}

function refused({ name }, why) {
  return new LoadError({ code: "load_failed", message: `cannot load '${name}': ${why}`, function: name });
}

module.exports = { load, provide };
