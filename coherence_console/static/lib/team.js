// The team as the server sees it, kept up to date while a page shows it: one stream for all of them.
import {computed, signal, useEffect} from './preact.js';
import {listen} from './events.js';
import {setClock} from './text.js';

/** Artifacts by name; each row is replaced, never changed.  Read `tick` to be drawn again. */
export const rows = new Map();
export const tick = signal(0);
export const agents = signal([]);
/** The newest refused writes, oldest first. */
export const refused = signal([]);
/** 'connecting', 'live', 'waiting', 'hidden', 'refused', or 'trouble' with the store's error. */
export const link = signal('connecting');
export const trouble = signal(null);
/** While it is paused, events are kept and not shown; how many artifacts have moved meanwhile. */
export const paused = signal(false);
export const held = signal(0);

let look = 0, kept = new Map(), keptAgents = null, keptRefused = null, frame = 0, stop = null, users = 0, linger = 0;

// The store's clock, as the last event told it, and how far this page's own has run since.
let told = 0, at = 0;
export const now = () => told + (performance.now() - at) / 1000;
/** The store's clock, drawn twice a second. */
export const clock = signal(0);
let ticking = 0;

function hear(event) {
  setClock(told = event.now);
  at = performance.now();
  look = event.look;
}

function whole(event) {
  hear(event);
  const gone = new Set(rows.keys());
  for (const row of event.artifacts) gone.delete(row.artifact);
  keep(event.artifacts, gone, event.agents, event.refused);
  settled();
}

function moved(event) {
  if (event.look <= look) return;
  hear(event);
  keep(event.artifacts, event.gone, event.agents, event.refused);
  settled();
}

function settled() {
  link.value = 'live';
  trouble.value = null;
}

function keep(artifacts, gone, members, refusals) {
  for (const row of artifacts) kept.set(row.artifact, row);
  for (const name of gone) kept.set(name, null);
  keptAgents = members ?? keptAgents;
  keptRefused = refusals ?? keptRefused;
  if (paused.value) held.value = kept.size;
  else frame ||= requestAnimationFrame(show);
}

/** Show what is kept: at most once a frame, however many events come. */
function show() {
  frame = 0;
  for (const [name, row] of kept) {
    if (!row) rows.delete(name);
    else {
      const before = rows.get(name);
      // What lay between two looks was not seen; the version tells how much of it was published.
      if (before && row.version > before.version + 1) row.skipped = row.version - before.version;
      rows.set(name, row);
    }
  }
  if (keptAgents) agents.value = keptAgents;
  if (keptRefused) refused.value = keptRefused;
  kept = new Map();
  keptAgents = keptRefused = null;
  clock.value = now();
  tick.value++;
}

export function pause(on) {
  paused.value = on;
  held.value = 0;
  if (!on) show();
}

/** Keep the team up to date while the component is shown. */
export function useTeam() {
  useEffect(() => {
    users++;
    clearTimeout(linger);
    stop ??= listen('/api/team/events', {
      team: whole,
      moved,
      trouble: event => { trouble.value = event; link.value = 'trouble'; },
    }, (state, error) => {
      if (state !== 'live') link.value = state;
      if (error) trouble.value = error;
    });
    ticking ||= setInterval(() => { if (!paused.value) clock.value = now(); }, 500);
    return () => {
      users--;
      // From one page to the next, the stream goes on.
      linger = setTimeout(() => {
        if (users) return;
        stop?.();
        stop = null;
        look = 0;
        clearInterval(ticking);
        ticking = 0;
      }, 2000);
    };
  }, []);
}

/** Seconds until a lease ends, on the store's clock. */
export const left = row => row.until === null ? null : row.until - clock.value;

const cells = new WeakMap();

/**
 * What an artifact is to an agent: a Map of agent to `[kind, letter, words]`.  The kinds are
 * 'held', 'waits', 'only' and 'copy'.
 */
export function cellsOf(row) {
  let found = cells.get(row);
  if (found) return found;
  found = new Map();
  const only = row.copies.length === 1;
  for (const agent of row.copies) found.set(agent, only ? ['only', 'E', 'has the only copy'] : ['copy', 'S', 'has a copy']);
  row.waiting.forEach(({agent}, n) => found.set(agent, ['waits', n < 9 ? String(n + 1) : '+', `waits for the grant, place ${n + 1}`]));
  if (row.holder) found.set(row.holder, ['held', 'M', 'holds the grant']);
  cells.set(row, found);
  return found;
}

export const isContested = row => row.holder || row.waiting.length || row.refused;

export const ORDERS = {
  contested: (a, b) => b.waiting.length - a.waiting.length || b.refused - a.refused || !a.holder - !b.holder || b.at - a.at || byName(a, b),
  recent: (a, b) => b.at - a.at || byName(a, b),
  copies: (a, b) => b.copies.length - a.copies.length || byName(a, b),
  name: byName,
};
function byName(a, b) { return a.artifact < b.artifact ? -1 : a.artifact > b.artifact ? 1 : 0; }

export const SHOWN = {
  all: () => true,
  contested: isContested,
  held: row => row.holder,
  waiting: row => row.waiting.length,
  refused: row => row.refused,
};

/** Sums over all artifacts. */
export const totals = computed(() => {
  tick.value;
  let holding = 0, waiting = 0, denied = 0;
  for (const row of rows.values()) {
    if (row.holder) holding++;
    waiting += row.waiting.length;
    denied += row.refused;
  }
  return {artifacts: rows.size, agents: agents.value.length, held: holding, waiting, refused: denied};
});
