// Reads queries as Loki's grammar does, and holds the fields they ask for against the shape of our lines.
// usage: node check.mjs PACKAGES QUERIES SHAPE
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [packages, queries, shape] = process.argv.slice(2);
const { parser } = createRequire(`${packages}/package.json`)("@grafana/lezer-logql");

// As `| json` names them: members of members are joined with a line below.
function fieldsOf(schema, before = "") {
  return Object.entries(schema.properties ?? {}).flatMap(([name, member]) =>
    member.properties ? fieldsOf(member, `${before}${name}_`) : [before + name],
  );
}

const known = new Set(fieldsOf(JSON.parse(readFileSync(shape, "utf8"))));
const faults = [];
let count = 0;
for (const query of readFileSync(queries, "utf8").split("\n")) {
  if (!query || query.startsWith("#")) continue;
  count += 1;
  parser.parse(query).iterate({
    enter: ({ type, from }) => {
      if (type.isError) faults.push(`${query}\n  cannot be read from character ${from} on`);
      if (type.name !== "Identifier") return;
      const name = query.slice(from).match(/^\w+/)?.[0];
      if (!known.has(name)) faults.push(`${query}\n  asks for ${name}, which is no field of a line`);
    },
  });
}
if (count < 5) faults.push("there are fewer queries than there were");
faults.forEach((text) => console.error(text));
process.exit(faults.length ? 1 : 0);
