// Timeline: who held what and who waited, as bars on one clock; messages as slanted arrows.
import {html, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState} from '../lib/preact.js';
import {url} from '../lib/api.js';
import {listen} from '../lib/events.js';
import {AXIS, draw, hit} from '../lib/gantt.js';
import {useKeys} from '../lib/keys.js';
import {KINDS, lasted, moment, rows} from '../lib/lanes.js';
import {change, go, to} from '../lib/router.js';
import {count, escaped, many} from '../lib/text.js';
import {isDark} from '../lib/theme.js';
import {Agent, Artifact, Field, Heading, Loading, Name, Notice, Panel, Table, Trouble, about, useData} from '../lib/ui.js';

const LIVE_S = 60, AGAIN_MS = 1000, SETTLED_MS = 150;

export default function Timeline({place}) {
  const {value, error} = useData('/api/timeline');
  const [, source] = place.parts;
  const sources = value?.sources ?? [];
  useEffect(() => {
    if (!source && sources.length) go(to('timeline', sources[0].id), {replace: true});
  }, [source, value]);
  const known = sources.find(each => each.id === source);
  return html`<${Heading} title="Timeline"/>
    ${error && html`<${Trouble} error=${error}/>`}
    ${!value && !error && html`<${Loading}/>`}
    ${sources.length > 1 && html`<div class="bar"><${Field} label="Of" kind="select" value=${source}
      change=${each => go(to('timeline', each))} choices=${sources.map(each => [each.id, `${escaped(each.label)}${each.kind === 'live' ? ' (live)' : ''}`])}/></div>`}
    ${value && source && (known
      ? html`<${Window} key=${source} source=${known} query=${place.query}/>`
      : html`<${Notice} kind="warn"><p>There is no timeline of that name.</p></${Notice}>`)}`;
}

const number = text => text === null || text === '' || !Number.isFinite(Number(text)) ? null : Number(text);

function Window({source, query}) {
  const live = source.kind === 'live';
  const from = number(query.get('from')), end = number(query.get('to'));
  const following = live && from === null && end === null;
  const span = following ? number(query.get('span')) ?? LIVE_S : null;
  const who = query.get('who') ?? '', hide = query.get('hide') ?? '', by = query.get('by') === 'agent' ? 'agent' : 'artifact';
  const hidden = useMemo(() => new Set(hide.split(',').filter(Boolean)), [hide]);
  const asked = url(`/api/timeline/${encodeURIComponent(source.id)}`, {from, to: end, span, who: who || null, hide: hide || null});
  const {value: found, error, loading, again} = useData(asked);
  useLive(live, again);
  const [moved, move] = useState(null);  // the window under the pointer, before it is fetched
  useEffect(() => move(null), [found]);
  const view = moved ?? (found && {from: found.from, to: found.to});
  const selected = chosen(query.get('at'));
  const select = each => change({at: each ? each.interval !== undefined ? each.interval : `m${each.arrow}` : ''});
  const settle = useRef(0);

  const show = useCallback((low, high) => {
    const next = clamp(low, high, found);
    move(next);
    clearTimeout(settle.current);
    settle.current = setTimeout(() => change({from: exact(next.from), to: exact(next.to), span: ''}), SETTLED_MS);
  }, [found]);
  useEffect(() => () => clearTimeout(settle.current), []);
  const zoom = useCallback((factor, at = null) => {
    if (!view) return;
    const wide = view.to - view.from;
    if (following && at === null) return change({span: String(Math.max(0.01, Math.min(wide * factor, found.last - found.first || 1)))});
    const fixed = at ?? (view.from + view.to) / 2, part = (fixed - view.from) / wide;
    show(fixed - part * wide * factor, fixed + (1 - part) * wide * factor);
  }, [view, show, following]);
  const pan = useCallback(part => view && show(...shifted(view, part * (view.to - view.from), found)), [view, show]);
  const fit = () => change(live ? {from: exact(found.first), to: exact(found.last), span: ''} : {from: '', to: ''});
  const follow = () => change({from: '', to: '', span: ''});
  const step = by => {
    const bars = found.intervals.filter(each => each.kind !== 'copy');
    const all = bars.length ? bars : found.intervals;
    const now = all.findIndex(each => each.id === selected?.interval);
    const next = all[now < 0 ? (by > 0 ? 0 : all.length - 1) : Math.max(0, Math.min(all.length - 1, now + by))];
    if (next) select({interval: next.id});
  };
  useKeys({
    '+': ['zoom in', () => zoom(1 / 2)],
    '-': ['zoom out', () => zoom(2)],
    0: ['fit the whole timeline', () => found && fit()],
    ArrowLeft: ['earlier', () => pan(-1 / 4)],
    ArrowRight: ['later', () => pan(1 / 4)],
    j: ['the next bar', () => found && step(1)],
    k: ['the bar before', () => found && step(-1)],
    l: ['follow a live store', () => live && follow()],
    Escape: ['close the details', () => selected ? select(null) : false],
  });
  if (error && !found) return html`<${Trouble} error=${error}/>`;
  if (!found) return html`<${Loading} what="Reading the recording"/>`;
  const toggle = kind => {
    const next = new Set(hidden);
    if (!next.delete(kind)) next.add(kind);
    change({hide: [...next].join(',')});
  };
  const grouped = found.artifacts.length > 0;
  return html`
    ${error && html`<${Trouble} error=${error}/>`}
    <div class="bar" role="group" aria-label="What is shown">
      <${Field} label="Agent or artifact" value=${who} change=${each => change({who: each, at: ''})} list="names" size="18"/>
      <datalist id="names">${[...found.agents, ...found.artifacts].slice(0, 200).map(each => html`<option key=${each} value=${each}/>`)}</datalist>
      ${grouped && html`<${Field} label="Rows by" kind="select" value=${by} change=${each => change({by: each === 'agent' ? each : ''})}
        choices=${[['artifact', 'artifact'], ['agent', 'agent']]}/>`}
      ${found.kinds.map(kind => html`<${Field} key=${kind} kind="check" value=${!hidden.has(kind)} change=${() => toggle(kind)}
        label=${html`<span class=${`swatch ${kind}`} aria-hidden="true"></span> ${KINDS[kind]}`}/>`)}
    </div>
    <div class="bar">
      <div class="actions" role="group" aria-label="The window">
        <button onClick=${() => pan(-1 / 4)} title="←">Earlier</button><button onClick=${() => pan(1 / 4)} title="→">Later</button>
        <button onClick=${() => zoom(1 / 2)} title="+">Zoom in</button><button onClick=${() => zoom(2)} title="-">Zoom out</button>
        <button onClick=${fit} title="0">Fit</button>
        ${live && html`<button aria-pressed=${following} onClick=${follow} title="l">Follow</button>`}
      </div>
      <${Said} found=${found} view=${view} loading=${loading}/>
    </div>
    ${found.remarks.map(each => html`<${Notice} key=${each} kind="warn"><p>${escaped(each)}</p></${Notice}>`)}
    ${live && html`<p class="dim">Publishes and refused writes are exact, from the store. Holds and waits are sampled while a page is open${
      found.sampled_since ? `, since ${moment(found.sampled_since, found, 1)}` : ''}: short ones are missed, and ends are those of the looks that saw them (broken edges).</p>`}
    <${Gantt} found=${found} view=${view} by=${by} selected=${selected} select=${select} show=${show} zoom=${zoom}/>
    ${selected && html`<${Detail} source=${source.id} found=${found} selected=${selected} close=${() => select(null)}/>`}
    <${Numbers} found=${found} selected=${selected} select=${select}/>`;
}

/** Asks again, at most once a second, when the store has moved. */
function useLive(live, again) {
  useEffect(() => {
    if (!live) return;
    let due = 0, asked = 0;
    const soon = () => {
      if (due) return;
      due = setTimeout(() => { due = 0; asked = Date.now(); again(); }, Math.max(0, asked + AGAIN_MS - Date.now()));
    };
    // The stream keeps the poller looking; the clock goes on without it.
    const stop = listen('/api/team/events', {team: soon, moved: soon});
    const clock = setInterval(() => document.hidden || soon(), 2 * AGAIN_MS);
    return () => { stop(); clearInterval(clock); clearTimeout(due); };
  }, [live, again]);
}

const chosen = text => !text ? null : text.startsWith('m') ? {arrow: Number(text.slice(1))} : {interval: Number(text)};
const exact = value => String(Number(value.toPrecision(15)));

/** A window within the timeline, of which at least a billionth is shown. */
function clamp(low, high, {first, last}) {
  const whole = last - first || 1;
  const wide = Math.min(Math.max(high - low, whole * 1e-9, Math.abs(last) * 1e-15), whole);
  const from = Math.max(first, Math.min(low, last - wide));
  return {from, to: from + wide};
}

function shifted(view, by, {first, last}) {
  const within = Math.max(first - view.from, Math.min(by, last - view.to));
  return [view.from + within, view.to + within];
}

function Said({found, view, loading}) {
  const step = (view.to - view.from) / 100 || 1, scale = Math.max(Math.abs(view.from), Math.abs(view.to));
  const {more} = found;
  const left = [[more.intervals, 'interval'], [more.marks, 'mark'], [more.arrows, 'message']].filter(([n]) => n);
  return html`<p class="said" role="status">
    <span class="number">${moment(view.from, found, step, scale)} to ${moment(view.to, found, step, scale)}</span>
    <span class="dim">, ${lasted(view.to - view.from, found)} of ${lasted(found.last - found.first, found)}</span>;
    ${' '}${found.intervals.length || !found.arrows.length ? many(found.intervals.length, 'interval') : many(found.arrows.length, 'message')}
    <span class="dim"> in ${count(found.lanes.length)} of ${many(found.lanes_of_whole, 'lane')}</span>${loading && html`<span class="dim"> …</span>`}
    ${left.length > 0 && html`<br/><strong>${left.map(([n, what]) => many(n, `more ${what}`)).join(', ')}</strong>: zoom in, or filter.`}</p>`;
}

function Gantt({found, view, by, selected, select, show, zoom}) {
  const layout = useMemo(() => rows(found, by), [found, by]);
  const box = useRef(), canvas = useRef(), places = useRef({bars: [], marks: [], arrows: []}), drag = useRef(null);
  const [size, resize] = useState({width: 0, height: 0, scroll: 0});
  const [tip, setTip] = useState(null);
  const dark = isDark.value;
  useLayoutEffect(() => {
    const look = () => resize(old => {
      const next = {width: canvas.current.parentNode.clientWidth, height: box.current.clientHeight, scroll: box.current.scrollTop};
      return old.width === next.width && old.height === next.height && old.scroll === next.scroll ? old : next;
    });
    look();
    const sized = new ResizeObserver(look);
    sized.observe(box.current);
    box.current.addEventListener('scroll', look, {passive: true});
    const node = box.current;
    return () => { sized.disconnect(); node.removeEventListener('scroll', look); };
  }, []);
  useLayoutEffect(() => {
    if (!size.width) return;
    places.current = draw(canvas.current, {layout, found, view, selected, dark, ...size});
  }, [layout, view.from, view.to, selected?.interval, selected?.arrow, dark, size]);
  useEffect(() => {
    const lane = found.intervals.find(each => each.id === selected?.interval)?.lane;
    const row = layout.lane.get(lane);
    if (!row) return;
    const node = box.current, low = row.top, high = row.top + row.height + AXIS;
    if (low < node.scrollTop) node.scrollTop = low;
    else if (high > node.scrollTop + node.clientHeight) node.scrollTop = high - node.clientHeight;
  }, [selected?.interval, layout]);

  const at = x => view.from + x / size.width * (view.to - view.from);
  const point = event => {
    const {left, top} = canvas.current.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };
  const down = event => {
    if (event.button) return;
    canvas.current.setPointerCapture(event.pointerId);
    drag.current = {x: event.clientX, view, moved: false};
  };
  const moves = event => {
    const [x, y] = point(event);
    const held = drag.current;
    if (held) {
      const by = (held.x - event.clientX) / size.width * (held.view.to - held.view.from);
      if (Math.abs(held.x - event.clientX) > 3) held.moved = true;
      if (held.moved) show(...shifted(held.view, by, found));
      return;
    }
    const what = hit(places.current, x, y);
    setTip(what && {what, x, y});
  };
  const up = event => {
    const held = drag.current;
    drag.current = null;
    if (!held || held.moved) return;
    const what = hit(places.current, ...point(event));
    select(what?.interval ? {interval: what.interval.id} : what?.arrow ? {arrow: what.arrow.id} : null);
  };
  useEffect(() => {
    // Not passive: with Ctrl, or sideways, the wheel moves the window and not the page.
    const wheel = event => {
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
      if (!event.ctrlKey && !sideways) return;
      event.preventDefault();
      if (event.ctrlKey) zoom(event.deltaY > 0 ? 1.25 : 0.8, at(point(event)[0]));
      else show(...shifted(view, (event.deltaX || event.deltaY) / size.width * (view.to - view.from), found));
    };
    const node = canvas.current;
    node.addEventListener('wheel', wheel, {passive: false});
    return () => node.removeEventListener('wheel', wheel);
  }, [view, size, zoom]);

  // A heading reaches over the chart, so it ends where the axis begins.
  const seen = layout.rows.filter(row => (row.group === undefined ? row.top + row.height : row.top + 2) >= size.scroll && row.top <= size.scroll + size.height);
  const words = `${many(found.intervals.length, 'interval')}, ${many(found.marks.length, 'mark')} and ${many(found.arrows.length, 'message')} in ${many(found.lanes.length, 'lane')}; the table below has them`;
  if (!layout.rows.length) return html`<p class="dim">Nothing in this window.</p>
    <div ref=${box} hidden><div><canvas ref=${canvas}></canvas></div></div>`;
  return html`<div class="gantt" ref=${box} tabindex="0" role="region" aria-label="Timeline" style=${{height: `min(70vh, ${layout.height + AXIS + 2}px)`}}>
    <div class="whole" style=${{height: `${layout.height + AXIS}px`}}>
      <div class="names" aria-hidden="true">${seen.map(row => html`<div key=${row.key} class=${row.group === undefined ? 'lane' : 'group'}
        style=${{top: `${row.top + AXIS}px`, height: `${row.height}px`}}><${Name} name=${row.group ?? row.name}/></div>`)}</div>
      <div class="chart-box">
        <canvas ref=${canvas} role="img" aria-label=${words} style=${{width: `${size.width}px`, height: `${size.height}px`}}
          onPointerDown=${down} onPointerMove=${moves} onPointerUp=${up} onPointerCancel=${() => { drag.current = null; }}
          onPointerLeave=${() => setTip(null)} onDblClick=${event => zoom(1 / 3, at(point(event)[0]))}></canvas>
        ${tip && html`<${Tip} ...${tip} found=${found} width=${size.width} scroll=${size.scroll}/>`}
      </div></div></div>`;
}

function Tip({what, x, y, found, width, scroll}) {
  const {interval, mark, arrow} = what;
  const lane = found.lanes.find(each => each.id === (interval ?? mark)?.lane);
  const lines = interval
    ? [`${KINDS[interval.kind]} ${interval.label}`, `${lasted((interval.to ?? found.last) - interval.from, found)}${interval.to === null ? ', not ended' : ''}${interval.exact ? '' : ', sampled'}`, interval.why]
    : mark ? [`${mark.kind} ${mark.label}`] : [arrow.label, arrow.delivered === null ? 'not delivered' : `delivered after ${lasted(arrow.delivered - arrow.sent, found)}`, arrow.why];
  const side = x > width / 2 ? {right: `${width - x + 12}px`} : {left: `${x + 12}px`};
  return html`<div class="tip" aria-hidden="true" style=${{top: `${scroll + y + 14}px`, ...side}}>
    ${lane && html`<div><${Name} name=${lane.artifact ? `${lane.agent}, ${lane.artifact}` : lane.agent}/></div>`}
    ${lines.filter(Boolean).map(each => html`<div>${escaped(each)}</div>`)}</div>`;
}

function Detail({source, found, selected, close}) {
  const shown = useRef();
  useEffect(() => shown.current?.scrollIntoView({block: 'nearest'}), [selected.interval, selected.arrow]);
  return html`<div ref=${shown}>${selected.arrow !== undefined
    ? html`<${Message} found=${found} id=${selected.arrow} close=${close}/>`
    : html`<${Bar} source=${source} found=${found} id=${selected.interval} close=${close}/>`}</div>`;
}

const Close = ({close}) => html`<button onClick=${close} title="Escape">Close</button>`;
const Fact = ({name, children}) => html`<div><dt>${name}</dt><dd>${children}</dd></div>`;

function Bar({source, found, id, close}) {
  const {value, error} = useData(`/api/timeline/${encodeURIComponent(source)}/interval/${id}`);
  const extra = html`<${Close} close=${close}/>`;
  if (error) return html`<${Panel} title="Details" extra=${extra}><${Trouble} error=${error}/></${Panel}>`;
  if (!value || value.interval.id !== id) return html`<${Panel} title="Details" extra=${extra}><${Loading}/></${Panel}>`;
  const {interval, lane, steps, more} = value, step = (found.to - found.from) / 1e4 || 1e-6;
  return html`<${Panel} title="Details" extra=${extra}>
    <dl class="facts"><${Fact} name="what">${KINDS[interval.kind]} ${escaped(interval.label)}</${Fact}>
      <${Fact} name="agent"><${Who} lane=${lane}/></${Fact}>
      ${lane.artifact && html`<${Fact} name="artifact"><${What} name=${lane.artifact}/></${Fact}>`}
      <${Fact} name="from">${moment(interval.from, found, step)}</${Fact}>
      <${Fact} name="to">${interval.to === null ? 'not ended' : moment(interval.to, found, step)}</${Fact}>
      <${Fact} name="lasted">${lasted((interval.to ?? found.last) - interval.from, found)}</${Fact}>
      ${interval.why && html`<${Fact} name=${lane.artifact ? 'how it ended' : 'why'}>${escaped(interval.why)}</${Fact}>`}
      <${Fact} name="known">${interval.exact ? 'exactly' : 'as sampled'}</${Fact}></dl>
    ${steps.length > 0 && html`<h3>The agent and the artifact's home in that time</h3>
      <${Table} caption="Steps of that time" rows=${steps.map((each, n) => ({...each, n}))} id=${row => row.n} columns=${[
        {title: 'at', cell: row => moment(row.at, found, step), number: true},
        {title: 'process', cell: row => html`<${Name} name=${row.process}/>`},
        {title: 'what happened', cell: row => escaped(row.event)},
        {title: 'step', cell: row => html`<code>${escaped(row.action)}</code>`},
        {title: 'sent', cell: row => escaped(row.sent.join(', '))},
      ]}/>${more > 0 && html`<p class="dim">${many(more, 'more step')}</p>`}`}</${Panel}>`;
}

function Message({found, id, close}) {
  const extra = html`<${Close} close=${close}/>`;
  const each = found.arrows.find(arrow => arrow.id === id);
  if (!each) return html`<${Panel} title="Details" extra=${extra}><p class="dim">That message is not in this window.</p></${Panel}>`;
  const step = (found.to - found.from) / 1e4 || 1e-6;
  const at = value => value === null ? 'not in this recording' : moment(value, found, step);
  return html`<${Panel} title="Details" extra=${extra}>
    <dl class="facts"><${Fact} name="message">${escaped(each.label)}</${Fact}>
      <${Fact} name="sent">${at(each.sent)}</${Fact}><${Fact} name="left its sender">${at(each.went)}</${Fact}>
      <${Fact} name="arrived">${at(each.arrived)}</${Fact}><${Fact} name="delivered">${at(each.delivered)}</${Fact}>
      <${Fact} name="eager">${each.eager ? 'yes: a secret of its recipient until it is released' : 'no'}</${Fact}>
      ${each.why && html`<${Fact} name="why">${escaped(each.why)}</${Fact}>`}</dl></${Panel}>`;
}

// Links where there is a page to lead to.
const Who = ({lane}) => about.value.has.team && lane.artifact ? html`<${Agent} name=${lane.agent}/>` : html`<${Name} name=${lane.agent}/>`;
const What = ({name}) => about.value.has.team ? html`<${Artifact} name=${name}/>` : html`<${Name} name=${name}/>`;

/** The same as tables. */
function Numbers({found, selected, select}) {
  const [open, toggle] = useState(false);
  const lanes = useMemo(() => new Map(found.lanes.map(each => [each.id, each])), [found]);
  const step = (found.to - found.from) / 1e4 || 1e-6;
  const at = value => value === null || value === undefined ? '' : moment(value, found, step);
  const grouped = found.artifacts.length > 0;
  const show = each => html`<button onClick=${() => select(each)} aria-pressed=${each.interval !== undefined
    ? selected?.interval === each.interval : selected?.arrow === each.arrow}>Details</button>`;
  return html`<details class="numbers" open=${open} onToggle=${event => toggle(event.target.open)}><summary>The same as tables</summary>${open && html`
    ${found.intervals.length > 0 && html`<h2>Intervals</h2><${Table} caption="Intervals" rows=${found.intervals} id=${row => row.id} columns=${[
      {title: 'kind', cell: row => KINDS[row.kind], sort: row => row.kind},
      {title: grouped ? 'agent' : 'process', cell: row => html`<${Name} name=${lanes.get(row.lane)?.agent ?? ''}/>`, sort: row => lanes.get(row.lane)?.agent ?? ''},
      ...grouped ? [{title: 'artifact', cell: row => html`<${Name} name=${lanes.get(row.lane)?.artifact ?? ''}/>`, sort: row => lanes.get(row.lane)?.artifact ?? ''}] : [],
      {title: 'what', cell: row => escaped(row.label)},
      {title: 'from', cell: row => at(row.from), sort: row => row.from, number: true},
      {title: 'lasted', cell: row => `${lasted((row.to ?? found.last) - row.from, found)}${row.to === null ? ' +' : ''}`, sort: row => (row.to ?? found.last) - row.from, number: true},
      {title: 'why', cell: row => escaped(row.why)},
      {title: 'known', cell: row => row.exact ? 'exactly' : 'sampled', sort: row => row.exact},
      {title: 'details', cell: row => show({interval: row.id})},
    ]}/>`}
    ${found.arrows.length > 0 && html`<h2>Messages</h2><${Table} caption="Messages" rows=${found.arrows} id=${row => row.id} columns=${[
      {title: 'message', cell: row => escaped(row.label)},
      {title: 'sent', cell: row => at(row.sent), sort: row => row.sent, number: true},
      {title: 'arrived', cell: row => at(row.arrived), sort: row => row.arrived ?? Infinity, number: true},
      {title: 'delivered after', cell: row => row.delivered === null ? 'never' : lasted(row.delivered - row.sent, found), sort: row => row.delivered === null ? Infinity : row.delivered - row.sent, number: true},
      {title: 'eager', cell: row => row.eager ? 'eager' : ''},
      {title: 'why', cell: row => escaped(row.why)},
      {title: 'details', cell: row => show({arrow: row.id})},
    ]}/>`}
    ${found.marks.length > 0 && html`<h2>Publishes and refused writes</h2><${Table} caption="Publishes and refused writes" rows=${found.marks.map((each, n) => ({...each, n}))} id=${row => row.n} columns=${[
      {title: 'what', cell: row => row.kind, sort: row => row.kind},
      {title: 'agent', cell: row => html`<${Name} name=${lanes.get(row.lane)?.agent ?? ''}/>`, sort: row => lanes.get(row.lane)?.agent ?? ''},
      {title: 'artifact', cell: row => html`<${Name} name=${lanes.get(row.lane)?.artifact ?? ''}/>`, sort: row => lanes.get(row.lane)?.artifact ?? ''},
      {title: 'version', cell: row => escaped(row.label)},
      {title: 'at', cell: row => at(row.at), sort: row => row.at, number: true},
    ]}/>`}`}</details>`;
}
