// Holds custom resources, a JSON array on standard input, against the schemas and the types of their kinds: the schemas
// for values, the types for keys that no field has. usage: crds.mjs NODE_MODULES
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const modules = resolve(process.argv[2]);
const PACKAGES = {
  "keda.sh": "keda",
  "monitoring.coreos.com": "prometheus-operator",
  "gateway.networking.k8s.io": "gateway-api",
};

const moduleOf = ({ apiVersion, kind }) => {
  const found = PACKAGES[apiVersion.split("/")[0]];
  if (!found) throw new Error(`nothing is known of ${apiVersion}`);
  return `@kubernetes-models/${found}/${apiVersion}/${kind}`;
};

/** What the schema has against an object's values. */
async function valuesAgainst(thing) {
  const { [thing.kind]: Kind } = await import(pathToFileURL(join(modules, `${moduleOf(thing)}.js`)));
  try {
    new Kind(thing).validate();
    return [];
  } catch (error) {
    return [`${thing.kind} ${thing.metadata?.name}: ${error.message}`];
  }
}

/** What the types have against objects' keys. */
function keysAgainst(things) {
  const place = mkdtempSync(join(tmpdir(), "crds-"));
  try {
    symlinkSync(modules, join(place, "node_modules"));
    const lines = things.flatMap((thing, index) => [
      `import type { I${thing.kind} as Kind${index} } from ${JSON.stringify(moduleOf(thing))};`,
      `export const ${thing.kind}_${(thing.metadata?.name ?? "").replaceAll(/\W/g, "_")}_${index}: Kind${index} = ${JSON.stringify(thing)};`,
    ]);
    writeFileSync(join(place, "objects.ts"), lines.join("\n"));
    const compilerOptions = { noEmit: true, strict: true, skipLibCheck: true, module: "esnext", moduleResolution: "bundler", target: "es2022", types: [] };
    writeFileSync(join(place, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["objects.ts"] }));
    execFileSync(process.execPath, [join(modules, "typescript/bin/tsc")], { cwd: place, encoding: "utf8", stdio: "pipe" });
    return [];
  } catch (error) {
    return [error.stdout || String(error)];
  } finally {
    rmSync(place, { recursive: true });
  }
}

async function against(things) {
  const values = await Promise.all(things.map(valuesAgainst));
  return [...values.flat(), ...keysAgainst(things)];
}

/** Objects with one fault each, which must be found: a check that sees nothing is none. */
function spoilt(things) {
  const one = (kind) => structuredClone(things.find((thing) => thing.kind === kind));
  const [misspelt, mistyped, late] = [one("ScaledObject"), one("ScaledObject"), one("ServiceMonitor")];
  misspelt.spec.maxReplicaCountt = 3;
  mistyped.spec.minReplicaCount = "one";
  late.spec.endpoints[0].interval = "15x";
  return [misspelt, mistyped, late];
}

const things = JSON.parse(readFileSync(0, "utf8"));
const problems = await against(things);
for (const thing of spoilt(things)) {
  if ((await against([thing])).length === 0) problems.push(`a fault is not seen in ${JSON.stringify(thing.spec)}`);
}
for (const problem of problems) console.error(problem);
process.exitCode = problems.length === 0 ? 0 : 1;
