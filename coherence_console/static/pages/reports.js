// Reports: the results in a folder, each opened, and the figures of two side by side.
import {html, useEffect, useMemo, useState} from '../lib/preact.js';
import {post, url} from '../lib/api.js';
import {change, go, to} from '../lib/router.js';
import {bytes, count, escaped, many, time} from '../lib/text.js';
import {Field, Heading, Loading, Name, Notice, Panel, Table, Trouble, useData} from '../lib/ui.js';

export default function Reports({place}) {
  const {value, error} = useData('/api/reports');
  const [, name] = place.parts;
  const results = value?.results ?? [];
  const found = name === undefined ? null : results.find(each => each.name === name);
  const other = place.query.get('with');
  return html`<${Heading} title=${name ?? 'Reports'}>${name === undefined ? 'Reports' : html`<${Name} name=${found?.title || name}/>`}</${Heading}>
    ${error && html`<${Trouble} error=${error}/>`}
    ${!value && !error && html`<${Loading}/>`}
    ${value && (name === undefined ? html`<${Listing} results=${results} more=${value.more}/>`
      : !found ? html`<${Back}/><${Notice} kind="warn"><p>There is no such result in the folder.</p></${Notice}>`
      : html`<${Back}/><${With} results=${results} found=${found} other=${other}/>
        ${found.kind === 'page' ? html`<${Pages} key=${`${name} ${other}`} names=${other ? [name, other] : [name]}/>`
          : other ? html`<${Comparison} key=${`${name} ${other}`} a=${name} b=${other} query=${place.query}/>`
          : html`<${Figures} key=${name} name=${name}/>`}`)}`;
}

const Back = () => html`<p><a href="/reports">All results</a></p>`;
const KIND = {page: 'page', figures: 'figures'};

function Listing({results, more}) {
  const [filter, set] = useState('');
  const part = filter.toLowerCase();
  const shown = useMemo(() => results.filter(each => `${each.name} ${each.title}`.toLowerCase().includes(part)), [results, part]);
  return html`<div class="bar"><${Field} label="Filter" value=${filter} change=${set}/>
      <span class="dim" role="status">${many(shown.length, 'result')}${more > 0 && `, and ${count(more)} more files that are not listed`}</span></div>
    <${Table} caption="Results" rows=${shown} id=${row => row.name} empty=${results.length
      ? 'No result has that in its name.'
      : html`No results yet. <code>coherence simulate compare planning --html FILE</code> makes a page; <code>--csv</code> and <code>--json</code> print figures.`} columns=${[
      {title: 'result', cell: row => html`<a href=${to('reports', row.name)}><${Name} name=${row.title || row.name}/></a>${
        row.title && html`<br/><span class="dim"><${Name} name=${row.name}/></span>`}`, sort: row => row.title || row.name},
      {title: 'kind', cell: row => KIND[row.kind], sort: row => row.kind},
      {title: 'changed', cell: row => time(row.at), sort: row => row.at, number: true},
      {title: 'size', cell: row => bytes(row.size_bytes), sort: row => row.size_bytes, number: true},
    ]}/>`;
}

/** Chooses what a result is compared with. */
function With({results, found, other}) {
  const others = results.filter(each => each.kind === found.kind && each.name !== found.name);
  if (!others.length) return null;
  return html`<div class="bar"><${Field} label="Beside" kind="select" value=${other ?? ''} change=${each => change({with: each, figure: ''}, {})}
      choices=${[['', 'nothing'], ...others.map(each => [each.name, escaped(each.name)])]}/>
    ${other && html`<button onClick=${() => go(to('reports', other, {with: found.name}))}>Swap</button>`}</div>`;
}

/** Pages in frames that may run nothing; each opening needs a ticket, since a frame sends no token. */
function Pages({names}) {
  return html`<div class=${names.length > 1 ? 'reports two' : 'reports'}>${names.map(name => html`<${Page} key=${name} name=${name} labelled=${names.length > 1}/>`)}</div>`;
}

function Page({name, labelled}) {
  const [src, set] = useState(null);
  const [error, fail] = useState(null);
  useEffect(() => {
    const control = new AbortController();
    post('/api/reports/opened', {name}, {signal: control.signal}).then(value => set(value.url), each => control.signal.aborted || fail(each));
    return () => control.abort();
  }, [name]);
  if (error) return html`<${Trouble} error=${error}/>`;
  return html`<figure class="report">${labelled && html`<figcaption><${Name} name=${name}/></figcaption>`}
    ${src ? html`<iframe sandbox="" src=${src} title=${`The report ${escaped(name)}`}></iframe>` : html`<${Loading}/>`}</figure>`;
}

const shown = cell => cell === null ? '' : typeof cell === 'number' ? number(cell) : typeof cell === 'boolean' ? (cell ? 'yes' : 'no') : html`<${Name} name=${cell}/>`;
const number = value => Math.abs(value) >= 1000 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(6)));
const isNumber = value => typeof value === 'number';

function Figures({name}) {
  const {value, error} = useData(url('/api/reports/figures', {name}));
  if (error) return html`<${Trouble} error=${error}/>`;
  if (!value) return html`<${Loading}/>`;
  const {columns, rows, more} = value.figures;
  const numbers = columns.map((_, n) => rows.every(row => row[n] === null || isNumber(row[n])));
  return html`<p class="dim" role="status">${many(rows.length, 'row')}, ${many(columns.length, 'column')}${more > 0 && `; ${many(more, 'more row')}`}</p>
    <${Table} caption=${`Figures of ${escaped(name)}`} rows=${rows.map((cells, n) => ({cells, n}))} id=${row => row.n} most=${100}
      columns=${columns.map((title, n) => ({title: escaped(title.replaceAll('_', ' ')), number: numbers[n], cell: row => shown(row.cells[n]), sort: row => row.cells[n] ?? ''}))}/>`;
}

/** What two numbers differ by, and whether that is more than their intervals. */
function difference(comparison, figure, pair) {
  const a = pair.a?.[figure], b = pair.b?.[figure];
  if (!isNumber(a) || !isNumber(b)) return a === b || pair.a === null || pair.b === null ? null : {by: NaN, share: NaN, a, b};
  const interval = comparison.intervals[figure];
  const within = interval >= 0 && Math.abs(a - b) <= (pair.a[interval] ?? 0) + (pair.b[interval] ?? 0);
  return {a, b, by: b - a, share: a === b ? 0 : a ? (b - a) / Math.abs(a) : Infinity * Math.sign(b - a), within};
}

const percent = share => Number.isFinite(share) ? `${share > 0 ? '+' : ''}${(100 * share).toFixed(Math.abs(share) < 0.1 ? 2 : 1)} %` : '';

function Comparison({a, b, query}) {
  const {value, error} = useData(url('/api/reports/comparison', {a, b}));
  const comparison = value?.comparison;
  const overview = useMemo(() => comparison && summary(comparison), [comparison]);
  if (error) return html`<${Trouble} error=${error}/>`;
  if (!comparison) return html`<${Loading}/>`;
  if (!comparison.figures.length) return html`<${Notice} kind="warn"><p>The two have no figures in common.</p></${Notice}>`;
  const asked = comparison.figures.indexOf(query.get('figure'));
  const figure = asked >= 0 ? asked : overview.find(each => each.differ)?.figure ?? overview[0].figure;
  const name = comparison.figures[figure], words = name.replaceAll('_', ' ');
  const rows = comparison.pairs.map((pair, n) => ({pair, n, found: difference(comparison, figure, pair)}));
  const differing = overview.filter(each => each.differ);
  // A key of one value in all rows is told once.
  const constant = new Set(comparison.keys.map((_, n) => n).filter(n => rows.length > 1 && rows.every(row => row.pair.key[n] === rows[0].pair.key[n])));
  return html`
    <p role="status">${many(comparison.pairs.length + comparison.more, 'row')} by ${comparison.keys.map(each => each.replaceAll('_', ' ')).join(', ') || 'their order'}; ${
      differing.length ? `${count(differing.length)} of ${many(overview.length, 'figure')} differ` : 'all figures are equal'}.
      ${comparison.only_a > 0 && ` ${many(comparison.only_a, 'row')} only in A.`}${comparison.only_b > 0 && ` ${many(comparison.only_b, 'row')} only in B.`}
      ${comparison.in_order && ' Rows that this does not tell apart are compared in their order.'}
      ${comparison.more > 0 && ` ${many(comparison.more, 'row')} not shown.`}
      ${comparison.missing.length > 0 && ` Columns that one of the two lacks: ${comparison.missing.slice(0, 12).map(each => each.replaceAll('_', ' ')).join(', ')}${comparison.missing.length > 12 ? ', …' : ''}.`}</p>
    <p class="dim">A is <${Name} name=${a}/>, B is <${Name} name=${b}/>.${constant.size > 0 && html` In all rows: ${[...constant].map((n, place) =>
      html`${place > 0 && ', '}${escaped(comparison.keys[n].replaceAll('_', ' '))} ${shown(rows[0].pair.key[n])}`)}.`}</p>
    <div class="columns"><${Panel} title="Figures">
      <${Table} caption="Figures" rows=${overview} id=${row => row.figure} most=${60} columns=${[
        {title: 'figure', cell: row => html`<button class="bare" aria-pressed=${row.figure === figure} onClick=${() => change({figure: row.name})}>${escaped(row.name.replaceAll('_', ' '))}</button>`, sort: row => row.name},
        {title: 'rows that differ', cell: row => row.differ || '', sort: row => row.differ, number: true},
        {title: 'beyond intervals', cell: row => row.intervals ? row.beyond : '', sort: row => row.beyond, number: true},
        {title: 'largest change', cell: row => percent(row.largest), sort: row => Math.abs(row.largest), number: true},
      ]}/></${Panel}>
    <${Panel} title=${escaped(words)}>
      <${Table} caption=${escaped(words)} rows=${rows} id=${row => row.n} most=${100} columns=${[
        ...comparison.keys.map((key, n) => ({n, title: escaped(key.replaceAll('_', ' ')), cell: row => shown(row.pair.key[n]), sort: row => row.pair.key[n] ?? ''})).filter(each => !constant.has(each.n)),
        {title: 'A', cell: row => row.pair.a === null ? html`<span class="dim">no row</span>` : shown(row.pair.a[figure]), sort: row => row.pair.a?.[figure] ?? '', number: true},
        {title: 'B', cell: row => row.pair.b === null ? html`<span class="dim">no row</span>` : shown(row.pair.b[figure]), sort: row => row.pair.b?.[figure] ?? '', number: true},
        {title: 'change', cell: row => row.found && row.found.by !== 0 && Number.isFinite(row.found.by) ? `${percent(row.found.share)}${row.found.within ? ' (within ±)' : ''}` : '', sort: row => row.found?.share ?? 0, number: true},
      ]}/></${Panel}></div>`;
}

/** What differs beyond its interval comes first, then what has an interval, then what differs at all. */
const rank = each => each.intervals && each.beyond ? 0 : each.intervals && each.differ ? 1 : each.differ ? 2 : 3;

/** Of each figure: how many rows differ, how many by more than their intervals, and the largest change. */
function summary(comparison) {
  const intervals = new Set(comparison.intervals);
  return comparison.figures.map((name, figure) => {
    let differ = 0, beyond = 0, largest = 0;
    for (const pair of comparison.pairs) {
      const found = difference(comparison, figure, pair);
      if (!found || found.by === 0) continue;
      differ += 1;
      if (!found.within) beyond += 1;
      if (Number.isFinite(found.share) && Math.abs(found.share) > Math.abs(largest)) largest = found.share;
    }
    return {figure, name, differ, beyond, largest, intervals: comparison.intervals[figure] >= 0};
  }).filter(each => !intervals.has(each.figure)).sort((one, other) => rank(one) - rank(other));
}
