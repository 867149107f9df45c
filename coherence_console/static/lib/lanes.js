// Lanes of a timeline as rows: pure, from a window of the API to what is drawn where.

export const BAR = 15, STRIP = 6, PAD = 4, HEAD = 24, DEEP = 6, RAIL = 9;

/** The kinds in the order of their importance, with the word for each. */
export const KINDS = {
  held: 'held', waits: 'waits', secret: 'secret', copy: 'copy',
  published: 'published', refused: 'refused', message: 'message',
};

/**
 * The rows of a window: headings of groups and lanes, from top to bottom, each with `top` and
 * `height`.  Bars of one lane that overlap are below each other, at most `DEEP` of them; where
 * messages are drawn, a rail above the bars has their ends.
 */
export function rows(found, by) {
  const bars = new Map(found.lanes.map(lane => [lane.id, []]));
  const strips = new Set();
  for (const each of found.intervals) {
    if (each.kind === 'copy') strips.add(each.lane);
    else bars.get(each.lane)?.push(each);
  }
  const other = by === 'agent' ? 'artifact' : 'agent';
  const lanes = [...found.lanes].sort((a, b) => order(a[by], b[by]) || order(a[other], b[other]));
  const made = [], lane = new Map(), depth = new Map();
  const rail = found.arrows.length ? RAIL : 0;
  const grouped = found.lanes.some(each => each.artifact);
  let top = 0, group = null;
  for (const each of lanes) {
    if (grouped && each[by] !== group) {
      group = each[by];
      made.push({key: `group ${group}`, group, top, height: HEAD});
      top += HEAD;
    }
    const deep = stack(bars.get(each.id), depth, found.to);
    const height = PAD + rail + Math.max(rail ? 0 : 1, deep) * BAR + (strips.has(each.id) ? STRIP : 0) + PAD;
    const row = {key: each.id, lane: each, name: grouped ? each[other] : each.agent, top, height, rail};
    lane.set(each.id, row);
    made.push(row);
    top += height;
  }
  return {rows: made, lane, depth, height: top};
}

/** Gives each bar its depth; how many bars lie below each other. */
function stack(bars, depth, end) {
  const ends = [];
  for (const each of bars) {
    let place = ends.findIndex(last => last <= each.from);
    if (place < 0) place = Math.min(ends.length, DEEP - 1);
    ends[place] = Math.max(ends[place] ?? -Infinity, each.to ?? end);
    depth.set(each.id, place);
  }
  return ends.length;
}

const order = (a, b) => a < b ? -1 : a > b ? 1 : 0;

/** Moments for the marks of an axis: round numbers, about one each `apart` pixels. */
export function ticks(from, to, width, apart = 110) {
  const raw = (to - from) / Math.max(1, width / apart);
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(n => n * size).find(n => n >= raw) ?? raw;
  const made = [];
  for (let n = Math.ceil(from / step); n * step <= to && made.length < 50; n++) made.push(n * step);
  return {made, step};
}

const UNITS = [[1e-6, 'µs'], [1e-3, 'ms'], [1, 's'], [60, 'min'], [3600, 'h'], [86400, 'd']];

/** A duration in the unit that fits it: 3.2 ms; of a simulation without a unit. */
export function lasted(duration, {unit}) {
  const [size, name] = unit === 's' ? unitOf(Math.abs(duration)) : [1, ''];
  const value = duration / size;
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return `${Number(value.toFixed(digits))} ${name}`.trim();
}

const unitOf = scale => UNITS.findLast(([each]) => scale >= each) ?? UNITS[0];
const digitsOf = step => Math.min(9, Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)));

/**
 * A moment: the time of day where the date is known, else what has passed since the beginning, in
 * the unit that fits `scale`.  `step` is how exact.
 */
export function moment(at, {start, unit}, step, scale = Math.abs(at)) {
  const seconds = start + at;
  if (unit !== 's' || seconds < 1e9) {
    const [size, name] = unit === 's' ? unitOf(scale) : [1, ''];
    return `${Number((at / size).toFixed(digitsOf(step / size)))} ${name}`.trim();
  }
  const date = new Date(seconds * 1000), two = n => String(n).padStart(2, '0'), digits = Math.min(6, digitsOf(step));
  const second = digits ? (seconds % 60).toFixed(digits).padStart(3 + digits, '0') : two(Math.floor(seconds % 60));
  const day = step >= 3600 ? `${two(date.getMonth() + 1)}-${two(date.getDate())} ` : '';
  return `${day}${two(date.getHours())}:${two(date.getMinutes())}:${second}`;
}
