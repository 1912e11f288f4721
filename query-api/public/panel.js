// The words beside the map. Text only ever goes in as text.

const HEALTH = {
  unreachable: 'its node gives no answer',
  timeout: 'its node is too slow',
  not_ready: 'its node cannot serve yet',
  map_mismatch: 'it is written under another partition map',
  silent: 'nobody has fed it for a while',
  warming: 'it has a new owner and may not be healed yet',
};
const DARK = ['unreachable', 'timeout', 'not_ready', 'map_mismatch'];

export function element(id) {
  return document.getElementById(id);
}

function item(tag, text, className) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

export function say(text) {
  const message = element('message');
  if (message.textContent === text) return; // or a screen reader says it every second
  message.textContent = text;
  message.hidden = text === '';
}

/** Neighbours on the curve that are unwell in the same way, as one line: `Region dark: 9 partitions, u3q8..u3qc`. */
export function regionLines(partitions) {
  const regions = [];
  for (const { partition, from, to, health } of partitions) {
    const last = regions.at(-1);
    if (health === 'ok') continue;
    if (last && last.health === health && last.end === partition) {
      last.count++;
      last.end++;
      last.to = to;
    } else regions.push({ health, from, to, count: 1, end: partition + 1 });
  }
  return regions.map(({ health, from, to, count }) => {
    const what = DARK.includes(health) ? 'Region dark' : `Region ${health}`;
    const range = `${shortCell(from)}..${shortCell(to)}`;
    return `${what}: ${count} ${count === 1 ? 'partition' : 'partitions'}, ${range} (${HEALTH[health]})`;
  });
}

/** Without the zeros that say nothing. */
function shortCell(cell) {
  return cell === '~~~~~~' ? 'end' : cell.replace(/0+$/, '') || '0';
}

export function showRegions(lines) {
  const list = element('dark');
  if (list.dataset.shown === lines.join('\n')) return;
  list.dataset.shown = lines.join('\n');
  list.replaceChildren(...lines.map((line) => item('li', line)));
}

export function showFigures(figures) {
  const pairs = Object.entries(figures).flatMap(([name, value]) => [item('dt', name), item('dd', value)]);
  element('figures').replaceChildren(...pairs);
}

export function showAnswer({ drivers, complete, missing }) {
  const found = drivers.length === 0 ? 'No drivers within 50 km' : `${drivers.length} nearest`;
  const reasons = [...new Set(missing.map(({ reason }) => reason))].join(', ');
  element('verdict').textContent = complete
    ? `${found}.`
    : `${found}, but a part could not be seen: ${reasons}.`;
  element('answers').replaceChildren(...drivers.map(answerItem));
}

export function showNoAnswer(text) {
  showVerdict(text);
  element('answers').replaceChildren();
}

function showVerdict(text) {
  const verdict = element('verdict');
  if (verdict.textContent !== text) verdict.textContent = text;
}

function answerItem(driver) {
  const row = document.createElement('li');
  const archived = driver.persisted ? 'persisted' : 'provisional';
  const about = `${driver.status}, ${seconds(driver.age_ms)} old, ${archived}`;
  row.append(
    item('span', driver.driver_id, 'driver'),
    item('span', metres(driver.distance_m), 'distance'),
    item('span', about, 'about'),
  );
  return row;
}

export function metres(value) {
  return value < 1000 ? `${Math.round(value)} m` : `${(value / 1000).toFixed(value < 10_000 ? 2 : 0)} km`;
}

export function seconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** `marks`: [draw(context), text] each. */
export function showLegend(marks) {
  const rows = marks.map(([draw, text]) => {
    const swatch = document.createElement('canvas');
    [swatch.width, swatch.height] = [44, 32];
    const context = swatch.getContext('2d');
    context.scale(2, 2);
    draw(context);
    const row = item('li', '');
    row.append(swatch, item('span', text));
    return row;
  });
  element('legend').replaceChildren(...rows);
}
