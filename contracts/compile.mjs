// Compiles the contracts of this folder into artifacts/<Name>.json.
//
//   npm ci --ignore-scripts     once
//   node compile.mjs            writes the artefacts
//   node compile.mjs --check    writes nothing; exits 1 when a committed artefact is not what its source compiles to

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const FOLDER = dirname(fileURLToPath(import.meta.url));
const CONTRACTS = ["TestUsdc", "Multicall3", "TestWallet", "TestPermit2", "TestExactPermit2Proxy", "TestUptoPermit2Proxy"];

// No metadata in the bytecode: the same source gives the same bytes whatever its path or comments.
const SETTINGS = {
  evmVersion: "cancun",
  viaIR: true,
  optimizer: { enabled: true, runs: 100000 },
  metadata: { appendCBOR: false, bytecodeHash: "none" },
};
const WANTED = [
  "abi",
  "evm.methodIdentifiers",
  "evm.bytecode.object",
  "evm.deployedBytecode.object",
  "evm.deployedBytecode.immutableReferences",
];

const checkOnly = parseArguments(process.argv.slice(2));
const solc = loadCompiler();
let stale = 0;
for (const name of CONTRACTS) {
  const path = join(FOLDER, "artifacts", `${name}.json`);
  const artefact = `${JSON.stringify(compile(name), null, 2)}\n`;
  if (readIfThere(path) === artefact) {
    console.log(`${name}: up to date`);
  } else if (checkOnly) {
    console.error(`${name}: artifacts/${name}.json is not what ${name}.sol compiles to; run: node contracts/compile.mjs`);
    stale += 1;
  } else {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, artefact);
    console.log(`${name}: written`);
  }
}
process.exitCode = stale === 0 ? 0 : 1;

function parseArguments(given) {
  if (given.length === 0) return false;
  if (given.length === 1 && given[0] === "--check") return true;
  console.error("usage: node contracts/compile.mjs [--check]");
  process.exit(2);
}

function loadCompiler() {
  try {
    return createRequire(import.meta.url)("solc");
  } catch (error) {
    if (error.code !== "MODULE_NOT_FOUND") throw error;
    console.error("The Solidity compiler is not installed; run: npm ci --ignore-scripts --prefix contracts");
    process.exit(2);
  }
}

function compile(name) {
  const file = `${name}.sol`;
  const source = readFileSync(join(FOLDER, file), "utf8");
  const input = {
    language: "Solidity",
    sources: { [file]: { content: source } },
    settings: { ...SETTINGS, outputSelection: { [file]: { [name]: WANTED } } },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  // A warning stops us too: the contracts are small enough to have none.
  if (output.errors?.length) {
    for (const { formattedMessage } of output.errors) console.error(formattedMessage);
    process.exit(1);
  }
  const { abi, evm } = output.contracts[file][name];
  if (Object.keys(evm.deployedBytecode.immutableReferences).length > 0) {
    console.error(`${name}: immutables are filled in by a constructor, which code put at an address never ran`);
    process.exit(1);
  }
  return {
    name,
    compiler: `solc ${solc.version()}`,
    settings: SETTINGS,
    abi,
    selectors: evm.methodIdentifiers,
    runtimeBytecode: `0x${evm.deployedBytecode.object}`,
    creationBytecode: `0x${evm.bytecode.object}`,
    sourceSha256: createHash("sha256").update(source).digest("hex"),
  };
}

function readIfThere(path) {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}
