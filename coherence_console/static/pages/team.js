// The live matrix of artifacts and agents; cards where it would not fit.
import {Component, html, useEffect, useMemo, useRef, useState} from '../lib/preact.js';
import {useKeys} from '../lib/keys.js';
import {change, go, to} from '../lib/router.js';
import {bytes, count, escaped, iso, many, span, time} from '../lib/text.js';
import {
  agents, cellsOf, clock, held, isContested, left, link, ORDERS, pause, paused, refused, rows, SHOWN, tick, totals, trouble, useTeam,
} from '../lib/team.js';
import {Agent, Artifact, Field, Heading, Loading, Name, Notice, Panel, Table, Trouble, useData, useWindow} from '../lib/ui.js';

const NARROW = matchMedia('(max-width: 820px)');
const ROW = 24, HEAD = 96, CARD = 88;
/** The order of rows is made again at most so often, and not while someone is in them. */
const ORDER_MS = 1000;
const STATES = {
  connecting: 'connecting', live: 'live', waiting: 'the console does not answer', hidden: 'paused',
  refused: 'no access', trouble: 'the store does not answer',
};

export default function Team({place}) {
  useTeam();
  const query = Object.fromEntries(place.query);
  const narrow = useNarrow();
  const [busy, setBusy] = useState(false);
  const filter = query.filter ?? '', order = query.order in ORDERS ? query.order : 'contested';
  const shown = query.show in SHOWN ? query.show : 'all';
  const chosen = query.artifact ?? '';
  const search = useRef();
  const list = useOrdered(filter, order, shown, query.agent ?? '', busy);
  useKeys({
    '/': ['go to the filter', () => search.current?.querySelector('input').focus()],
    p: ['pause, and go on', () => pause(!paused.value)],
  });
  tick.value;
  const loading = link.value === 'connecting' && !rows.size;
  return html`<${Heading} title="Team"/>
    <${Totals}/>
    ${trouble.value && html`<${Trouble} error=${trouble.value}/>`}
    <div class="bar" ref=${search}>
      <${Field} label="Filter" value=${filter} change=${text => change({filter: text})} placeholder="artifact or agent"/>
      <${Field} label="Show" kind="select" value=${shown} change=${each => change({show: each === 'all' ? '' : each})}
        choices=${[['all', 'all'], ['contested', 'contested'], ['held', 'held'], ['waiting', 'waited for'], ['refused', 'refused']]}/>
      <${Field} label="Order" kind="select" value=${order} change=${each => change({order: each === 'contested' ? '' : each})}
        choices=${[['contested', 'contested first'], ['recent', 'written last'], ['copies', 'most copies'], ['name', 'name']]}/>
      ${query.agent && html`<span>Of <${Agent} name=${query.agent}/> <button onClick=${() => change({agent: ''})}>Of all</button></span>`}
      <span class="dim number">${list.length === rows.size ? '' : `${count(list.length)} of ${count(rows.size)}`}</span>
    </div>
    ${!narrow && html`<${Legend}/>`}
    ${loading ? html`<${Loading}/>` : !list.length ? html`<p class="dim">${rows.size ? 'No artifact matches.' : 'No artifact was written yet.'}</p>`
      : narrow ? html`<${Cards} list=${list}/>`
        : html`<${Matrix} list=${list} agents=${agents.value} chosen=${chosen} busy=${setBusy}/>`}
    ${chosen && !narrow && html`<${Details} name=${chosen}/>`}
    <div class="columns below"><${Refused}/><${Saved}/></div>`;
}

function useNarrow() {
  const [narrow, set] = useState(NARROW.matches);
  useEffect(() => {
    const on = () => set(NARROW.matches);
    NARROW.addEventListener('change', on);
    return () => NARROW.removeEventListener('change', on);
  }, []);
  return narrow;
}

const lower = new Map();
function lowered(text) {
  let found = lower.get(text);
  if (found === undefined) lower.set(text, found = text.toLowerCase());
  return found;
}

/** The rows that match, in an order that is held while `busy`, and is not made again at once. */
function useOrdered(filter, order, shown, agent, busy) {
  const kept = useRef({names: [], key: '', at: -Infinity, held: false});
  const [turn, next] = useState(0);
  const version = tick.value;
  const made = useMemo(() => {
    const text = filter.toLowerCase(), test = SHOWN[shown];
    const matches = row => test(row)
      && (!agent || row.author === agent || cellsOf(row).has(agent))
      && (!text || lowered(row.artifact).includes(text) || lowered(row.author).includes(text)
        || [...cellsOf(row).keys()].some(each => lowered(each).includes(text)));
    const key = JSON.stringify([filter, order, shown, agent]), old = kept.current;
    const hold = old.key === key && old.names.length && (busy || performance.now() - old.at < ORDER_MS);
    let list;
    if (hold) {
      const place = new Map(old.names.map((name, n) => [name, n]));
      list = old.names.map(name => rows.get(name)).filter(Boolean);
      for (const row of rows.values()) if (!place.has(row.artifact) && matches(row)) list.push(row);
    } else {
      list = [...rows.values()].filter(matches).sort(ORDERS[order]);
    }
    kept.current = {names: list.map(row => row.artifact), key, at: hold ? old.at : performance.now(), held: hold};
    return list;
  }, [version, filter, order, shown, agent, busy, turn]);
  useEffect(() => {
    // Where nothing moves any more, the order that was held is made all the same.
    if (busy || !kept.current.held) return;
    const timer = setTimeout(() => next(n => n + 1), ORDER_MS);
    return () => clearTimeout(timer);
  }, [made, busy]);
  return made;
}

function Totals() {
  const sums = totals.value, state = link.value;
  const [spoken, speak] = useState('');
  const words = `${many(sums.artifacts, 'artifact')}, ${many(sums.agents, 'agent')}, ${sums.held} held, ${sums.waiting} waiting, ${sums.refused} refused`;
  const last = useRef(words);
  last.current = words;
  useEffect(() => {
    // A reader of the screen hears the sums now and then, not five times a second.
    const timer = setInterval(() => { if (!paused.value) speak(last.current); }, 5000);
    return () => clearInterval(timer);
  }, []);
  return html`<div class="bar totals">
    <span class="number"><b>${count(sums.artifacts)}</b> ${sums.artifacts === 1 ? 'artifact' : 'artifacts'}</span>
    <span class="number"><b>${count(sums.agents)}</b> ${sums.agents === 1 ? 'agent' : 'agents'}</span>
    <span class="number"><b>${count(sums.held)}</b> held</span>
    <span class="number"><b>${count(sums.waiting)}</b> waiting</span>
    <span class="number"><b>${count(sums.refused)}</b> refused ${sums.refused === 1 ? 'write' : 'writes'} kept</span>
    <span class=${`tag ${state === 'live' ? 'good' : state === 'connecting' || state === 'hidden' ? '' : 'bad'}`}>${paused.value ? 'paused' : STATES[state]}</span>
    <button aria-pressed=${paused.value} onClick=${() => pause(!paused.value)}>${paused.value ? `Go on${held.value ? ` (${count(held.value)} moved)` : ''}` : 'Pause'}</button>
    <span class="away" role="status">${spoken}</span></div>`;
}

const Legend = () => html`<p class="legend">As homes know it:
  <span><i class="cell held">M</i> holds the grant</span> <span><i class="cell waits">1</i> waits for it, place 1</span>
  <span><i class="cell only">E</i> has the only copy</span> <span><i class="cell copy">S</i> has a copy of the current version</span>
  <span><i class="cell wrote">${'\u00a0'}</i> wrote it</span>
  <span class="dim">Older copies, and reads that a copy answers, are the caches' own affair: no home knows of them.</span></p>`;

// --- The matrix

/** The columns of a grid before the agents. */
const FIRST = ['artifact', 'version', 'grant', 'copies'];

function Matrix({list, agents, chosen, busy}) {
  const width = agents.length > 30 ? 15 : agents.length > 18 ? 22 : 30;
  const {ref, top, height, from, to: end} = useWindow(list.length, ROW, HEAD);
  const [[row, column], focus] = useState([0, 0]);
  const [inside, setInside] = useState(false);
  const pointer = useRef(false);
  const columns = FIRST.length + agents.length;
  const at = Math.min(row, list.length - 1), on = Math.min(column, columns - 1);
  const roomy = agents.length <= 18;
  const template = `minmax(190px, ${roomy ? '460px' : '1fr'}) 60px 122px 54px repeat(${agents.length}, ${width}px)`;
  // The row that has the focus is always drawn, so that its cell can be named.
  const drawn = [];
  for (let n = from; n < end; n++) drawn.push(n);
  const move = (r, c) => {
    r = Math.max(0, Math.min(list.length - 1, r));
    c = Math.max(0, Math.min(columns - 1, c));
    focus([r, c]);
    const box = ref.current, y = r * ROW;
    if (y < box.scrollTop) box.scrollTop = y;
    else if (y + ROW + HEAD > box.scrollTop + box.clientHeight) box.scrollTop = y + ROW + HEAD - box.clientHeight;
    if (c >= FIRST.length && box.scrollWidth > box.clientWidth) {
      const x = (c - FIRST.length) * width, room = box.clientWidth - (box.scrollWidth - agents.length * width);
      if (x < box.scrollLeft) box.scrollLeft = x;
      else if (x + width > box.scrollLeft + room) box.scrollLeft = x + width - room;
    }
  };
  const page = Math.max(1, Math.floor((height - HEAD) / ROW) - 1);
  const key = event => {
    if (event.ctrlKey && !['Home', 'End'].includes(event.key) || event.metaKey || event.altKey) return;
    const step = {
      ArrowDown: [at + 1, on], ArrowUp: [at - 1, on], ArrowRight: [at, on + 1], ArrowLeft: [at, on - 1],
      PageDown: [at + page, on], PageUp: [at - page, on],
      Home: event.ctrlKey ? [0, 0] : [at, 0], End: event.ctrlKey ? [list.length - 1, columns - 1] : [at, columns - 1],
    }[event.key];
    if (step) move(...step);
    else if (event.key === 'Enter' && on === 0) go(to('artifact', list[at].artifact));
    else if (event.key === 'Enter' || event.key === ' ') change({artifact: chosen === list[at].artifact ? '' : list[at].artifact});
    else if (event.key === 'Escape' && chosen) change({artifact: ''});
    else return;
    event.preventDefault();
  };
  const tell = () => busy(pointer.current || inside);
  useEffect(tell, [inside]);
  useEffect(() => () => busy(false), []);
  const press = event => {
    const cell = event.target.closest('[data-row]');
    if (!cell || event.target.closest('a')) return;
    const r = Number(cell.dataset.row);
    focus([r, Number(event.target.closest('[data-column]')?.dataset.column ?? 0)]);
    change({artifact: chosen === list[r].artifact ? '' : list[r].artifact});
  };
  return html`<div class="matrix" style=${{maxHeight: `${HEAD + list.length * ROW + 20}px`}} ref=${ref} role="grid" tabindex="0" aria-label="Artifacts and agents" aria-rowcount=${list.length + 1} aria-colcount=${columns}
      aria-activedescendant=${inside && at >= from && at < end ? `cell-${at}-${on}` : undefined}
      onKeyDown=${key} onClick=${press} onFocus=${() => setInside(true)} onBlur=${() => setInside(false)}
      onPointerEnter=${() => { pointer.current = true; tell(); }} onPointerLeave=${() => { pointer.current = false; tell(); }}>
    <div class="row head" role="row" aria-rowindex="1" style=${{gridTemplateColumns: template}}>
      ${FIRST.map((name, n) => html`<span role="columnheader" class=${n === 0 ? 'first' : 'number'} aria-colindex=${n + 1}>${name}</span>`)}
      ${agents.map((each, n) => html`<span key=${each.agent} role="columnheader" class="agent" aria-colindex=${FIRST.length + n + 1} title=${escaped(each.agent)}><${Name} name=${each.agent}/></span>`)}
    </div>
    <div role="rowgroup" class="body" style=${{height: `${list.length * ROW}px`}}>
      ${drawn.map(n => html`<${Row} key=${list[n].artifact} row=${list[n]} n=${n} agents=${agents} template=${template} wide=${roomy ? 64 : 34}
        chosen=${chosen === list[n].artifact} active=${inside && n === at ? on : -1}/>`)}
    </div></div>`;
}

/** One artifact: drawn again only if it, its place or the focus in it has changed. */
class Row extends Component {
  shouldComponentUpdate(next) {
    for (const name in next) if (next[name] !== this.props[name]) return true;
    return false;
  }

  render({row, n, agents, template, wide, chosen, active}) {
    const cells = cellsOf(row);
    const cell = (column, kind, children, words) => html`<span key=${column} role="gridcell" id=${`cell-${n}-${column}`} aria-colindex=${column + 1}
      data-column=${column} class=${`${kind}${active === column ? ' active' : ''}`} style=${{gridColumn: column + 1}} title=${words} aria-label=${words}>${children}</span>`;
    return html`<div class=${`row${row.holder ? ' busy' : ''}${chosen ? ' chosen' : ''}`} role="row" aria-rowindex=${n + 2} aria-selected=${chosen} data-row=${n}
        style=${{top: `${n * ROW}px`, gridTemplateColumns: template}}>
      <span role="rowheader" id=${`cell-${n}-0`} aria-colindex="1" data-column="0" class=${`first${active === 0 ? ' active' : ''}`} title=${escaped(row.artifact)}>
        <a tabindex="-1" href=${to('artifact', row.artifact)} aria-label=${escaped(row.artifact)}><${Name} name=${middle(row.artifact, wide)}/></a></span>
      ${cell(1, 'number', html`@${row.version}${row.skipped ? html`<small class="dim" title="versions since the look before"> +${row.skipped}</small>` : ''}`)}
      ${cell(2, 'number grant', html`<${Grant} row=${row}/>`)}
      ${cell(3, 'number', row.copies.length || '')}
      ${agents.map(({agent}, each) => {
        const found = cells.get(agent), wrote = row.author === agent;
        if (!found && !wrote && active !== each + FIRST.length) return null;
        const words = `${escaped(agent)}: ${[found?.[2], wrote && 'wrote the current version'].filter(Boolean).join(', ') || 'nothing that its home knows of'}`;
        return cell(each + FIRST.length, `cell ${found?.[0] ?? ''}${wrote ? ' wrote' : ''}`, found?.[1] ?? '', words);
      })}</div>`;
  }
}

/** A name in the room that there is: cut before its last part, which tells it from its neighbours. */
function middle(name, wide) {
  if (name.length <= wide) return name;
  const end = Math.min(Math.max(name.length - name.lastIndexOf('/'), wide / 2), wide - 6);
  return `${name.slice(0, wide - end - 1)}…${name.slice(-end)}`;
}

/** The lease as it runs down, and the queue. */
function Grant({row}) {
  const seconds = left(row);
  return html`${row.holder && (seconds === null ? 'held' : seconds <= 0 ? html`<b class="bad">lease over</b>` : html`${span(seconds)} left`)}${
    row.waiting.length ? html` <b>${row.waiting.length} wait</b>` : ''}${
    !row.holder && !row.waiting.length && row.refused ? html`<span class="bad">${row.refused} refused</span>` : ''}`;
}

// --- Cards

function Cards({list}) {
  const {ref, from, to: end} = useWindow(list.length, CARD);
  return html`<div class="cards" style=${{maxHeight: `${list.length * CARD + 2}px`}} ref=${ref} tabindex="0" role="region" aria-label="Artifacts"><ul class="body" style=${{height: `${list.length * CARD}px`}}>
    ${list.slice(from, end).map((row, n) => html`<${Card} key=${row.artifact} row=${row} top=${(from + n) * CARD} place=${from + n + 1} size=${list.length}/>`)}</ul></div>`;
}

class Card extends Component {
  shouldComponentUpdate(next) { return next.row !== this.props.row || next.top !== this.props.top || next.size !== this.props.size; }

  render({row, top, place, size}) {
    const waiting = row.waiting.length;
    return html`<li class="card" style=${{top: `${top}px`}} aria-setsize=${size} aria-posinset=${place}>
      <p class="line"><${Artifact} name=${row.artifact} version=${row.version}/></p>
      <p class="line">${row.holder && html`<span class="tag held"><${Name} name=${row.holder}/> <${Grant} row=${{...row, waiting: []}}/></span> `}${
        waiting ? html`<span class="tag waiting">${waiting} wait</span> ` : ''}${
        row.refused ? html`<span class="tag bad">${row.refused} refused</span>` : ''}${
        !isContested(row) && html`<span class="dim">not contested</span>`}</p>
      <p class="line dim">${row.copies.length === 1 ? '1 copy' : `${row.copies.length} copies`}${row.author && html` · by <${Name} name=${row.author}/>, <${Ago} at=${row.at}/>`}</p></li>`;
  }
}

const Ago = ({at}) => html`<time dateTime=${iso(at)} title=${time(at)}>${span(clock.value - at)} ago</time>`;

// --- What else there is to know

function Details({name}) {
  tick.value;
  const row = rows.get(name);
  const end = html`<button onClick=${() => change({artifact: ''})}>Close</button>`;
  if (!row) return html`<${Panel} title=${html`<${Name} name=${name}/>`} extra=${end} class="panel details"><p>This artifact does not exist.</p></${Panel}>`;
  return html`<${Panel} title=${html`<${Artifact} name=${name} version=${row.version}/>`} extra=${end} class="panel details">
    <${Standing} row=${row}/></${Panel}>`;
}

/** An artifact as its home knows it, in words. */
export function Standing({row}) {
  const agent = each => html`<${Agent} name=${each}/>`;
  const seconds = left(row);
  return html`<dl class="facts">
    <div><dt>written</dt><dd>${row.author ? html`by ${agent(row.author)}, <${Ago} at=${row.at}/>` : 'author not kept'}, ${bytes(row.size_bytes)}</dd></div>
    <div><dt>grant</dt><dd>${row.holder ? html`<span class="tag held">M</span> ${agent(row.holder)}${seconds === null ? '' : seconds > 0 ? `, ${span(seconds)} left` : ', the lease is over: the next who asks gets it'}` : 'free'}</dd></div>
    <div><dt>waiting</dt><dd>${row.waiting.length ? html`<ol class="plain inline">${row.waiting.map(({agent: each, seen}, n) => html`<li key=${each}><span class="tag waiting">${n + 1}</span> ${agent(each)} <span class="dim">seen for ${span(clock.value - seen)}</span></li>`)}</ol>` : 'no agent'}</dd></div>
    <div><dt>copies</dt><dd>${row.copies.length ? html`<ul class="plain inline">${row.copies.map(each => html`<li key=${each}>${agent(each)}</li>`)}</ul>` : 'none that home knows of'}</dd></div>
    <div><dt>refused</dt><dd>${row.refused ? many(row.refused, 'write') : 'nothing that is kept'}</dd></div></dl>`;
}

function Refused() {
  const list = [...refused.value].reverse().slice(0, 12);
  return html`<${Panel} title="Writes refused last">
    <${Table} caption="Writes refused last" rows=${list} id=${each => `${each.at} ${each.agent} ${each.artifact}`} empty="None is kept: writers keep them with Limits(refusals=N)."
      columns=${[
        {title: 'artifact', cell: each => html`<${Artifact} name=${each.artifact}/>`},
        {title: 'agent', cell: each => html`<${Agent} name=${each.agent}/>`},
        {title: 'why', cell: each => reason(each)},
        {title: 'when', number: true, cell: each => html`<${Ago} at=${each.at}/>`},
      ]}/></${Panel}>`;
}

/** Why a write was refused. */
export const reason = each => each.kind === 'fenced' ? `its grant had ended; @${each.current} is current`
  : `derived from ${each.base ? `@${each.base}` : 'nothing'}, @${each.current} is current`;

function Saved() {
  const {value, error, again} = useData('/api/tokens');
  useEffect(() => {
    const timer = setInterval(() => { if (!document.hidden && !paused.value) again(); }, 30000);
    return () => clearInterval(timer);
  }, []);
  if (error) return html`<${Panel} title="Tokens saved"><${Trouble} error=${error}/></${Panel}>`;
  const total = value?.total;
  return html`<${Panel} title="Tokens saved">${!value ? html`<${Loading}/>` : !total ? html`<${Notice}><p>This store keeps no counts.</p></${Notice}>` : html`
    <p><b class="number">${count(total.saved_tokens)}</b> of the ${count(total.refetch_tokens)} that whole texts would have cost (${
      total.refetch_tokens ? Math.round(100 * total.saved_tokens / total.refetch_tokens) : 0} %), in ${many(total.reads, 'read')}.
      <span class="dim"> From the store's counts of all days; an agent's last minute may be missing.</span></p>
    <${Table} caption="Tokens by agent" rows=${value.agents} id=${each => each.name} most=${8} columns=${[
      {title: 'agent', cell: each => html`<${Agent} name=${each.name}/>`, sort: each => each.name},
      {title: 'reads', number: true, cell: each => count(each.reads), sort: each => each.reads},
      {title: 'saved', number: true, cell: each => count(each.saved_tokens), sort: each => each.saved_tokens},
      {title: 'writes', number: true, cell: each => count(each.writes), sort: each => each.writes},
      {title: 'refused', number: true, cell: each => count(each.conflicts), sort: each => each.conflicts},
    ]}/>`}</${Panel}>`;
}
