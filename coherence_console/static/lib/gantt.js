// Draws rows of a timeline on a canvas: bars, strips of copies, marks, arrows, an axis.
import {BAR, PAD, RAIL, STRIP, moment, ticks} from './lanes.js';
import {escaped} from './text.js';

export const AXIS = 26;
const FONT = '12px system-ui, sans-serif';

/** What is drawn: `bars`, `marks` and `arrows` with their places, for `found`. */
export function draw(canvas, {layout, found, view, scroll, width, height, selected, dark}) {
  const ratio = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext('2d');
  const inks = inksOf(canvas, dark);
  const scale = width / (view.to - view.from);
  const x = at => (at - view.from) * scale;
  const places = {bars: [], marks: [], arrows: []};
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = FONT;
  pen.textBaseline = 'middle';

  const {made, step} = ticks(view.from, view.to, width);
  pen.strokeStyle = inks.line;
  pen.lineWidth = 1;
  for (const at of made) line(pen, x(at), AXIS, x(at), height);
  pen.save();
  pen.beginPath();
  pen.rect(0, AXIS, width, height - AXIS);
  pen.clip();
  const y = row => AXIS + row.top - scroll;
  for (const row of layout.rows) {
    const top = y(row);
    if (top + row.height < AXIS || top > height) continue;
    if (row.group !== undefined) { pen.fillStyle = inks.panel; pen.fillRect(0, top, width, row.height); }
    line(pen, 0, top + row.height, width, top + row.height);
    if (row.rail) {
      pen.strokeStyle = inks.dim;
      line(pen, 0, top + PAD + RAIL / 2, width, top + PAD + RAIL / 2);
      pen.strokeStyle = inks.line;
    }
  }
  for (const each of found.intervals) {
    const row = layout.lane.get(each.lane);
    const left = Math.max(-4, x(each.from)), right = Math.min(width + 4, x(each.to ?? Math.max(found.last, view.to)));
    if (!row || right < 0 || left > width) continue;
    const copy = each.kind === 'copy';
    const top = copy ? y(row) + row.height - PAD - STRIP + 1 : y(row) + PAD + row.rail + (layout.depth.get(each.id) ?? 0) * BAR;
    const bar = {id: each.id, left, top, width: Math.max(2, right - left), height: copy ? STRIP - 1 : BAR - 2, each};
    if (top + bar.height < AXIS || top > height) continue;
    BARS[each.kind]?.(pen, bar, inks);
    if (each.id === selected?.interval) { pen.strokeStyle = inks.fg; pen.lineWidth = 2; pen.strokeRect(left - 1.5, top - 1.5, bar.width + 3, bar.height + 3); pen.lineWidth = 1; }
    places.bars.push(bar);
  }
  for (const each of found.arrows) {
    const src = layout.lane.get(each.src), dst = layout.lane.get(each.dst);
    if (!src || !dst) continue;
    const place = {each, from: [x(each.went ?? each.sent), y(src) + PAD + RAIL / 2],
      to: [x(each.arrived ?? each.delivered ?? view.to), y(dst) + PAD + RAIL / 2]};
    const [low, high] = [Math.min(place.from[1], place.to[1]), Math.max(place.from[1], place.to[1])];
    if (high < AXIS || low > height || place.to[0] < 0 || place.from[0] > width) continue;
    arrow(pen, place, inks, each.id === selected?.arrow);
    places.arrows.push(place);
  }
  for (const each of found.marks) {
    const row = layout.lane.get(each.lane);
    if (!row) continue;
    const place = {each, x: x(each.at), y: y(row) + PAD + BAR / 2 - 1};
    if (place.y < AXIS - BAR || place.y > height + BAR || place.x < -BAR || place.x > width + BAR) continue;
    mark(pen, place, inks);
    places.marks.push(place);
  }
  pen.restore();
  pen.fillStyle = inks.dim;
  pen.textAlign = 'left';
  let free = -Infinity;
  for (const at of made) {
    const text = moment(at, found, step, Math.max(Math.abs(view.from), Math.abs(view.to))), wide = pen.measureText(text).width;
    const left = Math.min(Math.max(0, x(at) - wide / 2), width - wide);
    if (left < free + 8) continue;
    pen.fillText(text, left, AXIS / 2);
    free = left + wide;
  }
  pen.strokeStyle = inks.line;
  line(pen, 0, AXIS, width, AXIS);
  return places;
}

const NAMES = ['bg', 'panel', 'fg', 'dim', 'line', 'orange', 'orange-bg', 'purple', 'purple-bg', 'red', 'red-bg',
  'blue', 'blue-bg', 'green', 'green-bg'];
const known = new Map();

/** The colours of the style sheet; only an element resolves `light-dark(...)`. */
function inksOf(canvas, dark) {
  if (known.has(dark)) return known.get(dark);
  const found = {};
  for (const name of NAMES) {
    canvas.style.color = `var(--${name})`;
    found[name] = getComputedStyle(canvas).color;
  }
  canvas.style.color = '';
  known.set(dark, found);
  return found;
}

function line(pen, x1, y1, x2, y2) {
  pen.beginPath();
  pen.moveTo(Math.round(x1) + 0.5, Math.round(y1) - 0.5);
  pen.lineTo(Math.round(x2) + 0.5, Math.round(y2) - 0.5);
  pen.stroke();
}

/** A bar with an edge; a sampled one has a broken edge, since its ends are not exact. */
function box(pen, {left, top, width, height, each}, fill, edge) {
  pen.fillStyle = fill;
  pen.fillRect(left, top, width, height);
  pen.strokeStyle = edge;
  pen.setLineDash(each.exact ? [] : [4, 3]);
  if (width > 2) pen.strokeRect(left + 0.5, top + 0.5, width - 1, height - 1);
  else { pen.fillStyle = edge; pen.fillRect(left, top, width, height); }
  pen.setLineDash([]);
}

function label(pen, {left, top, width, height, each}, ink) {
  const shown = Math.max(left, 0), room = left + width - shown - 8;
  if (room < 24) return;
  let text = escaped(each.label);
  if (pen.measureText(text).width > room) {
    text = text.slice(0, Math.floor(room / 6));
    while (text && pen.measureText(`${text}…`).width > room) text = text.slice(0, -1);
    if (!text) return;
    text += '…';
  }
  pen.fillStyle = ink;
  pen.textAlign = 'left';
  pen.fillText(text, shown + 4, top + height / 2 + 0.5);
}

const BARS = {
  held(pen, bar, inks) { box(pen, bar, inks['orange-bg'], inks.orange); label(pen, bar, inks.fg); },
  waits(pen, bar, inks) {
    box(pen, bar, inks.bg, inks.purple);
    stripes(pen, bar, inks['purple-bg']);
    label(pen, bar, inks.fg);
  },
  secret(pen, bar, inks) {
    box(pen, bar, inks['red-bg'], inks.red);
    pen.setLineDash([1, 3]);
    pen.strokeStyle = inks.red;
    if (bar.width > 6) line(pen, bar.left + 2, bar.top + bar.height - 1, bar.left + bar.width - 2, bar.top + bar.height - 1);
    pen.setLineDash([]);
    label(pen, bar, inks.fg);
  },
  copy(pen, bar, inks) {
    pen.fillStyle = inks.blue;
    pen.fillRect(bar.left, bar.top + 1, bar.width, bar.height - 2);
    pen.fillRect(bar.left, bar.top, 1.5, bar.height);
  },
};

function stripes(pen, {left, top, width, height}, ink) {
  pen.save();
  pen.beginPath();
  pen.rect(left + 1, top + 1, Math.max(0, width - 2), height - 2);
  pen.clip();
  pen.strokeStyle = ink;
  pen.lineWidth = 4;
  const first = Math.max(left, 0) - height, last = Math.min(left + width, left + 4000);
  pen.beginPath();
  for (let at = first - (first % 10); at < last; at += 10) { pen.moveTo(at, top + height); pen.lineTo(at + height, top); }
  pen.stroke();
  pen.restore();
  pen.lineWidth = 1;
}

function mark(pen, {x, y, each}, inks) {
  pen.lineWidth = 1.5;
  if (each.kind === 'published') {
    pen.fillStyle = inks.green;
    pen.strokeStyle = inks.bg;
    pen.beginPath();
    pen.moveTo(x, y - 5); pen.lineTo(x + 5, y); pen.lineTo(x, y + 5); pen.lineTo(x - 5, y); pen.closePath();
    pen.fill();
    pen.stroke();
  } else {
    for (const [ink, wide] of [[inks.bg, 4], [inks.red, 2]]) {
      pen.strokeStyle = ink;
      pen.lineWidth = wide;
      pen.beginPath();
      pen.moveTo(x - 4, y - 4); pen.lineTo(x + 4, y + 4); pen.moveTo(x + 4, y - 4); pen.lineTo(x - 4, y + 4);
      pen.stroke();
    }
  }
  pen.lineWidth = 1;
}

function arrow(pen, {from, to, each}, inks, chosen) {
  pen.strokeStyle = pen.fillStyle = chosen ? inks.fg : each.delivered === null ? inks.red : inks.dim;
  pen.lineWidth = chosen ? 2.5 : 1.2;
  pen.setLineDash(each.eager ? [5, 3] : []);
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(...to);
  pen.stroke();
  pen.setLineDash([]);
  pen.lineWidth = 1;
  if (each.arrived === null) return;
  const angle = Math.atan2(to[1] - from[1], to[0] - from[0]);
  pen.beginPath();
  pen.moveTo(...to);
  for (const turn of [-0.4, 0.4]) pen.lineTo(to[0] - 8 * Math.cos(angle + turn), to[1] - 8 * Math.sin(angle + turn));
  pen.closePath();
  pen.fill();
}

/** What is at a point of the canvas: a bar, else a mark, else an arrow, or null. */
export function hit(places, x, y) {
  const near = places.marks.find(each => Math.abs(each.x - x) <= 6 && Math.abs(each.y - y) <= 7);
  if (near) return {mark: near.each};
  const bar = places.bars.findLast(each => x >= each.left - 2 && x <= each.left + each.width + 2 && y >= each.top - 1 && y <= each.top + each.height + 1);
  if (bar) return {interval: bar.each};
  const close = places.arrows.find(each => distance(each, x, y) <= 5);
  return close ? {arrow: close.each} : null;
}

function distance({from, to}, x, y) {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const part = Math.max(0, Math.min(1, ((x - from[0]) * dx + (y - from[1]) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(x - from[0] - part * dx, y - from[1] - part * dy);
}
