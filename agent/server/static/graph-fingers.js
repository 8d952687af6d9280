// Mouse, pen and fingers over the picture: drag the ground to pan, an item onto another to group, wheel or two fingers
// to zoom, a click to pin, a double click to open or close a group.

const SLACK = 5; // pixels a pointer may move in a click

export function fingers(canvas, view) {
  const down = new Map();
  const where = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    view.zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0016)), ...where(event));
  }, { passive: false });

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    const [x, y] = where(event);
    down.set(event.pointerId, [x, y]);
    view.drag = down.size > 1 ? null : begun(view, x, y);
    view.on.hover(null, 0, 0);
  });

  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = where(event);
    if (down.size === 0) {
      const found = view.at(x, y);
      canvas.style.setProperty("cursor", found ? "pointer" : "grab");
      view.hover(found, x, y);
      return;
    }
    if (!down.has(event.pointerId)) return;
    if (down.size === 2) pinch(down, event.pointerId, [x, y], view);
    else if (view.drag) moved(view, x, y);
    down.set(event.pointerId, [x, y]);
  });

  const ended = (event) => {
    if (!down.delete(event.pointerId)) return;
    const drag = view.drag;
    view.drag = null;
    if (drag && event.type === "pointerup") finished(view, drag, event);
    view.onto = null;
    view.ask();
  };
  canvas.addEventListener("pointerup", ended);
  canvas.addEventListener("pointercancel", ended);
  canvas.addEventListener("pointerleave", () => down.size === 0 && view.hover(null, 0, 0));
  canvas.addEventListener("dblclick", (event) => {
    const found = view.at(...where(event));
    const name = found?.frame ?? (found && view.scene.items[found.item].group);
    if (name) view.on.toggle(name);
  });
}

function begun(view, x, y) {
  const found = view.at(x, y), drag = { x, y, fromX: x, fromY: y, hasMoved: false, frame: found?.frame };
  if (found?.item === undefined || view.scene.items[found.item].kind === "token") return { ...drag, on: found?.item };
  const [left, top] = view.layout.boxes[found.item], [wx, wy] = view.world(x, y);
  return { ...drag, on: found.item, item: found.item, dx: wx - left, dy: wy - top };
}

function moved(view, x, y) {
  const { drag } = view;
  if (!drag.hasMoved && Math.hypot(x - drag.fromX, y - drag.fromY) < SLACK) return;
  if (drag.item === undefined) view.pan(x - drag.x, y - drag.y);
  else {
    const found = view.at(x, y);
    const isTarget = found && found.item !== drag.item && (found.item === undefined || view.scene.items[found.item].kind !== "token");
    view.onto = isTarget ? found : null;
    view.ask();
  }
  Object.assign(drag, { x, y, hasMoved: true });
}

function finished(view, drag, event) {
  if (drag.hasMoved) {
    if (drag.item !== undefined && view.onto) view.on.group(drag.item, view.onto);
    return;
  }
  view.on.pin(drag.on ?? null, drag.frame ?? null, event.shiftKey || event.ctrlKey || event.metaKey);
}

function pinch(down, id, to, view) {
  const [other] = [...down].filter(([key]) => key !== id).map(([, at]) => at), from = down.get(id);
  const middle = (a) => [(a[0] + other[0]) / 2, (a[1] + other[1]) / 2], apart = (a) => Math.hypot(a[0] - other[0], a[1] - other[1]);
  const [fx, fy] = middle(from), [tx, ty] = middle(to);
  view.pan(tx - fx, ty - fy);
  if (apart(from) > 0) view.zoom(apart(to) / apart(from), tx, ty);
}
