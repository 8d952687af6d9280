// Draws a scene on a canvas: links below, then frames, items and their names. Where a hundred would lie on one another,
// fainter lines; text only where it can be read.
import { visible } from "./dom.js";

const CLASSES = 6; // of links by weight: one width and one strength each
const TIGHT = 40; // pixels of a column in which only its number is written
const LEAST_TEXT = 6.5; // pixels; smaller text is left out
const FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif";
const COLOURS = ["page", "card", "text", "quiet", "line", "edge", "accent", "mark", "node-feature", "node-error", "node-token", "node-logit", "node-group", "link-up", "link-down", "band"];
const fitted = new Map(); // text cut to a width, by font

export function themeOf(element) {
  const style = getComputedStyle(element);
  return Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

export function textOf(item, nodes) {
  if (item.kind === "group") return item.name;
  const node = nodes[item.nodes[0]];
  if (item.kind === "feature") return `${node.layer}/${node.feature}`;
  if (item.kind === "error") return "e";
  if (item.kind === "logit") return `${node.token.trim() || node.token} ${(node.probability ?? 0).toFixed(2)}`;
  return node.token.trim() || node.token;
}

// The longest beginning of a text that is no wider than `most`.
function fit(ctx, text, most) {
  const key = `${ctx.font}|${Math.round(most)}|${text.slice(0, 60)}`;
  const known = fitted.get(key);
  if (known !== undefined) return known;
  let shown = visible([...text.slice(0, 60)].join(""));
  if (text.length > 60 || ctx.measureText(shown).width > most) {
    const letters = [...shown];
    do letters.pop(); while (letters.length && ctx.measureText(letters.join("") + "…").width > most);
    shown = letters.length ? letters.join("") + "…" : "";
  }
  if (fitted.size > 5000) fitted.clear();
  fitted.set(key, shown);
  return shown;
}

function outline(ctx, kind, [x, y, w, h]) {
  ctx.beginPath();
  if (kind === "error") {
    ctx.moveTo(x + w / 2, y);
    ctx.lineTo(x + w, y + h / 2);
    ctx.lineTo(x + w / 2, y + h);
    ctx.lineTo(x, y + h / 2);
    ctx.closePath();
  } else if (kind === "logit") {
    const cut = Math.min(9, w / 5);
    ctx.moveTo(x + cut, y);
    ctx.lineTo(x + w - cut, y);
    ctx.lineTo(x + w, y + h / 2);
    ctx.lineTo(x + w - cut, y + h);
    ctx.lineTo(x + cut, y + h);
    ctx.lineTo(x, y + h / 2);
    ctx.closePath();
  } else ctx.roundRect(x, y, w, h, kind === "feature" ? h / 2 : kind === "token" ? 3 : 9);
}

function isSeen([x, y, w, h], view) {
  return x < view.right && y < view.bottom && x + w > view.left && y + h > view.top;
}

// From the top of its source to the bottom of its target; between items of one height, from middle to middle.
export function endsOf(link, boxes) {
  const a = boxes[link.source], b = boxes[link.target], isUp = b[1] + b[3] <= a[1];
  return [a[0] + a[2] / 2, isUp ? a[1] : a[1] + a[3] / 2, b[0] + b[2] / 2, isUp ? b[1] + b[3] : b[1] + b[3] / 2];
}

// One line at a time: a path of many crossing lines costs software rendering several times as much.
export function drawLinks(ctx, links, layout, strongest, theme, k, strength = null) {
  const faint = strength ?? Math.max(0.12, Math.min(0.6, 9 / Math.sqrt(links.length + 1)));
  const classed = Array.from({ length: CLASSES }, () => []);
  for (const link of links) classed[Math.min(CLASSES - 1, Math.floor(CLASSES * Math.sqrt(Math.abs(link.weight) / (strongest || 1))))].push(link);
  classed.forEach((some, at) => {
    ctx.lineWidth = (0.8 + 0.65 * at) / Math.max(k, 0.35);
    ctx.globalAlpha = Math.min(1, faint * (0.75 + 0.25 * at));
    for (const isDown of [false, true]) {
      ctx.strokeStyle = theme[isDown ? "link-down" : "link-up"];
      for (const link of some) {
        if (link.weight < 0 !== isDown) continue;
        const [x1, y1, x2, y2] = endsOf(link, layout.boxes);
        ctx.beginPath();
        ctx.moveTo(x1, y1);
        ctx.lineTo(x2, y2);
        ctx.stroke();
      }
    }
  });
  ctx.globalAlpha = 1;
}

export function drawFrames(ctx, layout, theme, k, view) {
  ctx.textAlign = "start";
  for (const { name, box } of layout.frames) {
    if (!isSeen(box, view)) continue;
    ctx.beginPath();
    ctx.roundRect(...box, 10);
    ctx.globalAlpha = 0.72;
    ctx.fillStyle = theme.card;
    ctx.fill();
    ctx.globalAlpha = 1;
    ctx.strokeStyle = theme.edge;
    ctx.lineWidth = 1.2;
    ctx.stroke();
    if (11 * k < LEAST_TEXT) continue;
    ctx.fillStyle = theme.text;
    ctx.font = `600 11px ${FONT}`;
    ctx.fillText(fit(ctx, name, box[2] - 14), box[0] + 7, box[1] + 12);
  }
}

export function drawItem(ctx, item, box, nodes, theme, k, isAlone) {
  outline(ctx, item.kind, box);
  ctx.fillStyle = theme[`node-${item.kind}`];
  ctx.globalAlpha = isAlone ? 0.3 : 1;
  ctx.fill();
  ctx.strokeStyle = item.kind === "group" ? theme.text : theme.edge;
  ctx.lineWidth = item.kind === "group" ? 1.4 : 1;
  ctx.stroke();
  const size = item.kind === "group" ? 12 : 11;
  if (size * k >= LEAST_TEXT && !(item.kind === "feature" && box[2] === box[3])) {
    ctx.globalAlpha = isAlone ? 0.75 : 1;
    ctx.fillStyle = theme.text;
    ctx.textAlign = "center";
    const x = box[0] + box[2] / 2, y = box[1] + box[3] / 2, room = box[2] - (item.kind === "logit" ? 16 : 8);
    if (item.kind === "group") {
      ctx.font = `600 ${size}px ${FONT}`;
      ctx.fillText(fit(ctx, item.name, room), x, y - 7);
      ctx.font = `10px ${FONT}`;
      ctx.fillText(`${item.nodes.length} node${item.nodes.length === 1 ? "" : "s"}`, x, y + 9);
    } else {
      ctx.font = `${size}px ${FONT}`;
      ctx.fillText(fit(ctx, textOf(item, nodes), room), x, y + 0.5);
    }
  }
  ctx.globalAlpha = 1;
}

// All that stays while somebody looks around; `camera` {x, y, k}: world to pixels is (world - x) * k.
export function drawScene(ctx, scene, layout, nodes, theme, camera, width, height) {
  const { x, y, k } = camera, view = { left: x, top: y, right: x + width / k, bottom: y + height / k };
  ctx.textBaseline = "middle";
  layout.rows.forEach((row, at) => {
    if (at % 2) return;
    ctx.fillStyle = theme.band;
    ctx.fillRect(view.left, row.y - row.h / 2, view.right - view.left, row.h);
  });
  const near = scene.links.filter((link) => {
    const [x1, y1, x2, y2] = endsOf(link, layout.boxes);
    return Math.max(x1, x2) > view.left && Math.min(x1, x2) < view.right && Math.max(y1, y2) > view.top && Math.min(y1, y2) < view.bottom;
  });
  drawLinks(ctx, near.reverse(), layout, scene.strongest, theme, k);
  drawFrames(ctx, layout, theme, k, view);
  for (const i of scene.shown) {
    if (isSeen(layout.boxes[i], view)) drawItem(ctx, scene.items[i], layout.boxes[i], nodes, theme, k, !scene.linked.has(i));
  }
}

export function ring(ctx, item, box, colour, width, k) {
  const by = 2.5 / k;
  outline(ctx, item.kind, [box[0] - by, box[1] - by, box[2] + 2 * by, box[3] + 2 * by]);
  ctx.strokeStyle = colour;
  ctx.lineWidth = width / k;
  ctx.stroke();
}

// Names of tokens below and of layers at the left stay in sight. They thin out where they would run into one another.
export function drawAxes(ctx, layout, names, theme, camera, width, height, gutter) {
  ctx.textBaseline = "middle";
  ctx.fillStyle = theme.card;
  ctx.globalAlpha = 0.94;
  ctx.fillRect(0, height - gutter.y, width, gutter.y);
  ctx.fillRect(0, 0, gutter.x, height);
  ctx.globalAlpha = 1;
  ctx.fillStyle = theme.quiet;
  ctx.font = `12px ${FONT}`;
  ctx.textAlign = "center";
  let last = gutter.x;
  for (const { position, x, w } of layout.columns) {
    const at = (x - camera.x) * camera.k, isTight = w * camera.k < TIGHT, room = isTight ? 30 : w * camera.k - 6;
    if (at - room / 2 < last - 1 || at - room / 2 > width) continue;
    ctx.fillText(isTight ? String(position) : fit(ctx, names.token(position), room), at, height - gutter.y / 2);
    last = at + room / 2;
  }
  ctx.textAlign = "end";
  let above = Infinity;
  for (const { layer, y } of [...layout.rows].sort((a, b) => b.y - a.y)) {
    const at = (y - camera.y) * camera.k;
    if (at > height - gutter.y - 4 || at < 6 || above - at < 15) continue;
    ctx.fillText(fit(ctx, names.layer(layer), gutter.x - 8), gutter.x - 6, at);
    above = at;
  }
}
