// The page of an attribution graph: what is looked at, and who hears when that changes.
import { get, runPath } from "./api.js";
import { el, fill, onKeys } from "./dom.js";
import { GraphCanvas } from "./graph-canvas.js";
import { inWords, showDetail, tipFor } from "./graph-detail.js";
import { Kept, renamed, together, without } from "./graph-groups.js";
import { Known } from "./graph-known.js";
import { layout } from "./graph-layout.js";
import { mirror } from "./graph-mirror.js";
import { GROUP, itemsNamed, sceneOf } from "./graph-model.js";
import { shortened } from "./graph-table.js";
import { counted } from "./picture-data.js";

const [run, id] = location.pathname.split("/").filter((part) => part && part !== "runs" && part !== "graphs").map(decodeURIComponent);
const at = (name) => document.getElementById(name);
const AT_FIRST = 200, PER_ITEM = 4; // links shown before anybody asks for more
const LONGEST_TITLE = 100; // characters of the prompt
const LATER = 60; // milliseconds until the tables follow the picture

function say(message, kind = "") {
  at("status").hidden = !message;
  at("status").className = `notice ${kind}`;
  at("status").textContent = message;
}

class App {
  constructor(data, kept) {
    Object.assign(this, { data, kept, known: new Known(data), nodeOf: new Map(data.nodes.map((node) => [node.id, node])) });
    this.seen = new Set(); // names of groups that were there before: new ones are closed
    this.view = { groups: kept.groups, closed: new Set(), most: Infinity, way: "all", pins: [], search: "" };
    this.last = Math.max(...data.nodes.map((node) => node.layer));
    this.hasLogits = data.nodes.some((node) => node.kind === "logit");
    const names = { token: (position) => `${position} ${(data.tokens[position] ?? "").trim()}`, layer: (layer) => this.layerName(layer) };
    this.picture = new GraphCanvas(at("picture"), at("canvas"), data.nodes, names, {
      pin: (item, frame, adds) => this.clicked(item, frame, adds),
      hover: (item, x, y) => this.tip(item, x, y),
      group: (dragged, onto) => this.dropped(dragged, onto),
      toggle: (name) => this.toggle(name),
    });
    this.waiting = 0;
  }

  get groups() {
    return this.view.groups;
  }

  layerName(layer) {
    return layer < 0 ? "tokens" : layer === this.last && this.hasLogits ? "answers" : `layer ${layer}`;
  }

  groupOf(nodeId) {
    return this.groups.find((group) => group.members.includes(nodeId))?.name ?? null;
  }

  // Draws all anew; `isMoved`: whether things stand elsewhere than before.
  refresh(isMoved = true) {
    const { view, picture } = this;
    view.groups = this.kept.groups;
    const names = new Set(view.groups.map((group) => group.name));
    for (const name of names) if (!this.seen.has(name)) view.closed.add(name);
    this.seen = names;
    view.closed = new Set([...view.closed].filter((name) => names.has(name)));
    view.pins = view.pins.filter((key) => (key.startsWith(GROUP) ? names.has(key.slice(GROUP.length)) : this.nodeOf.has(key)));
    this.scene = sceneOf(this.data, view, (node) => this.known.name(node));
    const laid = isMoved || !picture.layout ? layout(this.scene.items, this.scene.shown, picture.aspect) : picture.layout;
    picture.show(this.scene, laid, isMoved && !picture.isMovedByHand);
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => mirror(this, at("nodes"), at("ends")), LATER);
    this.tools();
  }

  tools() {
    const { view, scene } = this, most = Math.min(view.most, scene.nLinks), slider = at("links");
    slider.min = Math.min(1, scene.nLinks);
    slider.max = scene.nLinks;
    slider.value = most;
    at("links-told").textContent = `${most} of ${scene.nLinks}`;
    at("group").disabled = !this.groupable(view.pins).length;
    at("undo").disabled = !this.kept.before.length;
    at("fold").textContent = view.closed.size || !view.groups.length ? "Open all groups" : "Close all groups";
    at("fold").disabled = !view.groups.length;
    if (scene.found) this.tell(`${scene.found.size} found for “${view.search}”.`);
  }

  tell(text) {
    fill(at("told"), text);
  }

  tip(i, x, y) {
    const tip = at("tip");
    tip.hidden = i === null;
    if (i === null) return;
    if (this.tipped !== this.scene.items[i]) fill(tip, tipFor(this, this.scene.items[i]));
    this.tipped = this.scene.items[i];
    const { clientWidth: w, clientHeight: h } = at("picture"), { offsetWidth: tw, offsetHeight: th } = tip;
    tip.style.setProperty("left", `${Math.max(4, Math.min(w - tw - 4, x + 14))}px`);
    tip.style.setProperty("top", `${y + 18 + th < h ? y + 18 : Math.max(4, y - th - 14)}px`);
  }

  clicked(i, frame, adds) {
    if (i !== null) this.pin(this.scene.items[i].key, adds || at("adding").checked);
    else if (frame) this.pin(GROUP + frame, adds || at("adding").checked);
    else if (this.view.pins.length && !adds) this.unpin();
  }

  // Alone, or beside those that are pinned; again to let it go.
  pin(key, adds = false) {
    const { view } = this, was = view.pins.includes(key);
    view.pins = adds ? (was ? view.pins.filter((one) => one !== key) : [...view.pins, key]) : was && view.pins.length === 1 ? [] : [key];
    const [i] = itemsNamed(this.scene, this.data, view.groups, key);
    this.refresh(view.way !== "all");
    showDetail(this, at("detail"));
    at("detail").scrollTop = 0;
    if (i !== undefined && this.picture.layout.boxes[i] && view.pins.includes(key)) this.picture.focus(i);
    this.tell(view.pins.length ? `${view.pins.includes(key) ? "Pinned" : "Let go"}: ${i === undefined ? key : inWords(this.scene.items[i], this.data.nodes)}. ${view.pins.length} pinned.` : "Nothing is pinned.");
  }

  pinInside(name, nodeId) {
    this.view.closed.delete(name);
    this.refresh();
    this.pin(nodeId);
  }

  unpin() {
    this.view.pins = [];
    this.refresh(this.view.way !== "all");
    showDetail(this, at("detail"));
    this.tell("Nothing is pinned.");
  }

  toggle(name) {
    const { closed } = this.view;
    if (!closed.delete(name)) closed.add(name);
    this.refresh();
    showDetail(this, at("detail"));
    this.tell(`${name} is ${closed.has(name) ? "closed" : "open"}.`);
  }

  // Ids that may be grouped: tokens may not, and of a group all its nodes.
  groupable(keys) {
    const ids = keys.flatMap((key) => (key.startsWith(GROUP) ? this.groups.find((group) => GROUP + group.name === key)?.members ?? [] : [key]));
    return [...new Set(ids)].filter((one) => this.nodeOf.get(one)?.kind !== "token");
  }

  async group() {
    const ids = this.groupable(this.view.pins), into = this.view.pins.find((key) => key.startsWith(GROUP))?.slice(GROUP.length) ?? null;
    if (ids.length) await this.put(ids, into);
    else this.tell("Tokens cannot be grouped; pin features, error nodes or answers.");
  }

  dropped(dragged, onto) {
    const from = this.scene.items[dragged], to = onto.item === undefined ? null : this.scene.items[onto.item];
    const into = onto.frame ?? to.group, ids = this.groupable([from.key]);
    if (into !== null && from.group === into) return;
    this.put(into === null ? [...this.groupable([to.key]), ...ids] : ids, into ?? (from.kind === "group" ? from.name : null));
  }

  async put(ids, into) {
    if (into !== null && ids.every((one) => this.groupOf(one) === into)) return this.tell(`They are in ${into} already.`);
    const next = together(this.groups, ids, into), { members } = next.groups.find((group) => group.name === next.name);
    await this.regroup(next.groups, () => {
      this.view.pins = [GROUP + next.name];
    }, `${next.name} has ${counted(members.length, "node")} now.`);
    if (into === null) at("group-name")?.select();
    return undefined;
  }

  takeOut(ids) {
    return this.regroup(without(this.groups, ids), () => {}, "Taken out.");
  }

  async rename(from, to) {
    const name = to.trim();
    try {
      await this.regroup(renamed(this.groups, from, to), () => {
        if (this.view.closed.delete(from)) this.view.closed.add(name);
        this.seen.add(name);
        this.view.pins = this.view.pins.map((key) => (key === GROUP + from ? GROUP + name : key));
      }, `It is called ${name} now.`);
    } catch (error) {
      say(error.message, "bad");
    }
  }

  async regroup(groups, then, told) {
    try {
      await this.kept.change(groups);
      then();
      say("");
      this.tell(told);
    } catch (error) {
      say(error.status === 409 ? `${error.message} They are shown now; your change was not kept.` : error.message, "bad");
    }
    this.refresh();
    showDetail(this, at("detail"));
    if (document.activeElement === document.body) at("detail").focus(); // what was pressed is made anew
  }

  async undo() {
    try {
      await this.kept.undo();
      say("");
      this.tell("Undone.");
    } catch (error) {
      say(error.message, "bad");
    }
    this.refresh();
    showDetail(this, at("detail"));
    if (document.activeElement === document.body) at("picture").focus(); // nothing is left to undo
  }
}

function wire(app) {
  const { view, picture } = app;
  const tellFocus = () => picture.focused !== null && app.tell(inWords(app.scene.items[picture.focused], app.data.nodes));
  at("links").addEventListener("input", () => {
    view.most = at("links").value === at("links").max ? Infinity : Number(at("links").value); // all, also of groups that are opened later
    app.refresh(view.way !== "all");
  });
  at("way").addEventListener("change", () => {
    view.way = at("way").value;
    if (view.way !== "all" && !view.pins.length) app.tell("Pin something first: then only what leads to it, or comes from it, is left.");
    picture.isMovedByHand = false;
    app.refresh();
  });
  at("find").addEventListener("input", () => {
    view.search = at("find").value;
    app.refresh(false);
  });
  at("find").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !app.scene.found?.size) return;
    at("picture").focus();
    picture.focus([...app.scene.found][0]);
    tellFocus();
  });
  at("fit").addEventListener("click", () => picture.fit());
  at("closer").addEventListener("click", () => picture.zoomAbout(1.3));
  at("farther").addEventListener("click", () => picture.zoomAbout(1 / 1.3));
  at("fold").addEventListener("click", () => {
    view.closed = view.closed.size ? new Set() : new Set(view.groups.map((group) => group.name));
    app.refresh();
    showDetail(app, at("detail"));
  });
  at("group").addEventListener("click", () => app.group());
  at("undo").addEventListener("click", () => app.undo());
  const key = () => (picture.focused === null ? null : app.scene.items[picture.focused].key);
  const group = () => (picture.focused === null ? null : app.scene.items[picture.focused].group);
  const acts = {
    ArrowLeft: () => picture.step(-1, 0), ArrowRight: () => picture.step(1, 0), ArrowUp: () => picture.step(0, -1), ArrowDown: () => picture.step(0, 1),
    "+": () => picture.zoomAbout(1.25), "=": () => picture.zoomAbout(1.25), "-": () => picture.zoomAbout(0.8), 0: () => picture.fit(),
    Enter: () => key() && app.pin(key()), " ": () => key() && app.pin(key(), true), g: () => app.group(), o: () => group() && app.toggle(group()),
    Escape: () => (view.search ? ((at("find").value = view.search = ""), app.refresh(false)) : app.unpin()),
  };
  at("picture").addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(acts, event.key)) return;
    event.preventDefault();
    acts[event.key]();
    if (event.key.startsWith("Arrow")) tellFocus();
  });
  onKeys({ "/": () => at("find").focus() }, () => at("picture"));
}

function head(data) {
  document.title = `Graph: ${data.prompt.slice(0, 60)} · Vesalius`;
  const answers = data.nodes.filter((node) => node.kind === "logit").map((node) => shortened(node.token.trim(), 40));
  const prompt = data.prompt.length > LONGEST_TITLE ? `…${data.prompt.slice(-LONGEST_TITLE)}` : data.prompt; // its end is what is gone on with
  fill(at("title"), el("bdi", {}, prompt), " → ", el("bdi", {}, answers.slice(0, 3).join(", "), answers.length > 3 && " …"));
  fill(at("about"), "Attribution graph · ", el("bdi", {}, data.model), data.twin && ", re-initialised", ` · ${data.nodes.length} of ${data.n_nodes_before_pruning} nodes after pruning, ${data.weights.length} links · `,
    `replacement ${data.replacement_score.toFixed(2)}, completeness ${data.completeness_score.toFixed(2)} · `, el("bdi", {}, data.dictionary));
  at("picture").setAttribute("aria-label", `Attribution graph of ${data.nodes.length} nodes and ${data.weights.length} links; the tables below hold the same`);
  at("export").href = runPath(run, "graphs", id, "export", "neuronpedia");
}

async function open() {
  at("run-name").textContent = run;
  at("run-link").href = `/runs/${encodeURIComponent(run)}`;
  at("graph-name").textContent = id;
  const kept = new Kept(run, id);
  const [data] = await Promise.all([get(runPath(run, "graphs", id)), kept.read().catch((error) => say(error.message, "bad"))]);
  performance.mark("graph-data");
  head(data);
  const app = new App(data, kept);
  const asked = new URLSearchParams(location.search).get("links");
  app.view.most = asked === "all" ? Infinity : Number(asked) || Math.max(AT_FIRST, PER_ITEM * data.nodes.length);
  wire(app);
  at("picture").explorer = app; // for whoever looks at it from the console
  app.refresh();
  requestAnimationFrame(() => requestAnimationFrame(() => performance.mark("graph-frame")));
  app.tell(`${counted(data.nodes.length, "node")} and ${counted(data.weights.length, "link")}, drawn as ${app.scene.items.length} nodes and groups with ${app.scene.nLinks} links. Pin one to see more of it.`);
  try {
    app.known.add((await get(runPath(run, "graphs", id, "features"))).features);
    if (app.known.of.size) app.refresh(false);
  } catch (error) {
    say(`What is known of the features cannot be read. ${error.message}`, "bad");
  }
}

open().catch((error) => {
  say(error.message, "bad");
  for (const part of document.querySelectorAll("main > :not(#status)")) part.hidden = true;
});
