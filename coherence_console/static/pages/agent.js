// One agent: what it holds and waits for now, what it has written, and what was refused.
import {html} from '../lib/preact.js';
import {url} from '../lib/api.js';
import {to} from '../lib/router.js';
import {count, many, span, time} from '../lib/text.js';
import {agents, cellsOf, clock, left, rows, tick, useTeam} from '../lib/team.js';
import {Artifact, Heading, Loading, Name, Notice, Panel, Table, Trouble, useData} from '../lib/ui.js';
import {reason} from './team.js';

export default function Agent({place}) {
  useTeam();
  const name = place.parts.slice(1).join('/');
  const {value, error, again} = useData(url('/api/agent', {name}));
  tick.value;
  const member = agents.value.find(each => each.agent === name);
  const title = html`<p><a href="/team">Team</a></p><${Heading} title=${name}><${Name} name=${name}/></${Heading}>`;
  if (error && !value) {
    return html`${title}${error.status === 404 ? html`<${Notice} kind="warn"><p>The store knows no agent of this name.</p></${Notice}>` : html`<${Trouble} error=${error}/>`}`;
  }
  if (!value || value.agent !== name) return html`${title}<${Loading}/>`;
  return html`${title}
    <div class="bar"><span class=${`tag ${member ? 'good' : ''}`}>${member ? `joined ${span(clock.value - member.since)} ago` : 'not there: it has left, or its process has ended'}</span>
      <a href=${to('team', {agent: name})}>Its artifacts in the matrix</a><button onClick=${again}>Load again</button></div>
    <div class="columns"><${Now} name=${name}/><${Written} work=${value}/><${Refused} work=${value}/><${Days} work=${value}/></div>`;
}

function Now({name}) {
  const held = [], waits = [];
  let copies = 0;
  for (const row of rows.values()) {
    if (row.holder === name) held.push(row);
    const place = row.waiting.findIndex(each => each.agent === name);
    if (place >= 0) waits.push([row, place]);
    if (row.copies.includes(name)) copies++;
  }
  return html`<${Panel} title="Now, as homes know it">
    <h3>Holds the grant</h3>${held.length ? html`<ul class="plain">${held.map(row => html`<li key=${row.artifact}><span class="tag held">M</span> <${Artifact} name=${row.artifact} version=${row.version}/> ${
      left(row) === null ? '' : left(row) > 0 ? `${span(left(row))} left` : 'the lease is over'}</li>`)}</ul>` : html`<p class="dim">of nothing</p>`}
    <h3>Waits</h3>${waits.length ? html`<ul class="plain">${waits.map(([row, place]) => html`<li key=${row.artifact}><span class="tag waiting">${place + 1}</span> <${Artifact} name=${row.artifact}/> ${
      row.holder && html`behind <${Name} name=${row.waiting[place - 1]?.agent ?? row.holder}/>,`} seen for ${span(clock.value - row.waiting[place].seen)}</li>`)}</ul>` : html`<p class="dim">for nothing</p>`}
    <p>${many(copies, 'copy').replace('copys', 'copies')} of current versions</p></${Panel}>`;
}

const Written = ({work}) => html`<${Panel} title="Versions published" extra=${html`<span class="dim">${work.older ? 'the newest part of the change log' : ''}</span>`}>
  <${Table} caption="Versions published" rows=${work.written} id=${each => `${each.artifact} ${each.version}`} most=${15} empty="None in the change log." columns=${[
    {title: 'artifact', sort: each => each.artifact, cell: each => html`<a href=${to('artifact', each.artifact, {a: each.version - 1, b: each.version})}><${Name} name=${each.artifact}/></a><span class="number dim">@${each.version}</span>`},
    {title: 'written', sort: each => each.at, number: true, cell: each => time(each.at)},
  ]}/></${Panel}>`;

const Refused = ({work}) => html`<${Panel} title="Refused writes">
  <${Table} caption="Refused writes" rows=${work.refused} id=${each => `${each.at} ${each.artifact}`} most=${15} empty="None is kept." columns=${[
    {title: 'artifact', cell: each => html`<${Artifact} name=${each.artifact}/>`},
    {title: 'why', cell: reason},
    {title: 'when', number: true, cell: each => time(each.at)},
  ]}/></${Panel}>`;

const Days = ({work}) => html`<${Panel} title="Reads, writes and tokens by day">
  <${Table} caption="By day" rows=${work.days} id=${each => each.name} empty="No counts are kept." columns=${[
    {title: 'day', cell: each => each.name, sort: each => each.name},
    {title: 'reads', number: true, cell: each => count(each.reads), sort: each => each.reads},
    {title: 'tokens saved', number: true, cell: each => count(each.saved_tokens), sort: each => each.saved_tokens},
    {title: 'writes', number: true, cell: each => count(each.writes), sort: each => each.writes},
    {title: 'refused', number: true, cell: each => count(each.conflicts), sort: each => each.conflicts},
  ]}/></${Panel}>`;
