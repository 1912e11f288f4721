// Pointer, wheel and keys on the canvas: move, zoom, pick a point.

const CLICK_SLACK_PX = 4;
const KEY_STEP_PX = 80;
const ZOOM_STEP = 1.6;

export function watchGestures(canvas, view, { changed, picked }) {
  const pointers = new Map();
  let moved = 0;

  canvas.addEventListener('pointerdown', (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    if (pointers.size === 1) moved = 0;
  });
  canvas.addEventListener('pointermove', (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.offsetX, y: event.offsetY };
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    moved += Math.hypot(now.x - before.x, now.y - before.y);
    if (other) {
      view.zoomAt(other.x, other.y, distance(now, other) / Math.max(1, distance(before, other)));
    } else if (moved > CLICK_SLACK_PX) view.moveBy(now.x - before.x, now.y - before.y);
    pointers.set(event.pointerId, now);
    changed();
  });
  canvas.addEventListener('pointerup', (event) => {
    if (pointers.size === 1 && moved <= CLICK_SLACK_PX) picked(event.offsetX, event.offsetY);
    pointers.delete(event.pointerId);
  });
  canvas.addEventListener('pointercancel', (event) => pointers.delete(event.pointerId));
  canvas.addEventListener(
    'wheel',
    (event) => {
      event.preventDefault();
      view.zoomAt(event.offsetX, event.offsetY, 2 ** (-event.deltaY / 300));
      changed();
    },
    { passive: false },
  );
  canvas.addEventListener('keydown', (event) => {
    const act = keyAct(view, event.key, picked);
    if (!act) return;
    event.preventDefault();
    act();
    changed();
  });
  return {
    zoom(inwards) {
      view.zoomAt(view.width / 2, view.height / 2, inwards ? ZOOM_STEP : 1 / ZOOM_STEP);
      changed();
    },
  };
}

function keyAct(view, key, picked) {
  const [x, y] = [view.width / 2, view.height / 2];
  const acts = {
    ArrowLeft: () => view.moveBy(KEY_STEP_PX, 0),
    ArrowRight: () => view.moveBy(-KEY_STEP_PX, 0),
    ArrowUp: () => view.moveBy(0, KEY_STEP_PX),
    ArrowDown: () => view.moveBy(0, -KEY_STEP_PX),
    '+': () => view.zoomAt(x, y, ZOOM_STEP),
    '=': () => view.zoomAt(x, y, ZOOM_STEP),
    '-': () => view.zoomAt(x, y, 1 / ZOOM_STEP),
    Enter: () => picked(x, y),
  };
  return Object.hasOwn(acts, key) ? acts[key] : null;
}

function distance(a, b) {
  return Math.hypot(a.x - b.x, a.y - b.y);
}
