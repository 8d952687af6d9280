// What is pinned: a node with all that is known of it, or a group with its nodes; and what can be done with it.
import { el, fill } from "./dom.js";
import { figure, shortened } from "./graph-table.js";
import { intervening } from "./graph-intervene.js";
import { featureOf } from "./graph-known.js";
import { GROUP } from "./graph-model.js";
import { counted } from "./picture-data.js";

const KINDS = { feature: "feature", error: "error node: what the layer's features miss", token: "token of the prompt", logit: "answer" };

export function inWords(item, nodes) {
  if (item.kind === "group") return `group ${item.name}, ${counted(item.nodes.length, "node")}`;
  const node = nodes[item.nodes[0]];
  const parts = [shortened(node.label)];
  if (node.activation !== null) parts.push(`activation ${figure(node.activation)}`);
  if (node.probability !== null) parts.push(`probability ${figure(node.probability)}`);
  if (node.influence !== null) parts.push(`cumulative influence ${figure(node.influence)}`);
  if (item.group) parts.push(`in group ${item.group}`);
  return parts.join(", ");
}

function facts(pairs) {
  return el("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== "").map(([name, value]) => [el("dt", {}, name), el("dd", { dir: "auto" }, value)]));
}

function nodeDetail(app, node, group) {
  const isFeature = node.kind === "feature";
  return [
    el("h2", {}, el("bdi", {}, shortened(node.label, 200))),
    facts([
      ["Kind", KINDS[node.kind]], ["Id", el("code", {}, node.id)], ["Layer", node.kind === "token" ? "embedding" : node.kind === "logit" ? "output" : String(node.layer)],
      [node.kind === "logit" ? "After" : "Token", `${node.position}: ${shortened(app.data.tokens[node.position] ?? node.token, 200)}`], ["Activation", figure(node.activation)], ["Probability", figure(node.probability)],
      ["Influence", node.influence === null ? "" : `${figure(node.influence)}, the share of all influence that this node and stronger ones have together; small means important`],
      ["Group", group ? [el("button", { type: "button", class: "link", click: () => app.pin(GROUP + group) }, group), " ", el("button", { type: "button", click: () => app.takeOut([node.id]) }, "Take out")] : ""],
    ]),
    isFeature && app.known.whole(node, app.data.twin),
    isFeature ? intervening(app.data, [node.id]) : el("p", { class: "quiet" }, "Only features can be intervened on here."),
  ];
}

function groupDetail(app, group) {
  const nodes = group.members.map((id) => app.nodeOf.get(id)), features = nodes.filter((node) => node.kind === "feature");
  const name = el("input", { value: group.name, maxlength: "80", id: "group-name", autocomplete: "off", spellcheck: "false" });
  const rename = (event) => {
    event.preventDefault();
    app.rename(group.name, name.value);
  };
  const isClosed = app.view.closed.has(group.name);
  return [
    el("h2", {}, el("bdi", {}, group.name)),
    group.name.startsWith("?") && el("p", { class: "quiet" }, "The question mark: the name says where these features fire, and no sealed prediction bears it out."),
    el("form", { class: "rename", submit: rename }, el("label", {}, "Name", name), el("button", { type: "submit" }, "Rename"),
      el("button", { type: "button", click: () => app.toggle(group.name) }, isClosed ? "Open" : "Close"), el("button", { type: "button", click: () => app.takeOut(group.members) }, "Ungroup")),
    el("ul", { class: "members" }, nodes.map((node) => el("li", {},
      el("span", { dir: "auto" }, el("button", { type: "button", class: "link", click: () => app.pinInside(group.name, node.id) }, node.id), " ", el("span", { class: "quiet" }, app.known.name(node) || shortened(node.label, 60))),
      el("button", { type: "button", "aria-label": `Take ${node.id} out`, click: () => app.takeOut([node.id]) }, "Take out")))),
    features.length > 0 ? intervening(app.data, features.map((node) => node.id)) : el("p", { class: "quiet" }, "No feature is in it, so nothing can be intervened on."),
  ];
}

// The last thing that was pinned, and how many others are.
export function showDetail(app, place) {
  const { pins } = app.view, last = pins.at(-1);
  if (last === undefined) return fill(place, el("p", { class: "quiet" }, "Pin a node to see where it fires, what it says, and what happens without it."));
  const group = last.startsWith(GROUP) ? app.groups.find((one) => GROUP + one.name === last) : null;
  const node = app.nodeOf.get(last);
  fill(place,
    pins.length > 1 && el("p", { class: "notice" }, `${pins.length} are pinned; this is the last. `, el("button", { type: "button", click: () => app.group() }, "Group them"), " ", el("button", { type: "button", click: () => app.unpin() }, "Let go")),
    group ? groupDetail(app, group) : node ? nodeDetail(app, node, app.groupOf(node.id)) : el("p", {}, "It is no more."));
}

// What hangs beside the mouse.
export function tipFor(app, item) {
  const { nodes } = app.data;
  if (item.kind === "group") {
    return [el("p", {}, el("b", {}, item.name)), el("p", { class: "quiet" }, `${counted(item.nodes.length, "node")}: ${item.nodes.slice(0, 8).map((place) => nodes[place].id).join(", ")}${item.nodes.length > 8 ? " …" : ""}`)];
  }
  const node = nodes[item.nodes[0]];
  return [el("p", {}, el("b", { dir: "auto" }, shortened(node.label, 120))), el("p", { class: "quiet" }, [node.kind, node.kind === "feature" && featureOf(node), node.activation !== null && `activation ${figure(node.activation)}`,
    node.probability !== null && `probability ${figure(node.probability)}`, node.influence !== null && `influence ${figure(node.influence)}`, item.group && `in ${shortened(item.group, 40)}`].filter(Boolean).join(" · ")), app.known.brief(node)];
}
