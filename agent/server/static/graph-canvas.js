// The picture: a camera over a scene, moved by mouse, fingers and keys. What stays is drawn once on a bitmap larger than
// the window; while somebody pans or zooms the bitmap is moved, and drawn anew when they come to rest.
import { drawAxes, drawItem, drawLinks, drawScene, ring, themeOf } from "./graph-draw.js";
import { fingers } from "./graph-fingers.js";

const MARGIN = 0.2; // of the window that the bitmap is larger by, on each side
const REST = 110; // milliseconds without a move
const LIGHT = 900; // items and links that are drawn anew for every frame: nothing is gained by a bitmap
const LARGEST_SCALE = 4, FITTED_SCALE = 1.3;
const BUCKET = 96; // of the grid in which an item is looked up by its place
const GUTTER = { x: 58, y: 26 };
const DIMMED = 0.28;

export class GraphCanvas {
  // `on`: {pin(item, frame, adds), hover(item, x, y), group(dragged, onto), toggle(name)}; `names`: {token, layer}.
  constructor(holder, canvas, nodes, names, on) {
    Object.assign(this, { holder, canvas, nodes, names, on });
    this.ctx = canvas.getContext("2d");
    this.still = document.createElement("canvas");
    this.stillCtx = this.still.getContext("2d");
    this.camera = { x: 0, y: 0, k: 1 };
    this.hovered = this.focused = this.onto = null;
    this.drag = null;
    this.frame = this.rest = 0;
    this.isOld = true;
    this.theme = themeOf(holder);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.theme = themeOf(holder);
      this.redraw();
    });
    fingers(canvas, this);
    for (const change of ["focus", "blur"]) holder.addEventListener(change, () => this.ask());
    new ResizeObserver(() => this.resize()).observe(holder);
    this.resize();
  }

  resize() {
    const { clientWidth: w, clientHeight: h } = this.holder, dpr = devicePixelRatio || 1;
    if (w === this.w && h === this.h && dpr === this.dpr) return;
    const before = this.w;
    Object.assign(this, { w, h, dpr });
    this.canvas.width = Math.round(w * dpr);
    this.canvas.height = Math.round(h * dpr);
    this.still.width = Math.round(w * (1 + 2 * MARGIN) * dpr);
    this.still.height = Math.round(h * (1 + 2 * MARGIN) * dpr);
    if (this.layout && before !== w) this.fit();
    this.redraw();
  }

  // `isNew`: whether places have changed, so that the picture is fitted again.
  show(scene, layout, isNew) {
    const key = this.scene?.items[this.focused]?.key, kept = scene.items.findIndex((item) => item.key === key);
    const [pinned] = scene.pinned; // where the keyboard stood on what is no more, as on nodes that are a group now
    Object.assign(this, { scene, layout, hovered: null, focused: key === undefined ? null : kept >= 0 ? kept : pinned ?? null });
    this.grid = gridOf(scene, layout);
    if (this.focused !== null && !layout.boxes[this.focused]) this.focused = null;
    if (isNew) this.fit();
    this.redraw();
  }

  fit() {
    const { width, height } = this.layout, inside = this.w - GUTTER.x - 12;
    const k = Math.max(0.02, Math.min(FITTED_SCALE, inside / Math.max(1, width)));
    const room = this.h - GUTTER.y - 6, spare = room - height * k;
    this.camera = { k, x: -(GUTTER.x + Math.max(6, (inside - width * k) / 2)) / k, y: spare >= 0 ? -(3 + spare / 2) / k : -6 / k };
    this.fitted = k;
    this.isMovedByHand = false;
    this.redraw();
  }

  // Height by width of what is left beside the names of tokens and layers.
  get aspect() {
    return (this.h - GUTTER.y - 12) / Math.max(1, this.w - GUTTER.x - 12);
  }

  redraw() {
    this.isOld = true;
    this.ask();
  }

  ask() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  settle() {
    clearTimeout(this.rest);
    this.rest = setTimeout(() => this.redraw(), REST);
  }

  pan(dx, dy) {
    this.isMovedByHand = true;
    this.camera = { ...this.camera, x: this.camera.x - dx / this.camera.k, y: this.camera.y - dy / this.camera.k };
    this.ask();
    this.settle();
  }

  // By a factor, the point at (x, y) staying where it is.
  zoom(factor, x = this.w / 2, y = this.h / 2) {
    this.isMovedByHand = true;
    const before = this.camera, k = Math.max(Math.min(0.02, this.fitted), Math.min(LARGEST_SCALE, before.k * factor));
    this.camera = { k, x: before.x + x / before.k - x / k, y: before.y + y / before.k - y / k };
    this.ask();
    this.settle();
  }

  // By keys and buttons: about the keyboard's place, where it is in sight.
  zoomAbout(factor) {
    const box = this.focused === null ? null : this.layout.boxes[this.focused];
    const x = box && (box[0] + box[2] / 2 - this.camera.x) * this.camera.k, y = box && (box[1] + box[3] / 2 - this.camera.y) * this.camera.k;
    if (box && x > 0 && x < this.w && y > 0 && y < this.h) this.zoom(factor, x, y);
    else this.zoom(factor);
  }

  world(x, y) {
    return [x / this.camera.k + this.camera.x, y / this.camera.k + this.camera.y];
  }

  // The item at a point of the window, or the name of the open group whose frame is there.
  at(x, y) {
    if (!this.grid) return null;
    const [wx, wy] = this.world(x, y), by = 3 / this.camera.k;
    const near = this.grid.get(`${Math.floor(wx / BUCKET)} ${Math.floor(wy / BUCKET)}`) ?? [];
    const item = near.find((i) => isIn(this.layout.boxes[i], wx, wy, by));
    if (item !== undefined) return { item };
    const frame = this.layout.frames.find(({ box }) => isIn(box, wx, wy, 0));
    return frame ? { frame: frame.name } : null;
  }

  paint() {
    if (!this.layout) return;
    const { ctx, camera, w, h, dpr } = this, isLight = this.scene.links.length + this.scene.shown.length <= LIGHT;
    if (this.isOld || (isLight && this.hasMoved())) this.drawStill();
    const drawn = this.stillCamera, scale = camera.k / drawn.k;
    const x = (drawn.x - camera.x) * camera.k, y = (drawn.y - camera.y) * camera.k;
    const around = this.around();
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.fillStyle = this.theme.card;
    ctx.fillRect(0, 0, this.canvas.width, this.canvas.height);
    ctx.globalAlpha = around ? DIMMED : 1;
    // To whole pixels while the scale is the same: text stays sharp.
    ctx.drawImage(this.still, Math.round(x * dpr), Math.round(y * dpr), this.still.width * scale, this.still.height * scale);
    ctx.globalAlpha = 1;
    ctx.setTransform(dpr * camera.k, 0, 0, dpr * camera.k, -camera.x * camera.k * dpr, -camera.y * camera.k * dpr);
    this.drawOver(around);
    ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
    drawAxes(ctx, this.layout, this.names, this.theme, camera, w, h, GUTTER);
    if (this.drag?.item !== undefined && this.drag.hasMoved) this.drawDragged();
  }

  hasMoved() {
    const { x, y, k } = this.camera, at = this.stillFor;
    return x !== at.x || y !== at.y || k !== at.k;
  }

  drawStill() {
    const { camera, w, h, dpr } = this;
    this.stillFor = camera;
    this.stillCamera = { k: camera.k, x: camera.x - (w * MARGIN) / camera.k, y: camera.y - (h * MARGIN) / camera.k };
    const ctx = this.stillCtx, scale = dpr * camera.k;
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.clearRect(0, 0, this.still.width, this.still.height);
    ctx.setTransform(scale, 0, 0, scale, -this.stillCamera.x * scale, -this.stillCamera.y * scale);
    drawScene(ctx, this.scene, this.layout, this.nodes, this.theme, this.stillCamera, w * (1 + 2 * MARGIN), h * (1 + 2 * MARGIN));
    this.isOld = false;
  }

  // What is lifted out of the rest: what was found or is pinned, and what it is linked to.
  around() {
    const { found, pinned, links } = this.scene;
    if (!found && !pinned.size) return null;
    const lifted = new Set([...(found ?? []), ...pinned]);
    const touching = links.filter((link) => pinned.has(link.source) || pinned.has(link.target));
    for (const link of touching) lifted.add(link.source).add(link.target);
    return { lifted, links: touching };
  }

  drawOver(around) {
    const { ctx, scene, layout, theme, camera } = this;
    ctx.textBaseline = "middle";
    const links = new Set(around?.links), atKeys = document.activeElement === this.holder ? this.focused : null, hovered = this.hovered ?? atKeys;
    if (hovered !== null) for (const link of scene.links) if (link.source === hovered || link.target === hovered) links.add(link);
    drawLinks(ctx, [...links].reverse(), layout, scene.strongest, theme, camera.k, 0.85);
    for (const i of around?.lifted ?? []) if (layout.boxes[i]) drawItem(ctx, scene.items[i], layout.boxes[i], this.nodes, theme, camera.k, false);
    for (const i of scene.found ?? []) ring(ctx, scene.items[i], layout.boxes[i], theme.edge, 2, camera.k);
    for (const i of scene.pinned) if (layout.boxes[i]) ring(ctx, scene.items[i], layout.boxes[i], theme.accent, 3, camera.k);
    for (const i of new Set([this.hovered, atKeys])) if (i !== null) ring(ctx, scene.items[i], layout.boxes[i], theme.text, 2, camera.k);
    if (this.onto?.item !== undefined) ring(ctx, scene.items[this.onto.item], layout.boxes[this.onto.item], theme.accent, 5, camera.k);
  }

  drawDragged() {
    const { ctx, drag, scene, layout, camera, dpr } = this, [x, y, w, h] = layout.boxes[drag.item];
    const [wx, wy] = this.world(drag.x, drag.y);
    ctx.setTransform(dpr * camera.k, 0, 0, dpr * camera.k, -camera.x * camera.k * dpr, -camera.y * camera.k * dpr);
    ctx.globalAlpha = 0.85;
    drawItem(ctx, scene.items[drag.item], [wx - drag.dx, wy - drag.dy, w, h], this.nodes, this.theme, camera.k, false);
    ctx.globalAlpha = 1;
  }

  hover(found, x, y) {
    const item = found?.item ?? null;
    if (item !== this.hovered) {
      this.hovered = item;
      this.ask();
    }
    this.on.hover(item, x, y);
  }

  // The keyboard's place; it is brought into sight.
  focus(i) {
    this.focused = i;
    if (i !== null) this.bringIn(i);
    this.ask();
  }

  bringIn(i) {
    const [x, y, w, h] = this.layout.boxes[i], { camera } = this;
    const left = (x - camera.x) * camera.k, top = (y - camera.y) * camera.k, right = left + w * camera.k, bottom = top + h * camera.k;
    const dx = left < GUTTER.x + 6 ? GUTTER.x + 6 - left : right > this.w - 6 ? this.w - 6 - right : 0;
    const dy = top < 6 ? 6 - top : bottom > this.h - GUTTER.y - 6 ? this.h - GUTTER.y - 6 - bottom : 0;
    if (dx || dy) this.pan(dx, dy);
  }

  // The nearest item to one side: what lies straight ahead counts as nearer than what lies aside.
  step(dx, dy) {
    const { boxes } = this.layout, shown = this.scene.shown;
    if (this.focused === null) return this.focus([...shown].sort((a, b) => boxes[a][1] - boxes[b][1] || boxes[a][0] - boxes[b][0])[0] ?? null);
    const middle = (i) => [boxes[i][0] + boxes[i][2] / 2, boxes[i][1] + boxes[i][3] / 2];
    const [x, y] = middle(this.focused);
    let best = null, least = Infinity;
    for (const i of shown) {
      const [ox, oy] = middle(i), ahead = dx * (ox - x) + dy * (oy - y), aside = Math.abs(dx ? oy - y : ox - x);
      if (ahead < 1 || ahead + 3 * aside >= least) continue;
      best = i;
      least = ahead + 3 * aside;
    }
    if (best !== null) this.focus(best);
  }
}

function isIn([x, y, w, h], px, py, by) {
  return px >= x - by && px <= x + w + by && py >= y - by && py <= y + h + by;
}

function gridOf(scene, layout) {
  const grid = new Map();
  for (const i of scene.shown) {
    const [x, y, w, h] = layout.boxes[i];
    for (let gx = Math.floor((x - 3) / BUCKET); gx <= Math.floor((x + w + 3) / BUCKET); gx++) {
      for (let gy = Math.floor((y - 3) / BUCKET); gy <= Math.floor((y + h + 3) / BUCKET); gy++) {
        const key = `${gx} ${gy}`;
        if (!grid.has(key)) grid.set(key, []);
        grid.get(key).push(i);
      }
    }
  }
  return grid;
}
