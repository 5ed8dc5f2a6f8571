// A scenario's answer for people: indicators with what is unknown, statuses as lights, lists as tables.

const MOST_ROWS = 50;
const number = new Intl.NumberFormat(document.documentElement.lang, { maximumFractionDigits: 4 });

const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
};

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isIndicator = (value) => isObject(value) && "value" in value && ("unit" in value || "n" in value);
const label = (name) => name.replaceAll("_", " ");

function said(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return number.format(value);
  if (typeof value === "boolean") return value ? "✓" : "✗";
  return String(value);
}

function indicator(value, words) {
  const unit = value.unit && value.unit !== "1" ? ` ${value.unit.replaceAll("m2", "m²").replaceAll(/[{}]/g, "")}` : "";
  const parts = [element("strong", {}, said(value.value) + unit)];
  if (value.low !== undefined && value.high !== undefined && value.low !== value.high) {
    parts.push(element("small", {}, ` ${said(value.low)} … ${said(value.high)}`));
  }
  if (value.n !== undefined && value.n_known !== undefined && value.n !== value.n_known) {
    parts.push(element("small", {}, ` ${words.known.replace("{known}", said(value.n_known)).replace("{all}", said(value.n))}`));
  }
  return element("span", {}, ...parts);
}

const light = (status) => element("span", { class: `light ${status}` }, label(status));

function cell(name, value, words) {
  if (isIndicator(value)) return indicator(value, words);
  if (name === "status" && typeof value === "string") return light(value);
  if (Array.isArray(value)) return value.every((one) => !isObject(one)) ? value.map(said).join(", ") || "–" : said(value.length);
  if (isObject(value)) return Object.entries(value).map(([key, one]) => `${label(key)} ${isIndicator(one) ? said(one.value) : isObject(one) ? "…" : said(one)}`).join(", ");
  return said(value);
}

function table(rows, words) {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((name) =>
    rows.some((row) => row[name] !== null && row[name] !== undefined && !(Array.isArray(row[name]) && !row[name].length)));
  const body = rows.slice(0, MOST_ROWS).map((row) => element("tr", {}, ...names.map((name) => element("td", typeof row[name] === "number" ? { class: "number" } : {}, cell(name, row[name], words)))));
  const head = element("tr", {}, ...names.map((name) => element("th", {}, label(name))));
  const more = rows.length > MOST_ROWS ? element("p", { class: "soft" }, words.more.replace("{number}", said(rows.length - MOST_ROWS))) : null;
  return element("div", { class: "scroll" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)), more);
}

// A button beside a number that asks what it adds up, and shows that beneath it; `why` asks by where the number stands.
function opener(at, words, why) {
  if (why === null) return null;
  const button = element("button", { type: "button", class: "why", "data-at": at }, words.why);
  button.addEventListener("click", async () => {
    button.disabled = true;
    const line = await why(at);
    button.disabled = line === null;
    if (line !== null) button.replaceWith(opened(line, words));
  });
  return button;
}

function opened(line, words) {
  const sums = [line.num, line.den].filter((one) => one !== null);
  const clauses = line.rules.map((rule) => [rule.id, rule.clause, rule.source].filter(Boolean).join(" · "));
  return element("div", { class: "opened" }, element("p", { class: "soft" }, [line.formula, ...clauses].join("; ")),
    ...sums.flatMap((one) => [element("p", {}, `Σ ${one.title} (${one.measured_in})`), table(one.terms, words)]),
    line.unknown.length ? table(line.unknown, words) : null);
}

function rules(list, words, at, why) {
  return element("div", { class: "rules" }, ...list.map((rule) => {
    const about = element("p", { class: "soft" }, ...[rule.clause, rule.formula].filter(Boolean).join(" · "));
    const bound = rule.limit === null || rule.limit === undefined ? "" : ` / ${said(rule.limit)}`;
    const value = rule.value ? element("span", {}, cell("value", rule.value, words), bound) : null;
    const ask = rule.value ? opener(`${at}/${rule.rule}/value`, words, why) : null;
    return element("details", {}, element("summary", {}, light(rule.status), ` ${rule.rule} `, value ?? ""), about, ask,
      ...[rule.text_zh, rule.text].filter(Boolean).map((text) => element("p", {}, text)), rule.reason ? element("p", { class: "soft" }, rule.reason) : null,
      rule.offenders?.length ? table(rule.offenders, words) : null);
  }));
}

// Draw an answer, its indicators first; `at` is where it stands in the whole, `why` asks about one of its numbers.
export function draw(value, words, why = null, level = 3, at = "") {
  const drawn = element("div", { class: "answer" });
  const plain = Object.entries(value).filter(([, one]) => isIndicator(one) || !(isObject(one) || (Array.isArray(one) && one.some(isObject))));
  if (plain.length) {
    drawn.append(element("dl", {}, ...plain.flatMap(([name, one]) => [element("dt", {}, label(name)), element("dd", {}, cell(name, one, words), isIndicator(one) ? opener(`${at}/${name}`, words, why) : null)])));
  }
  for (const [name, one] of Object.entries(value)) {
    if (plain.some(([known]) => known === name) || (Array.isArray(one) && !one.length)) continue;
    drawn.append(element(`h${level}`, {}, label(name)));
    if (name === "rules" && Array.isArray(one)) drawn.append(rules(one, words, `${at}/rules`, why));
    else drawn.append(Array.isArray(one) ? table(one.map((row) => (isObject(row) ? row : { value: row })), words) : draw(one, words, why, Math.min(level + 1, 6), `${at}/${name}`));
  }
  return drawn;
}

// Every code an answer names, in the order it names them.
export function codesOf(value, found = new Set()) {
  if (Array.isArray(value)) value.forEach((one) => codesOf(one, found));
  else if (isObject(value)) {
    if (typeof value.code === "string") found.add(value.code);
    Object.values(value).forEach((one) => codesOf(one, found));
  }
  return found;
}

export { element };
