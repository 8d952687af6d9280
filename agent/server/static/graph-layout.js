// Where items stand: tokens along x, layers along y, the first at the bottom. Each place of a token and a layer is a
// cell as large as what it holds, so no two items ever touch. Plain numbers, no document.

const BETWEEN = 7; // neighbours in a cell
const PADDING = 7, TITLE = 17; // of an open group's frame
const ASPECT = 1.9; // of a cell with many items: wider than high, as screens are
const IN_A_ROW = 4; // items side by side before a second line begins
const MOST_SPREAD = 160; // that rows are set apart by to fill the window
const MANY = 150, MANY_TOKENS = 40; // from here on things are drawn smaller
// Shares of a gap by which layers are set off, in turn: links over three layers of one token would else lie on the
// node between.
const SET_OFF = [0, 3, 8, 4, 7].map((eighths) => eighths / 8 - 0.5);

// How large an item is drawn, and the gaps between columns and rows; smaller where there is much to see.
export function sizesFor(items) {
  const isWide = items.length <= MANY, hasRoom = new Set(items.map((item) => item.position)).size <= MANY_TOKENS;
  const by = (item, least, most) => Math.max(least, Math.min(most, 16 + 6.4 * item.letters));
  const of = {
    feature: (item) => (isWide ? [by(item, 34, 76), 22] : [18, 18]),
    error: () => (isWide ? [22, 22] : [16, 16]),
    token: (item) => (hasRoom ? [by(item, 30, 70), 22] : [24, 18]),
    logit: (item) => (hasRoom ? [by(item, 60, 120) + 10, 26] : [60, 22]),
    group: (item) => (hasRoom ? [by(item, 76, 150) + 8, 40] : [84, 34]),
  };
  return { of: (item) => of[item.kind](item), gap: hasRoom ? [24, 40] : [12, 34] };
}

// One after the other in lines no wider than `most`; places are upper left corners.
function shelved(units, most) {
  let x = 0, y = 0, high = 0, width = 0;
  const places = units.map(({ w, h }) => {
    if (x > 0 && x + w > most + 1e-9) {
      y += high + BETWEEN;
      x = high = 0;
    }
    const place = [x, y];
    x += w + BETWEEN;
    high = Math.max(high, h);
    width = Math.max(width, x - BETWEEN);
    return place;
  });
  return { places, w: width, h: units.length ? y + high : 0 };
}

function goodWidth(units) {
  const area = units.reduce((sum, { w, h }) => sum + (w + BETWEEN) * (h + BETWEEN), 0);
  const widest = Math.max(...units.map(({ w }) => w));
  const line = units.slice(0, IN_A_ROW).reduce((sum, { w }) => sum + w + BETWEEN, 0);
  return Math.max(widest, line, Math.sqrt(ASPECT * area));
}

// What a cell holds: closed groups, a frame for each open group with nodes here, then single nodes.
function unitsOf(here, items, sizes) {
  const framed = new Map(), units = [];
  for (const i of here) {
    const item = items[i], [w, h] = sizes.of(item);
    if (item.kind !== "group" && item.group !== null) {
      if (!framed.has(item.group)) framed.set(item.group, []);
      framed.get(item.group).push({ i, w, h });
    } else units.push({ i, w, h, isGroup: item.kind === "group" });
  }
  const frames = [...framed].map(([name, inner]) => {
    const laid = shelved(inner, goodWidth(inner));
    const w = Math.max(laid.w, Math.min(110, 7.6 * name.length)) + 2 * PADDING;
    return { name, inner, laid, w, h: laid.h + 2 * PADDING + TITLE };
  });
  return [...units.filter((unit) => unit.isGroup), ...frames, ...units.filter((unit) => !unit.isGroup)];
}

function starts(sizes, gap) {
  let at = gap / 2;
  const found = new Map();
  for (const [key, size] of sizes) {
    found.set(key, at);
    at += size + gap;
  }
  return { found, end: at - gap / 2 };
}

const inOrder = (map) => [...map].sort((a, b) => a[0] - b[0]);

// `shown`: which of `items` stand anywhere; `aspect`: height by width of where they will be seen, which rows are spread
// to fill. Boxes are [left, top, width, height].
export function layout(items, shown, aspect = 0) {
  const sizes = sizesFor(shown.map((i) => items[i]));
  const cells = new Map();
  for (const i of shown) {
    const key = `${items[i].position} ${items[i].layer}`;
    if (!cells.has(key)) cells.set(key, { position: items[i].position, layer: items[i].layer, here: [] });
    cells.get(key).here.push(i);
  }
  const wide = new Map(), high = new Map();
  for (const cell of cells.values()) {
    cell.here.sort((a, b) => (items[a].influence ?? 0) - (items[b].influence ?? 0) || (items[a].key < items[b].key ? -1 : 1));
    cell.units = unitsOf(cell.here, items, sizes);
    wide.set(cell.position, Math.max(wide.get(cell.position) ?? 0, shelved(cell.units, goodWidth(cell.units)).w));
  }
  for (const cell of cells.values()) {
    cell.laid = shelved(cell.units, wide.get(cell.position)); // a wide column leaves all its cells room
    high.set(cell.layer, Math.max(high.get(cell.layer) ?? 0, cell.laid.h));
  }
  const [gapX, leastY] = sizes.gap, left = starts(inOrder(wide), gapX), least = starts(inOrder(high).reverse(), leastY).end;
  const gapY = leastY + Math.max(0, Math.min(MOST_SPREAD, (aspect * left.end - least) / Math.max(1, high.size)));
  const top = starts(inOrder(high).reverse(), gapY);
  const boxes = new Array(items.length).fill(null), frames = [];
  const order = inOrder(high).map(([layer]) => layer);
  for (const cell of cells.values()) {
    const x = left.found.get(cell.position) + (wide.get(cell.position) - cell.laid.w) / 2 + (gapX / 2) * SET_OFF[order.indexOf(cell.layer) % SET_OFF.length];
    const y = top.found.get(cell.layer) + (high.get(cell.layer) - cell.laid.h) / 2;
    cell.units.forEach((unit, n) => put(unit, x + cell.laid.places[n][0], y + cell.laid.places[n][1], boxes, frames));
  }
  return {
    boxes, frames, width: left.end, height: top.end,
    columns: inOrder(wide).map(([position, w]) => ({ position, x: left.found.get(position) + w / 2, w: w + gapX })),
    rows: inOrder(high).map(([layer, h]) => ({ layer, y: top.found.get(layer) + h / 2, h: h + gapY })),
  };
}

function put(unit, x, y, boxes, frames) {
  if (unit.inner === undefined) {
    boxes[unit.i] = [x, y, unit.w, unit.h];
    return;
  }
  frames.push({ name: unit.name, box: [x, y, unit.w, unit.h] });
  const indent = (unit.w - unit.laid.w) / 2;
  unit.inner.forEach((one, n) => {
    boxes[one.i] = [x + indent + unit.laid.places[n][0], y + PADDING + TITLE + unit.laid.places[n][1], one.w, one.h];
  });
}
