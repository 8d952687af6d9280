// The picture as tables: what search, slider and the choice of nodes leave, and the links of what is pinned.
import { el, fill } from "./dom.js";
import { figure, paged, shortened } from "./graph-table.js";

const HEADS = ["pinned", "id", "what", "kind", "token", "layer", "group", "activation, or probability", "cumulative influence (share)"];

export function mirror(app, nodes, ends) {
  keepingFocus(nodes, () => nodeTable(app, nodes));
  keepingFocus(ends, () => linkTable(app, ends));
}

// What had the focus is made anew, and has it again; where it is gone the table has it.
function keepingFocus(place, draw) {
  const here = document.activeElement, name = (one) => one.getAttribute("aria-label") ?? one.textContent;
  const had = place.contains(here) && here !== place ? name(here) : null;
  draw();
  if (had !== null) ([...place.querySelectorAll("button, input, [tabindex]")].find((one) => name(one) === had) ?? place).focus({ preventScroll: true });
}

function nodeTable(app, place) {
  const { scene } = app, { items } = scene;
  const rows = scene.shown.filter((i) => (scene.found ? scene.found.has(i) : scene.linked.has(i) || scene.pinned.has(i)));
  rows.sort((a, b) => (items[b].kind === "logit") - (items[a].kind === "logit") || (items[a].influence ?? 0) - (items[b].influence ?? 0));
  const caption = `${rows.length} of ${items.length} nodes and groups, answers first, then the most important`;
  paged(place, caption, HEADS, rows.length, (n) => (items[rows[n]].kind === "group" ? groupRow(app, items[rows[n]]) : nodeRow(app, items[rows[n]])));
}

function box(app, item, name) {
  return el("input", { type: "checkbox", checked: app.view.pins.includes(item.key), "aria-label": `Pin ${name}`, change: () => app.pin(item.key, true) });
}

function groupRow(app, item) {
  const open = el("button", { type: "button", class: "link", click: () => app.toggle(item.name) }, `group of ${item.nodes.length}: open`);
  return [box(app, item, item.name), "", item.name, open, "", app.layerName(item.layer), "", "", figure(item.influence)];
}

function nodeRow(app, item) {
  const node = app.data.nodes[item.nodes[0]], name = app.known.name(node);
  return [
    box(app, item, node.id), el("button", { type: "button", class: "link", click: () => app.pin(node.id) }, node.id),
    [shortened(node.label), name && ` · ${shortened(name, 40)}`], node.kind, `${node.position}: ${shortened(app.data.tokens[node.position] ?? node.token, 40)}`,
    app.layerName(node.layer), item.group ?? "", figure(node.activation ?? node.probability), figure(node.influence),
  ];
}

function linkTable(app, place) {
  const { scene } = app;
  if (!scene.pinned.size) return fill(place, el("p", { class: "quiet" }, "Nothing is pinned."));
  const links = scene.links.filter((link) => scene.pinned.has(link.source) || scene.pinned.has(link.target));
  const end = (i) => {
    const { key, kind, name } = scene.items[i];
    return el("button", { type: "button", class: "link", click: () => app.pin(key) }, shortened(kind === "group" ? name : key, 60));
  };
  return paged(place, "Links that end or begin at the pinned, strongest first", ["from", "to", "weight", "links in it"], links.length,
    (n) => [end(links[n].source), end(links[n].target), figure(links[n].weight), String(links[n].n)]);
}
