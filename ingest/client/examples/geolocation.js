// Streams this browser's own position. `start` holds everything that an app needs; the rest is the page.
import { DriverClient } from '@whereabouts/client';

/** Browsers report nothing while the device stands still, although the driver is still there. */
const STILL_HERE_MS = 5000;
const MAX_EVENTS = 50;
const MAX_WAY = 500;
const METRES_PER_DEGREE = 111_195;

const $ = (id) => document.getElementById(id);
let client;
let watch;
let stillHere;
let last; // of geolocation
let way = [];

// ---- the driver

function start(url, token) {
  const starting = new DriverClient({
    url,
    token,
    ack: 'each',
    onState: (state) => starting === client && show(state),
  });
  client = starting;
  show(client.state);
  client.on('hello', ({ limits }) => {
    note('connected');
    showPace(limits.report_interval_ms);
  });
  client.on('pace', ({ report_interval_ms }) => showPace(report_interval_ms));
  client.on('ack', ({ seq }) => {
    $('acked').textContent = `report ${seq}`;
    showStats();
  });
  client.on('nack', ({ code, detail, retryable }) => {
    note(`refused: ${code}${retryable ? ' (is sent again)' : ''}: ${detail}`, 'bad');
    showStats();
  });
  client.on('refused', ({ reason }) =>
    note(`the token was refused: ${reason}. Paste another and press Start`, 'bad'),
  );
  client.on('close', ({ code, reason, reconnectInMs }) => {
    if (starting !== client) return; // stopped by hand
    const back = reconnectInMs === null ? 'for good' : `back in ${(reconnectInMs / 1000).toFixed(1)} s`;
    note(`connection ended: ${reason || code}, ${back}`, 'bad');
  });
  watch = navigator.geolocation.watchPosition(moved, notLocated, {
    enableHighAccuracy: true,
    maximumAge: 1000,
  });
  stillHere = setInterval(report, STILL_HERE_MS);
}

function moved(position) {
  last = position.coords;
  report();
  showPlace(position);
}

function report() {
  if (last) client.report(reported(last));
}

const reported = ({ latitude, longitude, heading, speed, accuracy }) => ({
  lat: latitude,
  lon: longitude,
  headingDeg: heading,
  speedMps: speed,
  accuracyM: accuracy,
  status: $('status').value,
});

async function endTrip(tripId) {
  note(`checkpoint ${tripId}: on its way`);
  try {
    await client.checkpoint(reported(last), tripId, { deadlineMs: 60_000 });
    note(`checkpoint ${tripId}: in the archive`);
  } catch (error) {
    note(`checkpoint ${tripId}: ${error.code}: ${error.message}`, 'bad');
  }
  showStats();
}

async function stop() {
  navigator.geolocation.clearWatch(watch);
  clearInterval(stillHere);
  const leaving = client;
  client = undefined;
  setRunning(false);
  await leaving.close();
  note('stopped');
}

const NOT_LOCATED = {
  1: 'this page may not know where you are: allow it in the address bar',
  2: 'the device does not know where it is',
  3: 'the device did not find out in time where it is',
};

function notLocated({ code }) {
  note(NOT_LOCATED[code], 'bad');
}

// ---- the page

function show(state) {
  $('state').dataset.state = state;
  $('state').textContent = state;
}

function setRunning(isRunning) {
  $('stop').disabled = !isRunning;
  $('url').disabled = isRunning;
  $('end-trip').disabled = !isRunning || !last;
  if (!isRunning) show('stopped');
}

function note(text, kind = '') {
  if ($('log').firstChild?.lastChild.textContent === text) return; // once is enough
  const line = document.createElement('li');
  const time = document.createElement('time');
  time.textContent = `${new Date().toLocaleTimeString([], { hour12: false })} `;
  line.className = kind;
  line.append(time, text);
  $('log').prepend(line);
  while ($('log').childElementCount > MAX_EVENTS) $('log').lastChild.remove();
}

function showPace(intervalMs) {
  $('pace').textContent = `${(intervalMs / 1000).toFixed(1)} s`;
}

function showStats() {
  if (!client) return;
  const { sent, nacked, persisted } = client.stats;
  $('sent').textContent = `${sent}${persisted > 0 ? `, ${persisted} persisted` : ''}`;
  $('nacked').textContent = Object.values(nacked).reduce((sum, count) => sum + count, 0);
}

function showPlace({ coords, timestamp }) {
  const { latitude, longitude, accuracy, speed } = coords;
  $('place').textContent = `${latitude.toFixed(6)}, ${longitude.toFixed(6)}`;
  $('accuracy').textContent = `± ${accuracy.toFixed(0)} m`;
  $('speed').textContent = speed === null ? 'not known' : `${(speed * 3.6).toFixed(0)} km/h`;
  $('taken').textContent = new Date(timestamp).toLocaleTimeString([], { hour12: false });
  $('end-trip').disabled = !client;
  way = [...way, { latitude, longitude }].slice(-MAX_WAY);
  showWay();
}

/** North is up; as large as it fits. */
function showWay() {
  const [first] = way;
  const perDegree = METRES_PER_DEGREE * Math.cos((first.latitude * Math.PI) / 180);
  const points = way.map(({ latitude, longitude }) => ({
    x: (longitude - first.longitude) * perDegree,
    y: (first.latitude - latitude) * METRES_PER_DEGREE,
  }));
  const range = (values) => [Math.min(...values), Math.max(...values)];
  const [west, east] = range(points.map(({ x }) => x));
  const [north, south] = range(points.map(({ y }) => y));
  const scale = Math.min(270 / Math.max(east - west, 10), 120 / Math.max(south - north, 10));
  const placed = points.map(({ x, y }) => [
    150 + (x - (west + east) / 2) * scale,
    75 + (y - (north + south) / 2) * scale,
  ]);
  $('way').setAttribute('points', placed.map((one) => one.map((value) => value.toFixed(1)).join()).join(' '));
  const [x, y] = placed.at(-1);
  $('here').setAttribute('cx', x);
  $('here').setAttribute('cy', y);
  $('here').setAttribute('visibility', 'visible');
  $('extent').textContent =
    `${way.length} positions, ${Math.round(Math.max(east - west, south - north))} m across`;
}

$('settings').addEventListener('submit', (event) => {
  event.preventDefault();
  const token = $('token').value.trim();
  if (client && client.state !== 'closed') {
    client.renewToken(token);
    return;
  }
  client?.close();
  clearInterval(stillHere);
  if (watch !== undefined) navigator.geolocation.clearWatch(watch);
  try {
    start($('url').value, token);
  } catch (error) {
    note(error.message, 'bad');
    return;
  }
  setRunning(true);
  note('started');
});
$('stop').addEventListener('click', () => void stop());
$('status').addEventListener('change', () => client && report());
$('trip').addEventListener('submit', (event) => {
  event.preventDefault();
  void endTrip($('trip-id').value);
});

// Reads `#token=...&url=...`, and removes it from the address bar.
const given = new URLSearchParams(location.hash.slice(1));
if (given.has('token')) $('token').value = given.get('token');
if (given.has('url')) $('url').value = given.get('url');
if (location.hash) history.replaceState(null, '', location.pathname);
