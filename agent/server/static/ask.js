// Asking in chat: messages and their replies; an investigation is shown as it runs.
import { get, post, runPath } from "./api.js";
import { badge, el, fill, focusOn, onKeys, put } from "./dom.js";
import { Live } from "./live.js";
import { inline, prose } from "./prose.js";

const at = (id) => document.getElementById(id);
const NEXT = ["Why?", "How sure are you?", "What did you measure?", "What did you not find?", "What would prompting alone have told?"];
const FIRST = ["Why does the model answer 'Austin' after 'the capital of the state containing Dallas is'?"];
const FIELDS = ["model", "planner", "approve", "budget", "seed"];
const UNTITLED = at("title").textContent;
let chat = decodeURIComponent(location.pathname.match(/^\/chats\/([^/]+)$/)?.[1] ?? ""), pairs = [], isSending = false;

function say(message, kind = "bad") {
  at("status").hidden = !message;
  at("status").className = `notice ${kind}`;
  fill(at("status"), message);
}

function wanted() {
  return { model: at("model").value, planner: at("planner").value, approve: at("approve").value, budget: at("budget").value.trim(), seed: Number.parseInt(at("seed").value, 10) || 0 };
}

function offer(settings, isBegun) {
  const select = at("model");
  if (![...select.options].some((one) => one.value === settings.model)) select.append(el("option", { value: settings.model }, settings.model));
  for (const name of FIELDS) at(name).value = settings[name];
  select.disabled = isBegun; // answers are about the model that a chat began with
}

function chips(texts) {
  fill(at("chips"), texts.map((text) => el("button", { type: "button", click: () => ask(text) }, text)));
}

function figureLink(run) {
  return (figure) => location.assign(`/runs/${encodeURIComponent(run)}#${figure.id}`);
}

async function answer(run, place) {
  try {
    const report = await get(runPath(run, "shown"));
    fill(place, report.answer.map((sentence) => el("p", { class: "answer" }, prose(sentence, figureLink(run)))),
      report.claims.length > 0 && el("ul", { class: "claims" }, report.claims.map((claim) => el("li", {},
        el("a", { href: `/runs/${encodeURIComponent(run)}#${claim.id}` }, claim.id), " ", badge(claim.verdict), badge(claim.tier), prose(claim.sentence, figureLink(run))))),
      el("p", {}, el("a", { class: "button", href: `/runs/${encodeURIComponent(run)}` }, "Open and review the report")));
  } catch (error) {
    fill(place, el("p", { class: "notice bad" }, error.message));
  }
}

function replied(reply) {
  const box = el("div", { class: "reply", "data-kind": reply.kind });
  if (reply.kind === "investigated") {
    const place = el("div", {}, el("p", { class: "quiet" }, "Reading the answer…"));
    put(box, place);
    answer(reply.run, place);
  }
  put(box, reply.lines.map((line) => el("p", { class: `line ${line.style}`, dir: "auto" }, inline(line.text))));
  if (reply.kind === "stopped") put(box, el("p", {}, badge("stopped", "open"), " ", el("button", { type: "button", click: () => ask(`/resume ${reply.run}`) }, "Go on with it")));
  if (reply.options.length) put(box, el("div", { class: "chips" }, reply.options.map((label, i) => el("button", { type: "button", click: () => ask(String(i + 1)) }, label)), el("button", { type: "button", click: () => ask("no") }, "No")));
  return box;
}

function title(said) {
  fill(at("title"), said);
  document.title = `${said.slice(0, 80)} · Vesalius`;
}

function mine(text) {
  return el("p", { class: "mine", dir: "auto" }, text);
}

function turn(said, reply) {
  put(at("thread"), el("section", { class: "turn", "aria-label": "Message and reply" }, mine(said), replied(reply)));
}

function followed(said, handle) {
  const place = el("div", { class: "reply" });
  const section = el("section", { class: "turn", "aria-label": "Message and reply", "data-job": handle }, mine(said), place);
  put(at("thread"), section);
  const live = new Live(handle, chat, place, (reply, hadFocus) => {
    if (!reply) return chips(FIRST);
    const cards = live.told;
    const steps = live.cards.size ? el("details", {}, el("summary", {}, `${live.cards.size} experiment${live.cards.size === 1 ? "" : "s"}`), cards) : null;
    const shown = replied(reply);
    if (steps) shown.append(steps);
    section.replaceChild(shown, place);
    if (hadFocus) focusOn(shown);
    chips(reply.run ? NEXT : FIRST);
    list();
    settings();
  });
  section.scrollIntoView({ block: "start" });
}

async function begun() {
  if (chat) return;
  const made = await post("/api/chats", wanted());
  chat = made.name;
  history.pushState(null, "", `/chats/${encodeURIComponent(chat)}`);
  at("model").disabled = true;
}

async function ask(text) {
  if (isSending) return; // Enter reaches here although the button is disabled
  say("");
  at("send").disabled = isSending = true;
  try {
    await begun();
    const job = await post(`/api/chats/${encodeURIComponent(chat)}/messages`, { said: text, pairs });
    at("said").value = "";
    at("pairs").value = "";
    told([]);
    chips([]);
    if (at("title").textContent === UNTITLED) title(text);
    followed(text, job.handle);
    list().catch((error) => say(error.message));
  } catch (error) {
    say(error.message);
  }
  at("send").disabled = isSending = false;
}

function told(found, name = "") {
  pairs = found;
  fill(at("pairs-told"), found.length ? `${found.length} pairs of ${name}, such as “${found[0].clean}” → ${found[0].answer}` : "");
}

async function readPairs() {
  const [file] = at("pairs").files;
  if (!file) return told([]);
  try {
    const found = await post("/api/pairs", { name: file.name, text: await file.text() });
    told(found.pairs, file.name);
    say("");
  } catch (error) {
    at("pairs").value = "";
    told([]);
    say(error.message);
  }
}

async function list() {
  const found = await get("/api/chats");
  fill(at("chats"), found.chats.map((one) => el("li", {}, el("a", { href: `/chats/${encodeURIComponent(one.name)}`, "aria-current": one.name === chat ? "page" : null },
    el("span", { class: "first", dir: "auto" }, one.first || "nothing said yet"), el("span", { class: "quiet" }, `${one.name} · ${one.model}`)))));
  return found;
}

async function settings() {
  offer((await get(`/api/chats/${encodeURIComponent(chat)}`)).settings, true);
}

async function open() {
  const [models, found] = await Promise.all([get("/api/models"), list()]);
  fill(at("model"), models.models.map((one) => el("option", { value: one.name }, one.name)));
  fill(at("understood"), found.understood.map((form) => el("li", {}, form)));
  const llm = at("planner").querySelector("[value=llm]");
  llm.disabled = !found.language_model;
  llm.textContent = found.language_model ? `language model: ${found.language_model}` : "language model (none is set: VESALIUS_PLANNER_URL)";
  if (!chat) {
    offer(found.default, false);
    chips(FIRST);
    return;
  }
  const shown = await get(`/api/chats/${encodeURIComponent(chat)}`);
  if (shown.turns.length) title(shown.turns[0].said);
  offer(shown.settings, true);
  for (const one of shown.turns) turn(one.said, one.reply);
  for (const handle of shown.jobs) {
    const { said } = await get(`/api/chats/${encodeURIComponent(chat)}/messages/${handle}`);
    if (at("title").textContent === UNTITLED) title(said);
    followed(said, handle);
  }
  if (!shown.jobs.length) chips(shown.turns.some((one) => one.reply.run) ? NEXT : FIRST);
}

at("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = at("said").value.trim();
  if (text) ask(text);
  else at("said").focus();
});
at("said").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  at("composer").requestSubmit();
});
at("pairs").addEventListener("change", readPairs);
at("how").addEventListener("submit", (event) => event.preventDefault());
at("how").addEventListener("change", async () => {
  if (!chat) return;
  try {
    await post(`/api/chats/${encodeURIComponent(chat)}/settings`, wanted());
    say("The next question is investigated so.", "good");
  } catch (error) {
    say(error.message);
  }
});
window.addEventListener("popstate", () => location.reload());
onKeys({ "/": () => at("said").focus() });
open().catch((error) => say(error.message));
