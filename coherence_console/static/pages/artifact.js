// One artifact: as its home knows it now, its kept versions, and what lies between two of them.
import {html, useEffect, useMemo, useState} from '../lib/preact.js';
import {url} from '../lib/api.js';
import {useKeys} from '../lib/keys.js';
import {change, to} from '../lib/router.js';
import {bytes, count, escapedLine, iso, many, time} from '../lib/text.js';
import {link, rows, tick, useTeam} from '../lib/team.js';
import {about, Agent, Field, Heading, Loading, Name, Notice, Panel, Table, Trouble, useData} from '../lib/ui.js';
import {reason, Standing} from './team.js';

const VIEWS = {diff: 'Difference', blame: 'Blame', content: 'Content'};
/** Lines that are drawn at once, and characters of a line. */
const LINES = 1500, LINE = 4000;

/** A line of a text of others; the end of a very long one is left out, and that is said. */
const Line = ({text}) => html`<bdi>${escapedLine(text.slice(0, LINE))}</bdi>${
  text.length > LINE && html`<span class="tag">${count(text.length - LINE)} more characters</span>`}`;

export default function Artifact({place}) {
  useTeam();
  const name = place.parts.slice(1).join('/');
  tick.value;
  const row = rows.get(name);
  const {value, error, again} = useData(url('/api/artifact', {name}));
  // A new version is in the history too.
  useEffect(() => { if (row && value && value.name === name && row.version > (value.versions[0]?.version ?? 0)) again(); }, [row?.version]);
  const title = html`<${Heading} title=${name}><${Name} name=${name}/></${Heading}>`;
  if (error && !value) {
    return html`<p><a href="/team">Team</a></p>${title}${error.status === 404
      ? html`<${Notice} kind="warn"><p>No version of an artifact of this name is kept.</p></${Notice}>` : html`<${Trouble} error=${error}/>`}`;
  }
  if (!value || value.name !== name) return html`<p><a href="/team">Team</a></p>${title}<${Loading}/>`;
  return html`<p><a href="/team">Team</a></p>${title}
    ${row ? html`<${Panel} title="Now, as its home knows it"><${Standing} row=${row}/></${Panel}>`
      : !value.exists ? html`<${Notice} kind="warn"><p>This artifact was deleted. Its kept versions are below.</p></${Notice}>`
        : link.value === 'connecting' ? html`<${Loading}/>` : ''}
    <${Versions} history=${value}/>
    ${about.value.contents ? html`<${Between} history=${value} query=${place.query}/>`
      : html`<${Notice}><p>Contents are not shown: the console was started with --no-content.</p></${Notice}>`}
    ${value.refused.length > 0 && html`<${Refused} list=${value.refused}/>`}`;
}

/** How a version was derived, where that is not from the one before. */
function derived({version, base, overwrite}) {
  if (overwrite && base < version - 1) return html`<span class="bad">overwrote @${version - 1}${base ? `, had seen @${base}` : ''}</span>`;
  if (base > 0 && base < version - 1) return `from @${base}`;
  return '';
}

function Versions({history}) {
  return html`<${Panel} title="Versions" extra=${html`<span class="dim">${many(history.versions.length, 'version')} kept</span>`}>
    <${Table} caption="Versions" rows=${history.versions} id=${each => each.version} most=${20} columns=${[
      {title: 'version', sort: each => each.version, cell: each => about.value.contents && each.version > 1
        ? html`<a href=${to('artifact', history.name, {a: each.version - 1, b: each.version})} title="what it changed">@${each.version}</a>` : `@${each.version}`},
      {title: 'by', sort: each => each.author, cell: each => html`<${Agent} name=${each.author}/>`},
      {title: 'written', sort: each => each.at, cell: each => html`<time dateTime=${iso(each.at)}>${time(each.at)}</time>`},
      {title: 'size', number: true, sort: each => each.size_bytes, cell: each => each.kind === 'tombstone' ? 'deleted' : bytes(each.size_bytes)},
      ...(history.versions.some(derived) ? [{title: 'derived', cell: derived}] : []),
      ...(history.versions.some(each => each.pinned || each.reason) ? [{title: 'notes', cell: each => html`${each.pinned && html`<span class="tag">pinned</span> `}<${Name} name=${each.reason}/>`}] : []),
    ]}/></${Panel}>`;
}

function Refused({list}) {
  return html`<${Panel} title="Refused writes">${list.slice(0, 20).map(each => html`<article key=${`${each.at} ${each.agent}`}>
    <p><${Agent} name=${each.agent}/>, ${time(each.at)}: <span class="bad">${reason(each)}</span>${each.reason && html` — <${Name} name=${each.reason}/>`}</p>
    ${each.attempt && html`<${Lines} label="What it tried" lines=${unified(each.attempt)}/>`}</article>`)}
    ${list.length > 20 && html`<p class="dim">${count(list.length - 20)} more are kept.</p>`}</${Panel}>`;
}

// --- Between two versions

function Between({history, query}) {
  const kept = history.versions.map(each => each.version);
  const view = query.get('view') in VIEWS ? query.get('view') : 'diff';
  const newest = kept[0];
  const b = kept.includes(Number(query.get('b'))) ? Number(query.get('b')) : newest;
  const before = kept.filter(each => each < b);
  const given = Number(query.get('a') ?? NaN);
  const a = given === 0 || kept.includes(given) ? given : before[0] ?? 0;
  const step = by => {
    const next = kept[kept.indexOf(b) - by];
    if (next) change({a: kept.filter(each => each < next)[0] ?? 0, b: next});
  };
  useKeys({
    '[': ['the version before', () => step(-1)],
    ']': ['the version after', () => step(1)],
    d: ['difference', () => change({view: ''})],
    b: ['blame', () => change({view: 'blame'})],
    c: ['content', () => change({view: 'content'})],
  });
  const choices = kept.map(each => [String(each), `@${each}`]);
  return html`<section class="panel" aria-label="Contents">
    <div class="bar"><ul class="tabs">${Object.entries(VIEWS).map(([each, title]) => html`<li><a aria-current=${each === view ? 'true' : undefined}
        href=${to('artifact', history.name, {...Object.fromEntries(query), view: each === 'diff' ? '' : each})}>${title}</a></li>`)}</ul>
      ${view === 'diff' && html`<${Field} label="from" kind="select" value=${String(a)} change=${each => change({a: each, b})} choices=${[...choices, ['0', 'nothing']]}/>`}
      <${Field} label=${view === 'diff' ? 'to' : 'version'} kind="select" value=${String(b)} change=${each => change({b: each})} choices=${choices}/>
      <span class="actions"><button onClick=${() => step(-1)} disabled=${b === kept.at(-1)}>Before</button><button onClick=${() => step(1)} disabled=${b === newest}>After</button></span></div>
    ${view === 'diff' ? html`<${Difference} name=${history.name} a=${a} b=${b}/>`
      : view === 'blame' ? html`<${Blame} name=${history.name} version=${b}/>` : html`<${Content} name=${history.name} version=${b}/>`}</section>`;
}

const failed = error => error.status === 404 ? html`<${Notice} kind="warn"><p>This version is no longer kept.</p></${Notice}>` : html`<${Trouble} error=${error}/>`;
const Cut = ({number, what}) => number > 0 && html`<${Notice} kind="warn"><p>${count(number)} more ${what} are not shown.</p></${Notice}>`;

function Difference({name, a, b}) {
  const {value, error} = useData(url('/api/artifact/diff', {name, a, b}));
  const lines = useMemo(() => value && unified(value.text), [value]);
  if (error) return failed(error);
  if (!value) return html`<${Loading}/>`;
  return html`<p><span class="good number">+${count(value.added)}</span> <span class="bad number">−${count(value.removed)}</span> lines from ${value.a ? `@${value.a}` : 'nothing'} to @${value.b}</p>
    ${lines.length ? html`<${Lines} label="Difference" lines=${lines}/>` : html`<p class="dim">The two are equal.</p>`}
    <${Cut} number=${value.cut} what="characters"/>`;
}

/** The lines of a unified diff: `{kind, old, now, text}`. */
function unified(text) {
  const found = [];
  let old = 0, now = 0;
  for (const line of text.replace(/\n$/, '').split('\n')) {
    const hunk = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/.exec(line);
    if (hunk) {
      // A part of no lines is named by the line before it.
      old = Number(hunk[1]) + (hunk[2] === '0');
      now = Number(hunk[3]) + (hunk[4] === '0');
      found.push({kind: 'hunk', text: line});
    } else if (line[0] === '+') found.push({kind: 'add', now: now++, text: line.slice(1)});
    else if (line[0] === '-') found.push({kind: 'del', old: old++, text: line.slice(1)});
    else if (line[0] === '\\') found.push({kind: 'hunk', text: line});
    else if (line) found.push({kind: 'same', old: old++, now: now++, text: line.slice(1)});
  }
  return found;
}

const SIGNS = {add: ['+', 'added: '], del: ['−', 'removed: '], hunk: ['', ''], same: ['', '']};

function Lines({label, lines}) {
  const [shown, show] = useState(LINES);
  return html`<div class="text" tabindex="0" role="region" aria-label=${label}><table><tbody>${lines.slice(0, shown).map((line, n) => html`<tr key=${n} class=${line.kind}>
    <td class="side">${line.old}</td><td class="side">${line.now}</td><td class="side" aria-hidden="true">${SIGNS[line.kind][0]}</td>
    <td><span class="away">${SIGNS[line.kind][1]}</span><${Line} text=${line.text}/></td></tr>`)}</tbody></table>
    ${lines.length > shown && html`<p><button onClick=${() => show(shown + 4 * LINES)}>Show more</button> ${count(lines.length - shown)} lines are not shown</p>`}</div>`;
}

function Blame({name, version}) {
  const {value, error} = useData(url('/api/artifact/blame', {name, version}));
  const [shown, show] = useState(LINES);
  if (error) return failed(error);
  if (!value) return html`<${Loading}/>`;
  const lines = value.lines.slice(0, shown);
  return html`<div class="text" tabindex="0" role="region" aria-label="Blame"><table><thead class="away"><tr><th>version</th><th>by</th><th>line</th><th>text</th></tr></thead>
    <tbody>${lines.map((line, n) => {
      const again = n > 0 && lines[n - 1].version === line.version && lines[n - 1].author === line.author;
      return html`<tr key=${n}><td class="side">${again ? '' : line.author
        ? html`<a href=${to('artifact', name, {a: line.version - 1, b: line.version})}>@${line.version}</a>` : html`<span title=${`@${line.first} to @${line.version}; those between are not kept`}>before @${line.version}</span>`}</td>
        <td class="side">${again ? '' : line.author ? html`<${Name} name=${line.author}/>` : 'not kept'}</td><td class="side">${n + 1}</td><td><${Line} text=${line.text}/></td></tr>`;
    })}</tbody></table>${value.lines.length > shown && html`<p><button onClick=${() => show(shown + 4 * LINES)}>Show more</button></p>`}</div>
    ${!value.lines.length && html`<p class="dim">This version has no lines.</p>`}<${Cut} number=${value.cut} what="lines"/>`;
}

function Content({name, version}) {
  const {value, error} = useData(url('/api/artifact/content', {name, version}));
  const lines = useMemo(() => value?.text?.replace(/\n$/, '').split('\n').map((text, n) => ({kind: 'same', now: n + 1, text})), [value]);
  if (error) return failed(error);
  if (!value) return html`<${Loading}/>`;
  if (value.text === null) return html`<p class="dim">${value.kind === 'tombstone' ? 'The artifact is deleted as of this version.' : `${bytes(value.size_bytes)} of bytes, which are not shown.`}</p>`;
  return html`<${Lines} label="Content" lines=${lines}/><${Cut} number=${value.cut} what="characters"/>`;
}
