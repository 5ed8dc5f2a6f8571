// The planner's page: choose a state of the city and a piece of it, ask a scenario, and see where the answer lies.

import { PlannerMap } from "./planner-map.js";
import { Proposal } from "./planner-proposal.js";
import { codesOf, draw, element } from "./planner-result.js";

const at = (id) => document.getElementById(id);
const form = at("ask");
const config = JSON.parse(form.dataset.config);
const { words } = config;
let scope = null;

async function get(url, options) {
  const answer = await fetch(url, options);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail ?? body.title ?? answer.statusText);
  return { body, headers: answer.headers };
}

function within(base, query) {
  return `${base}?${new URLSearchParams(Object.entries(query).filter(([, value]) => value !== null && value !== ""))}`;
}

const say = (text, bad = false) => {
  at("said").textContent = text;
  at("said").classList.toggle("bad", bad);
};

// --- objects ---------------------------------------------------------------------------------------------------------

function picked(type, properties, where) {
  const { code, name } = properties;
  const titles = config.titles[type] ?? {};
  const page = `${config.collections}/${type}/items/${encodeURIComponent(code)}`;
  const rows = Object.entries(properties)
    .filter(([key]) => !["code", "name"].includes(key))
    .flatMap(([key, value]) => [element("dt", {}, titles[key]?.title ?? key), element("dd", {}, String(titles[key]?.values?.[value] ?? value))]);
  const asOf = map.asOf === null ? {} : { "as-of": map.asOf };
  const links = [
    element("a", { href: within(page, { ...asOf, f: "html" }) }, words.details),
    element("a", { href: within(`${page}/history`, { f: "html" }) }, words.history),
    element("a", { href: within(config.proof, { code, type }) }, words.proof),
  ];
  if (["renewal_district", "division", "parcel"].includes(type)) {
    const button = element("button", { type: "button", class: "button second" }, words.choose);
    button.addEventListener("click", () => choose(type, code));
    links.push(button);
  }
  if (["building", "parcel"].includes(type)) links.push(proposal.form(type, code, name));
  map.popup(where, element("div", { class: "picked" }, element("h3", {}, name ?? code), element("p", {}, element("code", {}, code)), element("dl", {}, ...rows), element("p", { class: "links" }, ...links)));
}

const map = new PlannerMap("map", config, picked);

async function drawn(kind) {
  say(words.drawing);
  const found = await map.draw(kind);
  say("");
  return found;
}

const proposal = new Proposal(at("proposal"), words, drawn, (interventions) => {
  map.light(interventions.map((one) => one.target), "planned");
});

// --- the piece of land -------------------------------------------------------------------------------------------------

async function choose(type, code) {
  try {
    const asOf = map.asOf === null ? {} : { "as-of": map.asOf };
    const { body } = await get(within(`${config.collections}/${type}/items/${encodeURIComponent(code)}`, asOf));
    scope = type === "parcel" ? [code] : code;
    at("scope").value = type === "renewal_district" ? code : "";
    at("chosen").textContent = body.properties.name ?? code;
    map.outline(body.geometry);
    if (body.geometry) map.fit(body.geometry);
    say("");
  } catch (error) {
    say(error.message, true);
  }
}

async function districts() {
  const asOf = map.asOf === null ? {} : { "as-of": map.asOf };
  const { body } = await get(within(`${config.collections}/renewal_district/items`, { ...asOf, limit: 1000, f: "json" }));
  const options = body.features.map((one) => element("option", { value: one.id ?? one.properties.code }, one.properties.name ?? one.id));
  at("scope").replaceChildren(element("option", { value: "" }, words.none), ...options);
  if (options.length && scope === null) {
    const first = options[0].value;
    at("scope").value = first;
    scope = first;
    at("chosen").textContent = options[0].textContent;
    map.outline(body.features[0].geometry);
  }
}

at("scope").addEventListener("change", () => at("scope").value && choose("renewal_district", at("scope").value));
at("draw").addEventListener("click", async () => {
  const found = await drawn("Polygon");
  if (found) {
    scope = found;
    at("scope").value = "";
    at("chosen").textContent = words.drawn;
  }
});

// --- the state ---------------------------------------------------------------------------------------------------------

at("state").addEventListener("change", async () => {
  const asked = at("state").value.trim();
  try {
    const { headers } = await get(within(config.collections, { f: "json" }));
    if (asked) await get(within(`${config.collections}/renewal_district/items`, { "as-of": asked, limit: 1 }));
    map.at(asked || null);
    at("tree").textContent = asked ? "" : headers.get("CIM-Tree-Size") ?? "";
    await districts();
    say("");
  } catch (error) {
    say(error.message, true);
  }
});

// --- the look ----------------------------------------------------------------------------------------------------------

function legend() {
  at("legend").replaceChildren(...map.colour(at("colour").value).map(([colour, text]) => {
    const sample = element("i", {});
    sample.style.background = colour;
    return element("li", {}, sample, text);
  }));
}

at("colour").addEventListener("change", legend);
at("solid").addEventListener("change", () => map.raise(at("solid").checked));
for (const box of document.querySelectorAll("input[data-type]")) {
  box.checked = map.shown(box.dataset.type);
  box.addEventListener("change", () => map.show(box.dataset.type, box.checked));
}

// --- the scenario ------------------------------------------------------------------------------------------------------

const own = new Set(["scope", "scope_crs", "as_of", "proposal", "proposals"]);
let takes = {};
let processes = [];

function field(name, input) {
  const { schema } = input;
  const title = document.documentElement.lang === "zh" ? input["x-cim-title-zh"] ?? name : name.replaceAll("_", " ");
  const types = [schema.type].flat();
  let control = null;
  if (schema.enum) {
    control = element("select", {}, ...schema.enum.map((value) => element("option", { value }, String(value))));
    control.value = schema.default ?? schema.enum[0];
  } else if (types.includes("boolean")) {
    control = element("input", { type: "checkbox" });
    control.checked = schema.default ?? false;
  } else if (types.includes("integer") || types.includes("number")) {
    control = element("input", { type: "number", step: types.includes("number") ? "any" : "1", placeholder: schema.default ?? "" });
  } else if (types.includes("string")) {
    control = element("input", { type: schema.format === "date" ? "date" : "text", placeholder: schema.default ?? "" });
  } else {
    control = element("textarea", { rows: "2", placeholder: "JSON" });
    control.dataset.json = "";
  }
  control.dataset.input = name;
  control.title = input.description ?? "";
  return element("label", {}, title, control);
}

// A proposal that is recorded has a code, by which everybody takes it; what cannot be recorded is said.
async function record() {
  const name = at("name");
  if (!name.reportValidity()) return;
  try {
    const given = { name: name.value, interventions: proposal.interventions };
    if (map.asOf !== null) given.as_of = map.asOf;
    const { body } = await get(config.proposals, sent(given));
    say(`${words.recorded} ${body.code}`);
  } catch (error) {
    say(error.message, true);
  }
}

async function describe() {
  const chosen = processes.find((one) => one.id === at("process").value);
  const { body } = await get(`${config.processes}/${chosen.id}`);
  const about = (document.documentElement.lang === "zh" && body["x-cim-description-zh"]) || body.description;
  // Its first sentence; the rest when pointed at.
  at("about").textContent = about.match(/^.+?(?:\.(?=\s)|。|$)/s)[0];
  at("about").title = about;
  takes = body.inputs;
  at("more").replaceChildren(...Object.entries(body.inputs).filter(([name]) => !own.has(name)).map(([name, input]) => field(name, input)));
}

function inputs() {
  const given = { scope };
  if (map.asOf !== null) given.as_of = /^\d+$/.test(map.asOf) ? Number(map.asOf) : map.asOf;
  const { interventions } = proposal;
  if (interventions.length && "proposals" in takes) given.proposals = [{ name: words.proposal, interventions }];
  else if (interventions.length && "proposal" in takes) given.proposal = { interventions };
  for (const control of at("more").querySelectorAll("[data-input]")) {
    const { input, json } = control.dataset;
    if (control.type === "checkbox") given[input] = control.checked;
    else if (control.value === "") continue;
    else if (json !== undefined) given[input] = JSON.parse(control.value);
    else given[input] = control.type === "number" ? Number(control.value) : control.value;
  }
  return given;
}

async function compute(event) {
  event.preventDefault();
  if (scope === null) {
    say(words.where, true);
    return;
  }
  at("answer").replaceChildren();
  say(words.computing);
  form.classList.add("busy");
  try {
    const asked = { url: `${config.processes}/${at("process").value}/execution`, inputs: inputs() };
    const { body } = await get(asked.url, posted(asked.inputs));
    // What is printed is what is shown: of the same state, whatever is written meanwhile.
    asked.inputs.as_of = body.assessment.tree_size;
    show(body, asked);
    say("");
  } catch (error) {
    say(error.message, true);
  } finally {
    form.classList.remove("busy");
  }
}

const posted = (given) => sent({ inputs: given });

function sent(body) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

// A link that has the answer set as a document when it is followed.
function printed(format, asked) {
  const link = element("a", { href: "#" }, format.toUpperCase());
  link.addEventListener("click", async (event) => {
    event.preventDefault();
    say(words.computing);
    try {
      const answer = await fetch(`${asked.url}?f=${format}`, posted(asked.inputs));
      if (!answer.ok) throw new Error((await answer.json()).detail);
      const file = element("a", { href: URL.createObjectURL(await answer.blob()), download: `${at("process").value}.${format}` });
      file.click();
      say("");
    } catch (error) {
      say(error.message, true);
    }
  });
  return link;
}

// Ask about one number of an answer, on the same state; what cannot be told is said.
async function why(path, asked) {
  say(words.computing);
  try {
    const { body } = await get(asked.url, posted({ ...asked.inputs, explain: [path] }));
    say("");
    return body.result.why[0] ?? null;
  } catch (error) {
    say(error.message, true);
    return null;
  }
}

function show(answer, asked) {
  const seal = answer.assessment;
  const file = URL.createObjectURL(new Blob([JSON.stringify(answer)], { type: "application/json" }));
  const save = element("a", { href: file, download: `${at("process").value}-${seal.tree_size}.json` }, words.save);
  const sealed = element("p", { class: "soft seal" }, `${words.sealed} ${seal.tree_size}, `, element("code", {}, seal.root.slice(0, 16)), "… ", save);
  const prints = element("p", { class: "prints" }, `${words.report} `, ...["html", "pdf", "xlsx"].map((format) => printed(format, asked)));
  const beyond = answer.coverage.targets_outside ?? [];
  const missed = beyond.length ? [element("p", { class: "missed" }, `${words.outside}: ${beyond.join(", ")}`)] : [];
  at("answer").replaceChildren(prints, ...missed, draw(answer.result, words, (path) => why(path, asked)), sealed);
  map.light(codesOf(answer.result));
}

async function begin() {
  await map.ready;
  legend();
  await districts();
  ({ processes } = (await get(config.processes)).body);
  const zh = document.documentElement.lang === "zh";
  const askable = [];
  for (const one of processes) {
    const { body } = await get(`${config.processes}/${one.id}`);
    if (body.inputs.proposal) proposal.learn(body.inputs.proposal.schema);
    // A list of districts alone cannot be said by choosing a place on the map.
    if (body.inputs.scope?.schema.oneOf) askable.push(element("option", { value: one.id }, (zh && one["x-cim-title-zh"]) || one.title));
  }
  at("process").replaceChildren(...askable);
  // #scenario=density-indicators, as the scenario's own page says it
  const wanted = new URLSearchParams(location.hash.slice(1)).get("scenario");
  if (askable.some((one) => one.value === wanted)) at("process").value = wanted;
  at("process").addEventListener("change", () => describe().catch((error) => say(error.message, true)));
  await describe();
  form.addEventListener("submit", compute);
  at("record")?.addEventListener("click", record);
  document.body.dataset.ready = "";
  map.whenDrawn(() => (document.body.dataset.drawn = ""));
}

begin().catch((error) => say(error.message, true));
