// What pages are made of.  Text of others is shown by `Name` or `Text`: isolated and escaped.
import {html, signal, useCallback, useEffect, useRef, useState} from './preact.js';
import {get} from './api.js';
import {to} from './router.js';
import {count, escaped} from './text.js';

/** What the server has told of itself: see `About` in coherence_console/shapes.py. */
export const about = signal(null);

/** The one h1 of a page; also the title of the tab. */
export function Heading({title, children}) {
  useEffect(() => { document.title = `${escaped(title)} · coherence console`; }, [title]);
  return html`<h1 tabindex="-1">${children ?? title}</h1>`;
}

/** A name of an artifact, an agent, a model: text of others. */
export const Name = ({name}) => html`<bdi class="name">${escaped(name)}</bdi>`;
export const Artifact = ({name, version}) => html`<a href=${to('artifact', name)}><${Name} name=${name}/></a>${
  version ? html`<span class="number dim">@${version}</span>` : ''}`;
export const Agent = ({name}) => html`<a href=${to('agent', name)}><${Name} name=${name}/></a>`;

/** A remark; `kind` is 'note', 'warn' or 'bad'. */
export const Notice = ({kind = 'note', children}) =>
  html`<div class=${`notice ${kind}`} role=${kind === 'bad' ? 'alert' : 'note'}>${children}</div>`;

/** An error of `api.js`, or any other. */
export const Trouble = ({error}) => html`<${Notice} kind="bad"><p>${sentence(error.message)}</p>${
  error.remedy && html`<p>${sentence(error.remedy)}</p>`}</${Notice}>`;

/** A text of an error begins with a small letter and has no end, as others quote it. */
const sentence = text => `${text[0]?.toUpperCase() ?? ''}${escaped(text.slice(1))}${/[.?!]$/.test(text) ? '' : '.'}`;

export const Loading = ({what = 'Loading'}) => html`<p class="dim" role="status">${what}…</p>`;

/** A section with a heading of its own. */
export function Panel({title, children, extra, class: name = "panel", ...rest}) {
  return html`<section class=${name} ...${rest}><header><h2>${title}</h2>${extra}</header>${children}</section>`;
}

/** A labelled input: `kind` 'search', 'select' with `choices` [[value, text], ...], or 'check'. */
export function Field({label, kind = 'search', value, change, choices, ...rest}) {
  const control = kind === 'select'
    ? html`<select value=${value} onChange=${e => change(e.target.value)} ...${rest}>
        ${choices.map(([each, text]) => html`<option value=${each} selected=${each === value}>${text}</option>`)}</select>`
    : kind === 'check'
      ? html`<input type="checkbox" checked=${value} onChange=${e => change(e.target.checked)} ...${rest}/>`
      : html`<input type=${kind} value=${value} spellcheck=${false} autocomplete="off"
          onInput=${e => change(e.target.value)} ...${rest}/>`;
  return html`<label class=${`field ${kind}`}>${kind === 'check' ? html`${control} ${label}` : html`<span>${label}</span> ${control}`}</label>`;
}

/**
 * The JSON of a URL, loaded again when the URL changes: `{value, error, loading, again}`.  While
 * another URL is loaded `value` is the last one.  A null URL loads nothing.
 */
export function useData(url) {
  const [got, set] = useState({});
  const [turn, next] = useState(0);
  useEffect(() => {
    if (!url) return;
    const control = new AbortController();
    get(url, {signal: control.signal}).then(
      value => set({value, url}),
      error => control.signal.aborted || set(old => ({...old, error, url})));
    return () => control.abort();
  }, [url, turn]);
  return {value: got.value, error: got.url === url ? got.error : undefined, loading: got.url !== url,
    again: useCallback(() => next(n => n + 1), [])};
}

/**
 * A table.  `columns` are `{title, cell(row), number, sort(row)}`; `id(row)` is unique.  More than
 * `most` rows are drawn when they are asked for.
 */
export function Table({caption, columns, rows, id, most = 200, empty = 'Nothing.'}) {
  const [shown, show] = useState(most);
  const [by, sortBy] = useState(null);
  if (!rows.length) return html`<p class="dim">${empty}</p>`;
  const column = by && columns[by.column];
  const key = column?.sort;
  const ordered = key ? [...rows].sort((a, b) => compare(key(a), key(b)) * (by.down ? -1 : 1)) : rows;
  const press = n => sortBy(old => old?.column === n ? {column: n, down: !old.down} : {column: n, down: columns[n].number});
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${caption}><table>
    <caption class="away">${caption}</caption>
    <thead><tr>${columns.map((each, n) => html`<th scope="col" class=${each.number ? 'number' : ''}
      aria-sort=${by?.column === n ? (by.down ? 'descending' : 'ascending') : undefined}>${each.sort
        ? html`<button class="bare" onClick=${() => press(n)}>${each.title}${by?.column === n ? (by.down ? ' ↓' : ' ↑') : ''}</button>`
        : each.title}</th>`)}</tr></thead>
    <tbody>${ordered.slice(0, shown).map(row => html`<tr key=${id(row)}>${columns.map(each =>
      html`<td class=${each.number ? 'number' : ''}>${each.cell(row)}</td>`)}</tr>`)}</tbody></table></div>
    ${rows.length > shown && html`<p><button onClick=${() => show(shown + 5 * most)}>Show more</button>
      <span class="dim"> ${count(rows.length - shown)} of ${count(rows.length)} are not shown</span></p>`}`;
}

const compare = (a, b) => typeof a === 'number' && typeof b === 'number' ? a - b : String(a) < String(b) ? -1 : a === b ? 0 : 1;

/**
 * A value of JSON as a tree, and what differs from `was`, its old value, down to the leaf.  Objects
 * may have a name as `$`.  Values deeper than `open` are closed at first.
 */
export function Tree({name, value, was, compared = was !== undefined, open = 2}) {
  const changed = compared && !same(value, was);
  const label = name === undefined ? '' : html`<span class="key"><${Name} name=${name}/>: </span>`;
  if (value === null || typeof value !== 'object') {
    const old = changed && (was === null || typeof was !== 'object') && was !== undefined;
    return html`<div class=${changed ? 'leaf changed' : 'leaf'}>${label}<${Leaf} value=${value}/>${
      changed && html` <span class="away">changed</span>`}${old && html` <del><span class="away">was </span><${Leaf} value=${was}/></del>`}</div>`;
  }
  const parts = Object.entries(value).filter(([key]) => key !== '$');
  const before = was !== null && typeof was === 'object' ? was : {};
  const gone = compared ? Object.keys(before).filter(key => key !== '$' && !(key in value)) : [];
  const type = value.$ ?? '';
  const sum = html`${label}<span class="dim">${escaped(type)}${Array.isArray(value) ? `[${parts.length}]` : parts.length ? '' : '{}'}</span>${
    changed && html` <span class="mark">changed</span>`}`;
  if (!parts.length && !gone.length) return html`<div class=${changed ? 'leaf changed' : 'leaf'}>${sum}</div>`;
  return html`<details open=${open > 0 || changed}><summary>${sum}</summary><div class="inside">
    ${parts.map(([key, each]) => html`<${Tree} key=${key} name=${key} value=${each} was=${before[key]} compared=${compared} open=${open - 1}/>`)}
    ${gone.map(key => html`<div class="leaf changed" key=${`gone ${key}`}><del><span class="away">removed </span><span class="key"><${Name} name=${key}/>: </span><${Leaf} value=${brief(before[key])}/></del></div>`)}
  </div></details>`;
}

const LONG = 200;

function Leaf({value}) {
  const [whole, show] = useState(false);
  const text = typeof value === 'string' ? escaped(value) : JSON.stringify(value) ?? 'none';
  if (text.length <= LONG || whole) return html`<bdi class="value">${text}</bdi>`;
  return html`<bdi class="value">${text.slice(0, LONG)}</bdi><button class="bare" onClick=${() => show(true)}>… ${count(text.length - LONG)} more</button>`;
}

const brief = value => value !== null && typeof value === 'object' ? JSON.stringify(value).slice(0, LONG) : value;

export function same(a, b) {
  if (a === b) return true;
  if (a === null || b === null || typeof a !== 'object' || typeof b !== 'object') return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every(key => key in b && same(a[key], b[key]));
}

/** Which rows of a list in a scrolling box are in view: `{ref, from, to}` of `number` rows. */
export function useWindow(number, rowPx, headPx = 0, spare = 6) {
  const ref = useRef();
  const [[top, height], set] = useState([0, 600]);
  useEffect(() => {
    const box = ref.current;
    const look = () => set(([t, h]) => t === box.scrollTop && h === box.clientHeight ? [t, h] : [box.scrollTop, box.clientHeight]);
    look();
    box.addEventListener('scroll', look, {passive: true});
    const sized = new ResizeObserver(look);
    sized.observe(box);
    return () => { box.removeEventListener('scroll', look); sized.disconnect(); };
  }, []);
  const from = Math.max(0, Math.floor((top - headPx) / rowPx) - spare);
  return {ref, top, height, from, to: Math.min(number, Math.ceil((top + height) / rowPx) + spare)};
}
