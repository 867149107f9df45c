// A state as a tree of `Branch`es (specs/session/tree.py): only what is set or changed, with what
// differs from the state before marked down to the leaf.
import {html, signal, useState} from '../lib/preact.js';
import {get} from '../lib/api.js';
import {count, escaped} from '../lib/text.js';
import {Field, Name, Panel, Trouble} from '../lib/ui.js';

/** What the reader has chosen stays from step to step. */
const quiet = signal(false), filter = signal(''), opened = signal(new Map());

export function State({frame, base}) {
  const root = frame.state;
  const branches = root.parts?.length && root.kind === 'record' ? root.parts : [{...root, name: 'state'}];
  const groups = ['', 'channels', 'bookkeeping'];
  const wanted = filter.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
  const shown = branches.filter(each => wanted.length ? wanted.some(word => each.name.toLowerCase().includes(word)) : quiet.value || !each.quiet || each.mark);
  return html`<${Panel} title="State" extra=${html`<span class="bar tight">
      <${Field} label="Filter" value=${filter.value} change=${value => { filter.value = value; }}/>
      <${Field} kind="check" label="All, also what is at its default" value=${quiet.value} change=${value => { quiet.value = value; }}/></span>`}>
    ${groups.map(group => {
      const own = shown.filter(each => (each.group ?? '') === group);
      if (!own.length) return null;
      const inside = own.map(each => html`<${Shown} key=${each.name} branch=${each} way=${root.kind === 'record' ? [each.name] : []} base=${base}/>`);
      if (!group) return inside;
      const changed = own.some(each => each.mark);
      return html`<${Fold} key=${group} id=${group} open=${group === 'channels'} summary=${html`<span class="dim">${group}: ${count(own.length)}</span>${changed && html` <span class="mark">changed</span>`}`}>${inside}</${Fold}>`;
    })}
    ${!shown.length && html`<p class="dim">Everything is at its default, and nothing has changed.</p>`}
    ${root.cut > 0 && html`<p class="dim">${count(root.cut)} parts are not shown: search for them, or filter.</p>`}</${Panel}>`;
}

/** A part that can be closed; how it was left is kept. */
function Fold({id, open, summary, children}) {
  const kept = opened.value.get(id);
  const toggled = event => {
    if (event.target === event.currentTarget && event.currentTarget.open !== (kept ?? open)) opened.value = new Map(opened.value).set(id, event.currentTarget.open);
  };
  return html`<details open=${kept ?? open} onToggle=${toggled}><summary>${summary}</summary>${(kept ?? open) && html`<div class="inside">${children}</div>`}</details>`;
}

function Shown({branch, way, base}) {
  const {name, mark = '', text = '', was, kind = 'leaf', type = ''} = branch;
  const parts = (branch.parts ?? []).filter(each => quiet.value || !each.quiet || each.mark);
  const key = html`<span class="key"><${Name} name=${name}/>: </span>`;
  const words = {changed: 'changed', added: 'added', removed: 'removed'}[mark];
  const note = words && html` <span class="away">${words}</span>`;
  const value = mark === 'removed' ? html`<del><bdi>${text}</bdi></del>` : html`<bdi class="value">${text}</bdi>`;
  const old = mark === 'changed' ? html` <del><span class="away">was </span><bdi>${was || 'empty'}</bdi></del>` : null;
  const sign = {added: '+ ', removed: '− '}[mark] ?? '';
  const label = html`${sign}${key}${value}${old}${note}`;
  const changed = mark && mark !== 'within' ? ' changed' : '';
  if (!branch.parts?.length && !branch.cut) return html`<div class=${`leaf${changed}`}>${label}<${Whole} text=${text} way=${way} base=${base}/></div>`;
  const id = way.join('\u0000');
  return html`<${Fold} id=${id} open=${mark === 'within'} summary=${html`<span class=${changed.trim()}>${label}</span>${mark === 'within' && html` <span class="mark">changed</span>`}`}>
    ${parts.map((each, i) => html`<${Shown} key=${`${each.name} ${each.mark ?? ''} ${i}`} branch=${each} way=${[...way, each.name]} base=${base}/>`)}
    ${!parts.length && !branch.cut && html`<div class="leaf dim">all at their defaults</div>`}
    ${branch.cut > 0 && html`<div class="leaf dim">${count(branch.cut)} more<${Whole} text="…" way=${way} base=${base}/></div>`}</${Fold}>`;
}

/** The whole text of a value that was cut. */
function Whole({text, way, base}) {
  const [got, set] = useState(null), [error, fail] = useState(null);
  if (!text.endsWith('…') || !base || !way.length) return null;
  const load = () => {
    const query = new URLSearchParams(base);
    for (const each of way) query.append('part', each);
    get(`/api/explorer/part?${query}`).then(set, fail);
  };
  if (error) return html`<${Trouble} error=${error}/>`;
  if (got) return html`<pre class="whole" tabindex="0">${escaped(got.text)}</pre>`;
  return html` <button class="bare" onClick=${load}>whole text</button>`;
}
