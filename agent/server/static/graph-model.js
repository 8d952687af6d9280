// What of a graph is shown: groups closed or open, links pruned, the part around pinned nodes. Plain data, no document.

export const GROUP = "group:"; // before a group's name, where it stands among ids of nodes
export const WAYS = ["all", "to", "from", "both"];

const words = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

// Letters that name it in the picture.
function lettersOf(node) {
  if (node.kind === "feature") return `${node.layer}/${node.feature}`.length;
  return node.kind === "error" ? 1 : node.token.trim().length + (node.kind === "logit" ? 5 : 0);
}

// Each visible thing is one item: a node that stands alone or in an open group, or a closed group.
export function itemsOf(data, groups, closed) {
  const places = new Map(data.nodes.map((node, place) => [node.id, place]));
  const items = [], of = new Int32Array(data.nodes.length).fill(-1), groupOf = new Array(data.nodes.length).fill(null);
  for (const group of groups) for (const id of group.members) groupOf[places.get(id)] = group.name;
  for (const group of groups) {
    if (!closed.has(group.name)) continue;
    const members = group.members.map((id) => places.get(id));
    for (const place of members) of[place] = items.length;
    items.push(closedGroup(group.name, members, data.nodes));
  }
  data.nodes.forEach((node, place) => {
    if (of[place] >= 0) return;
    of[place] = items.length;
    items.push({ key: node.id, kind: node.kind, layer: node.layer, position: node.position, influence: node.influence, nodes: [place], group: groupOf[place], name: "", letters: lettersOf(node) });
  });
  return { items, of };
}

// At its mean layer, and at the token where most of its nodes stand.
function closedGroup(name, members, nodes) {
  const counts = new Map();
  for (const place of members) counts.set(nodes[place].position, (counts.get(nodes[place].position) ?? 0) + 1);
  const [position] = [...counts].sort((a, b) => b[1] - a[1] || b[0] - a[0])[0];
  const layer = Math.round(members.reduce((sum, place) => sum + nodes[place].layer, 0) / members.length);
  const known = members.map((place) => nodes[place].influence).filter((one) => one !== null);
  return { key: GROUP + name, kind: "group", layer, position, influence: known.length ? Math.min(...known) : null, nodes: members, group: name, name, letters: name.length };
}

// Links between items, strongest first: between closed groups the sum of their nodes' links.
export function linksOf(data, { items, of }) {
  const sums = new Map();
  for (let i = 0; i < data.weights.length; i++) {
    const source = of[data.sources[i]], target = of[data.targets[i]];
    if (source === target) continue;
    const key = source * items.length + target, found = sums.get(key);
    if (found) {
      found.weight += data.weights[i];
      found.n += 1;
    } else sums.set(key, { source, target, weight: data.weights[i], n: 1 });
  }
  return [...sums.values()].sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight));
}

// Items that lead to those of `starts`, or that come from them, over the strongest links.
export function around(n, links, most, starts, way) {
  const into = Array.from({ length: n }, () => []), out = Array.from({ length: n }, () => []);
  for (const { source, target } of links.slice(0, most)) {
    into[target].push(source);
    out[source].push(target);
  }
  const found = new Set(starts);
  for (const next of way === "to" ? [into] : way === "from" ? [out] : [into, out]) {
    const seen = new Set(starts), waiting = [...starts];
    while (waiting.length) {
      for (const other of next[waiting.pop()]) {
        if (seen.has(other)) continue;
        seen.add(other);
        found.add(other);
        waiting.push(other);
      }
    }
  }
  return found;
}

// Every word of a search, in whatever is told of an item or of the nodes in it.
export function takes(item, nodes, search, names = () => "") {
  const wanted = words(search);
  if (!wanted.length) return true;
  const told = [item.name, item.group ?? "", item.kind, ...item.nodes.flatMap((place) => [nodes[place].id, nodes[place].label, nodes[place].token, names(nodes[place])])];
  const text = told.join("\n").toLowerCase();
  return wanted.every((word) => text.includes(word));
}

// The graph as it is looked at. `view`: {groups, closed, most, way, pins, search}.
export function sceneOf(data, view, names) {
  const made = itemsOf(data, view.groups, view.closed), links = linksOf(data, made);
  const most = Math.min(view.most, links.length);
  const pinned = new Set(view.pins.flatMap((key) => itemsNamed(made, data, view.groups, key)));
  let kept = null;
  if (view.way !== "all" && pinned.size) kept = around(made.items.length, links, most, pinned, view.way);
  const drawn = kept ? links.slice(0, most).filter((link) => kept.has(link.source) && kept.has(link.target)) : links.slice(0, most);
  const linked = new Set(drawn.flatMap((link) => [link.source, link.target]));
  const shown = made.items.map((_, i) => i).filter((i) => !kept || kept.has(i));
  const found = view.search.trim() ? new Set(shown.filter((i) => takes(made.items[i], data.nodes, view.search, names))) : null;
  return { items: made.items, of: made.of, links: drawn, nLinks: links.length, shown, linked, pinned, found, strongest: links.length ? Math.abs(links[0].weight) : 0 };
}

// Places in `items` of what a key names: of an open group its nodes, of a node in a closed group the group.
export function itemsNamed({ items, of }, data, groups, key) {
  const at = items.findIndex((item) => item.key === key);
  if (at >= 0) return [at];
  const ids = key.startsWith(GROUP) ? groups.find((group) => GROUP + group.name === key)?.members ?? [] : [key];
  const wanted = new Set(ids);
  return [...new Set(data.nodes.flatMap((node, place) => (wanted.has(node.id) ? [of[place]] : [])))];
}
