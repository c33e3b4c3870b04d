// What rules and dashboards ask for: prints dashboards' expressions as a rule file for promtool, and finds what is asked
// for and nobody shows, or said and nowhere explained. See ops/check.d.
import { readFileSync, readdirSync } from "node:fs";

const DASHBOARDS = "ops/grafana/dashboards";
const RULES = "ops/prometheus/rules";

// Prometheus' own, and those of the exporters that the rules name.
const FOREIGN = /^(up|ALERTS|node_filesystem_(avail|size)_bytes|container_(memory_working_set|spec_memory_limit)_bytes|kube_pod_container_status_restarts_total)$/;

const KEYWORDS = new Set(["by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "bool", "offset", "inf", "nan"]);

const faults = [];
const fault = (text) => faults.push(text);

const dashboards = () =>
  readdirSync(DASHBOARDS).map((file) => ({ file, board: JSON.parse(readFileSync(`${DASHBOARDS}/${file}`, "utf8")) }));

// As Grafana fills it in.
const filled = (expression) => expression.replaceAll("$__rate_interval", "5m").replaceAll("$network", ".*");

// The names of metrics in an expression: what is no label, function, keyword, number or text.
function metricsOf(expression) {
  const bare = expression
    .replace(/"(\\.|[^"\\])*"/g, '""')
    .replace(/\{[^}]*\}/g, "{}")
    .replace(/\[[^\]]*\]/g, "")
    .replace(/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, "");
  const names = bare.matchAll(/(?<![\w:.])([a-zA-Z_:][\w:]*)(\s*\()?/g);
  return [...names].filter(([, name, call]) => !call && !KEYWORDS.has(name)).map(([, name]) => name);
}

function rules() {
  const texts = readdirSync(RULES).map((file) => readFileSync(`${RULES}/${file}`, "utf8"));
  return texts.flatMap((text) =>
    text
      .split(/^ {6}- /m)
      .slice(1)
      .map((rule) => ({
        alert: rule.match(/^alert: (\w+)/)?.[1],
        record: rule.match(/^record: (\S+)/)?.[1],
        expression: rule.match(/^ {8}expr: (?:\|\n((?: {10}.*\n?)+)|(.*))/m)?.slice(1).find(Boolean) ?? "",
        severity: rule.match(/^ {10}severity: (\w+)/m)?.[1],
        summary: /^ {10}summary: ".+"/m.test(rule),
        description: /^ {10}description: ".+"/m.test(rule),
        runbook: rule.match(/^ {10}runbook_url: "(.+)"/m)?.[1],
      })),
  );
}

// What the page of metrics lists, with the series that a histogram is made of.
function shown() {
  const names = new Set();
  for (const [, name, kind] of readFileSync("docs/metrics.md", "utf8").matchAll(/^\| `(\w+)` \| (\w+) /gm)) {
    const series = kind === "histogram" ? ["_bucket", "_sum", "_count"] : [""];
    series.forEach((end) => names.add(name + end));
  }
  return names;
}

// As GitHub makes an anchor of a heading.
const anchors = (page) =>
  new Set([...page.matchAll(/^#+ (.+)$/gm)].map(([, title]) => title.toLowerCase().replace(/[^\w\- ]/g, "").replaceAll(" ", "-")));

function checkRules(known) {
  const page = readFileSync("docs/operations.md", "utf8");
  const places = anchors(page);
  const tests = readdirSync("ops/prometheus/tests").map((file) => readFileSync(`ops/prometheus/tests/${file}`, "utf8")).join("");
  const all = rules();
  for (const { alert, record, expression, severity, summary, description, runbook } of all) {
    const name = alert ?? record;
    if (!name || !expression) fault(`a rule cannot be read: ${name} ${expression}`);
    metricsOf(expression).filter((it) => !known.has(it) && !FOREIGN.test(it)).forEach((it) => fault(`${name} asks for ${it}, which nobody shows`));
    if (!alert) continue;
    if (!["critical", "warning"].includes(severity)) fault(`${name} has no severity`);
    if (!summary || !description) fault(`${name} says too little`);
    const place = runbook?.split("docs/operations.md#")[1];
    if (!places.has(place)) fault(`docs/operations.md has no #${place} for ${name}`);
    const cases = tests.split(`alertname="${alert}",alertstate="firing"}\n`).slice(1);
    const fires = cases.filter((it) => it.match(/exp_samples:(.*)/)[1].trim() !== "[]").length;
    if (fires === 0 || fires === cases.length) fault(`${name} needs a case in which it fires, and one in which it does not`);
  }
  if (all.filter(({ alert }) => alert).length < 20) fault("there are fewer alerts than there were");
}

function checkDashboard({ file, board }, known, uids) {
  const where = (panel) => `${file}: ${panel.title}`;
  if (!board.uid || uids.has(board.uid)) fault(`${file}: its uid is missing or another's`);
  uids.add(board.uid);
  if (!board.schemaVersion || !board.title) fault(`${file}: no schemaVersion or title`);
  const ids = new Set();
  board.panels.forEach((panel, index) => {
    if (ids.has(panel.id)) fault(`${where(panel)}: its id is another's`);
    ids.add(panel.id);
    if (!panel.title || !panel.description || panel.targets.length === 0) fault(`${where(panel)}: says or shows nothing`);
    if (panel.gridPos.x + panel.gridPos.w > 24) fault(`${where(panel)}: beyond the edge`);
    board.panels.slice(index + 1).filter((other) => overlap(panel.gridPos, other.gridPos)).forEach((other) => fault(`${where(panel)}: lies on ${other.title}`));
    for (const { expr, datasource } of [...panel.targets, panel]) {
      if (datasource?.uid !== "${datasource}") fault(`${where(panel)}: its data source is no variable`);
      metricsOf(filled(expr ?? "")).filter((it) => !known.has(it) && !FOREIGN.test(it)).forEach((it) => fault(`${where(panel)}: asks for ${it}, which nobody shows`));
    }
  });
}

const overlap = (a, b) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;

function check() {
  const known = shown();
  rules().forEach(({ record }) => record && known.add(record));
  checkRules(known);
  const uids = new Set();
  dashboards().forEach((dashboard) => checkDashboard(dashboard, known, uids));
  faults.forEach((text) => console.error(text));
  process.exit(faults.length ? 1 : 0);
}

// The dashboards' expressions as rules, so that promtool reads them.
function asRules() {
  const expressions = dashboards().flatMap(({ board }) => board.panels.flatMap(({ targets }) => targets.map(({ expr }) => filled(expr))));
  const lines = expressions.map((expr, index) => `      - record: dashboard:expression:${index}\n        expr: ${JSON.stringify(expr)}\n`);
  console.log(`groups:\n  - name: dashboards\n    rules:\n${lines.join("")}`);
}

// Each panel of one dashboard with its expressions, a line of JSON each.
function panels(file) {
  const { board } = dashboards().find((it) => it.file === file);
  for (const { title, targets } of board.panels) console.log(JSON.stringify({ title, expressions: targets.map(({ expr }) => filled(expr)) }));
}

const [command, argument] = process.argv.slice(2);
({ check, rules: asRules, panels: () => panels(argument) })[command]();
