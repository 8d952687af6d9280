// Instruments by hand: a model, a prompt and an instrument make a request, the request a measurement with its picture.
import { get } from "./api.js";
import { el, fill, put } from "./dom.js";
import { EXAMPLES, EXAMPLE_PROMPTS, INSTRUMENTS } from "./look-fields.js";
import { doing, measured, stop } from "./measured.js";
import { picture } from "./picture.js";
import { tree } from "./tree.js";

const MOST_RESULTS = 8;
const at = (id) => document.getElementById(id);
const given = new URLSearchParams(location.search);
let tools = new Map(), request = {}, job = null;

const instrument = () => INSTRUMENTS.find((one) => one.tool === at("tool").value);
const example = () => EXAMPLES[at("model").value] ?? {};
const problem = (message) => el("p", { class: "notice bad" }, message);

function defaults(tool) {
  const properties = tools.get(tool)?.arguments.properties ?? {};
  return Object.fromEntries(Object.entries(properties).filter(([, one]) => one.default !== undefined).map(([name, one]) => [name, one.default]));
}

// An empty field keeps what the instrument does by itself.
function fromFields() {
  const values = {};
  for (const one of instrument().fields) {
    const value = one.read(at(`field-${one.key}`).value);
    if (value !== "" && !(Array.isArray(value) && value.length === 0)) values[one.key] = value;
  }
  const made = instrument().args(at("prompt").value, values), usual = defaults(instrument().tool);
  const whole = Object.entries(made).map(([name, value]) => [name, value ?? usual[name]]);
  return Object.fromEntries(whole.filter(([, value]) => value !== undefined));
}

function show() {
  at("request").value = JSON.stringify(request, null, 1);
  at("request").setCustomValidity("");
}

function change() {
  request = { ...request, ...fromFields() };
  show();
}

// Fields that no longer apply are left; those of another instrument would be refused.
function choose() {
  const chosen = instrument();
  at("summary").textContent = tools.get(chosen.tool)?.summary ?? "";
  fill(at("fields"), chosen.fields.map((one) => {
    const about = { id: `field-${one.key}`, autocomplete: "off", spellcheck: "false", dir: "auto", input: change };
    const input = one.long ? el("textarea", { ...about, rows: "2" }) : el("input", about);
    input.value = example()[one.key] ?? one.start ?? "";
    return el("label", { class: one.wide || one.long ? "wide" : null }, `${one.label} `, input, el("span", { class: "quiet" }, one.hint));
  }));
  const others = EXAMPLE_PROMPTS[at("model").value] ?? {}, prompt = at("prompt");
  if (!prompt.value || [example().prompt, ...Object.values(others)].includes(prompt.value)) prompt.value = others[chosen.tool] ?? example().prompt ?? "";
  request = { ...defaults(chosen.tool), ...fromFields() };
  show();
}

function edited() {
  try {
    const read = JSON.parse(at("request").value);
    if (read === null || typeof read !== "object" || Array.isArray(read)) throw new SyntaxError("it is no object");
    request = read;
    at("request").setCustomValidity("");
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    at("request").setCustomValidity(`This is not JSON of an object: ${error.message}`);
  }
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const plain = (text) => (/^[\w./:-]+$/.test(text) && !text.startsWith("-") ? text : quoted(text));

// Only what differs from what the instrument does by itself.
function command(measurement) {
  const usual = defaults(measurement.tool);
  const differs = Object.entries(measurement.args).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(usual[name]));
  return `vesalius run ${measurement.tool} --model ${plain(measurement.subject.model)} --args ${quoted(JSON.stringify(Object.fromEntries(differs)))}`;
}

function result(measurement) {
  return el("article", { class: "panel", "data-result": measurement.id, "aria-label": `${measurement.tool}, ${measurement.id}` },
    el("p", { class: "meta" }, el("code", {}, measurement.id), ` ${measurement.tool} · `, el("bdi", {}, measurement.subject.model),
      ` · ${measurement.seconds.toFixed(2)} s · digest `, el("code", {}, measurement.digest.slice(0, 12))),
    picture(measurement) ?? el("p", { class: "quiet" }, "No picture of this one; its values are below."),
    el("details", {}, el("summary", {}, "Raw values"), tree(measurement.result)),
    el("details", {}, el("summary", {}, "Arguments as executed"), tree(measurement.args)),
    el("details", {}, el("summary", {}, "The same on the command line"), el("pre", { tabindex: "0", "aria-label": "Command" }, command(measurement))));
}

function told(state) {
  job = state;
  const step = state.step;
  at("stop").hidden = !state.handle || !["queued", "running"].includes(state.state);
  fill(at("told"), el("progress", { "aria-label": "Measuring", ...(step?.total ? { value: step.done, max: step.total } : {}) }), ` ${doing(state)}`);
}

async function run(event) {
  event.preventDefault();
  if (!at("request").checkValidity()) {
    at("whole").open = true;
    fill(at("told"), problem(at("request").validationMessage));
    return;
  }
  const asked = { model: at("model").value, tool: at("tool").value, prompt: at("prompt").value };
  history.replaceState(null, "", `?${new URLSearchParams(asked)}`);
  at("run").disabled = true;
  told({ state: "queued" });
  try {
    const measurement = await measured(asked.model, asked.tool, request, told);
    fill(at("told"));
    at("results").prepend(result(measurement));
    for (const old of [...at("results").children].slice(MOST_RESULTS)) old.remove();
    at("results").scrollIntoView({ block: "start" });
    at("results").focus({ preventScroll: true });
  } catch (error) {
    fill(at("told"), problem(error.message));
  }
  at("run").disabled = false;
  at("stop").hidden = true;
  if (document.activeElement === document.body) at("run").focus(); // what had the focus was switched off
}

async function open() {
  const [offered, listed] = await Promise.all([get("/api/models"), get("/api/tools")]);
  tools = new Map(listed.tools.map((one) => [one.name, one]));
  put(at("model"), offered.models.map((one) => el("option", { value: one.name }, one.name)));
  put(at("tool"), INSTRUMENTS.filter((one) => tools.has(one.tool)).map((one) => el("option", { value: one.tool }, one.name)));
  const names = offered.models.map((one) => one.name);
  at("model").value = names.includes(given.get("model")) ? given.get("model") : offered.default;
  if (tools.has(given.get("tool"))) at("tool").value = given.get("tool");
  if (at("tool").selectedIndex < 0) at("tool").selectedIndex = 0;
  at("prompt").value = given.get("prompt") ?? "";
  choose();
  at("tool").addEventListener("change", choose);
  at("model").addEventListener("change", choose);
  at("prompt").addEventListener("input", change);
  at("request").addEventListener("input", edited);
  at("wanted").addEventListener("submit", run);
  at("run").disabled = false;
  at("stop").addEventListener("click", () => job && stop(job).catch((error) => fill(at("told"), problem(error.message))));
}

open().catch((error) => fill(at("told"), problem(error.message)));
