// The explorer: the states of a model, one place on a path at a time.  A URL names the model, its
// constants and the path by numbers of actions, with the digest of where it led.
import {html, useEffect, useMemo, useRef, useState} from '../lib/preact.js';
import {ask, get, post} from '../lib/api.js';
import {useKeys} from '../lib/keys.js';
import {go} from '../lib/router.js';
import {count, escaped, many} from '../lib/text.js';
import {about, Field, Heading, Loading, Name, Notice, Panel, Trouble, useData} from '../lib/ui.js';
import {Checking, Verdicts} from './explorer_checks.js';
import {Sequence} from './explorer_chart.js';
import {State} from './explorer_state.js';

const OPERATORS = ['=', '!=', '<', '<=', '>', '>=', 'contains', 'changes'];
const WALK = 50;

export default function Explorer({place}) {
  const {parts, query} = place;
  if (query.get('trace')) return html`<${Foreign} id=${query.get('trace')} step=${Number(query.get('step')) || 0}/>`;
  return parts[1] ? html`<${Walk} key=${parts[1]} name=${parts[1]} query=${query} search=${place.search}/>` : html`<${Models}/>`;
}

/** The URL of a place: constants and processes may come several times. */
function address(name, {sets, path = [0], at = '', loop = null, ahead = [], only = []}) {
  const query = new URLSearchParams();
  for (const each of sets) query.append('set', each);
  if (path.length > 1 || path[0]) query.set('path', path.join('.'));
  if (ahead.length) query.set('ahead', ahead.join('.'));
  if (loop !== null) query.set('loop', loop);
  for (const each of only) query.append('only', each);
  if (at) query.set('at', at);
  const text = query.toString();
  return `/explorer/${encodeURIComponent(name)}${text ? `?${text}` : ''}`;
}

const numbers = text => (text ?? '').split('.').filter(each => /^\d{1,9}$/.test(each)).map(Number);
const settings = sets => Object.fromEntries(sets.map(each => [each.slice(0, each.indexOf('=')), each.slice(each.indexOf('=') + 1)]));
const asSets = given => Object.entries(given).map(([key, value]) => `${key}=${value}`);

function Models() {
  const {value, error} = useData('/api/models');
  const [filter, setFilter] = useState('');
  if (error) return html`<${Heading} title="Explorer"/><${Trouble} error=${error}/>`;
  const wanted = filter.toLowerCase();
  const models = value?.models.filter(each => `${each.name} ${each.about}`.toLowerCase().includes(wanted));
  return html`<${Heading} title="Explorer"/>
    <p class="dim">A model opens at its first state. Whole checks run beside the page, on request.</p>
    ${value?.trouble && html`<${Notice} kind="bad"><p>${escaped(value.trouble)}</p></${Notice}>`}
    <div class="bar"><${Field} label="Filter" value=${filter} change=${setFilter}/><${OpenFile}/></div>
    ${!value ? html`<${Loading}/>` : html`<div class="columns">${models.map(each => html`<${Panel} key=${each.name} title=${html`<a href=${address(each.name, {sets: []})}><${Name} name=${each.name}/></a>`}
      extra=${each.named && html`<span class="tag">of the command line</span>`}><p>${each.about}</p>
      ${each.cases.length > 0 && html`<details><summary>${many(each.cases.length, 'pinned case')}, ${each.cases.filter(c => c.expect === 'VIOLATED').length} of them violated</summary>
        <ul class="plain">${each.cases.map((c, i) => html`<li key=${i}><a href=${address(each.name, {sets: asSets(c.settings)})}>${asSets(c.settings).join(' ') || 'defaults'}</a>
        ${' '}${c.expect === 'VIOLATED' ? html`<span class="tag bad">violates ${c.violates || 'a property'}</span>` : html`<span class="dim">${c.expect.toLowerCase()}</span>`}
        ${c.distinct !== null && html` <span class="dim number">${many(c.distinct, 'state')}</span>`}</li>`)}</ul></details>`}</${Panel}>`)}</div>`}`;
}

/** Opens a trace in ITF: at a path of the model, or as it is. */
function OpenFile({name, sets = [], only = []}) {
  const [error, fail] = useState(null);
  const open = async event => {
    const [file] = event.target.files;
    event.target.value = '';
    if (!file) return;
    fail(null);
    const query = new URLSearchParams(name ? [['model', name], ...sets.map(each => ['set', each])] : []);
    try {
      const made = await get(`/api/itf?${query}`, {method: 'POST', body: file});
      go(made.id ? `/explorer?trace=${made.id}` : address(name, {sets, path: made.path, at: made.digest, loop: made.loop, only}));
    } catch (problem) { fail(problem); }
  };
  return html`<label class="field file"><span>Open a trace (ITF)</span> <input type="file" accept=".json,.itf" onChange=${open}/></label>
    ${error && html`<${Trouble} error=${error}/>`}`;
}

function Walk({name, query}) {
  const sets = query.getAll('set'), only = query.getAll('only'), ahead = numbers(query.get('ahead'));
  const path = query.has('path') ? numbers(query.get('path')) : [0];
  const loop = query.has('loop') ? Number(query.get('loop')) : null;
  const [from, setFrom] = useState(0);
  const where = JSON.stringify([name, sets, path, loop, only]);
  // The digest that the URL came with; the one that is put into it afterwards asks nothing again.
  const at = useMemo(() => query.get('at') ?? '', [where]);
  const base = new URLSearchParams([['model', name], ...sets.map(each => ['set', each]), ['path', path.join('.')]]);
  const asked = new URLSearchParams(base);
  for (const each of only) asked.append('only', each);
  if (loop !== null && loop < path.length) asked.set('loop', loop);
  if (from) asked.set('from', from);
  if (at) asked.set('at', at);
  const {value, error, loading} = useData(`/api/explorer?${asked}`);
  const [outcome, setOutcome] = useState(null);
  const frame = value?.frame;
  const current = frame && !loading ? frame : null;
  const to = (target, more = {}) => address(name, {sets: value ? asSets(value.settings) : sets, only, path: target, ...more});
  const visit = (target, more = {}) => { setFrom(0); go(to(target, more)); };

  useEffect(() => {
    if (!current || value.trouble) return;
    // Not by the router: nothing is to be drawn again.
    history.replaceState(null, '', to(current.path, {at: current.digest, loop, ahead}));
  }, [current]);
  useEffect(() => { setOutcome(null); }, [JSON.stringify(sets)]);

  // Along the path, there and back; at the end of a lasso it begins again.
  const whole = [...path, ...ahead];
  const along = step => visit(whole.slice(0, step + 1), {ahead: whole.slice(step + 1), loop});
  const back = () => path.length > 1 && along(path.length - 2);
  const on = () => {
    if (ahead.length) along(path.length);
    else if (loop !== null && loop < path.length - 1 && frame?.closes !== false) along(loop + 1);
    else return false;
  };
  const take = number => number === ahead[0] ? along(path.length) : visit([...path, number]);
  const nth = n => {
    const choice = current?.enabled[n];
    if (!choice) return false;
    take(choice.number);
  };
  const random = async steps => {
    const seed = crypto.getRandomValues(new Uint32Array(1))[0];
    const walked = await get(`/api/explorer/walk?${base}&steps=${steps}&seed=${seed}`);
    if (walked.path.length > path.length) visit(walked.path, {at: walked.digest});
  };
  const known = outcome ?? value?.outcome ?? null;
  const first = evidence(known);
  // The largest part of the page is drawn once a place, not again while the next one is loaded.
  const state = useMemo(() => frame && html`<${State} frame=${frame} base=${base}/>`, [frame]);
  const keys = {
    ArrowLeft: ['one step back', back],
    ArrowRight: ['one step on', on],
    Home: ['to the first state', () => path.length > 1 && along(0)],
    End: ['to the end of the path', () => ahead.length > 0 && along(whole.length - 1)],
    r: ['one random step', () => { random(1); }],
    v: ['to the first violation that a check has found', () => first ? visit(first.path, first) : false],
  };
  for (let n = 1; n <= 9; n++) keys[n] = [n === 1 ? 'take the first of the enabled actions' : `take action ${n}`, () => nth(n - 1)];
  useKeys(keys);

  if (error) return html`<${Heading} title=${name}><${Name} name=${name}/></${Heading}><${Trouble} error=${error}/>
    <p><a href="/explorer">All models</a>${sets.length > 0 && html` · <a href=${address(name, {sets: []})}>The same model without these constants</a>`}</p>`;
  if (!value) return html`<${Heading} title=${name}><${Name} name=${name}/></${Heading}><${Loading}/>`;
  const step = frame.path.length - 1;
  const given = asSets(value.settings);
  return html`<div class="explorer" aria-busy=${loading}>
    <${Heading} title=${`${name}, step ${step}`}><${Name} name=${name}/> <span class="mono dim given">${given.join(' ')}</span></${Heading}>
    ${value.trouble && html`<${Notice} kind="warn"><p>${escaped(value.trouble)}.</p><p>Shown: the path up to step ${step}.</p></${Notice}>`}
    <div class="bar"><span role="status">Step <b class="number">${count(step)}</b>${ahead.length > 0 && html` of <span class="number">${count(step + ahead.length)}</span>`}</span>
      <span class="actions"><button onClick=${back} disabled=${path.length < 2} aria-keyshortcuts="ArrowLeft">← Back</button>
        <button onClick=${on} disabled=${!ahead.length && !(loop !== null && loop < step)} aria-keyshortcuts="ArrowRight">On →</button>
        <button onClick=${() => random(1)} disabled=${!frame.enabled_total} aria-keyshortcuts="r">Random step</button>
        <button onClick=${() => random(WALK)} disabled=${!frame.enabled_total}>Random walk</button></span>
      ${frame.violated?.length ? html`<span class="tag bad">Violated here: ${frame.violated.map(escaped).join(', ')}</span>` : html`<span class="dim">Nothing is violated here</span>`}
      ${frame.outside && html`<span class="tag">outside the bounds: a check does not go on</span>`}
      ${step === 0 && frame.initial_states > 1 && html`<span class="actions">Initial state <span class="number">${frame.path[0] + 1} of ${count(frame.initial_states)}</span>
        <button onClick=${() => visit([frame.path[0] - 1])} disabled=${frame.path[0] === 0}>Previous</button><button onClick=${() => visit([frame.path[0] + 1])} disabled=${frame.path[0] + 1 >= frame.initial_states}>Next</button></span>`}
      ${first && html`<a href=${to(first.path, first)}>To the violation (${many(first.path.length - 1, 'step')})</a>`}</div>
    <${Verdicts} properties=${frame.properties} violated=${frame.violated ?? []} outcome=${known} to=${to}/>
    <div class="bar"><${Checking} model=${name} settings=${value.settings} done=${setOutcome}/></div>
    <div class="walk"><div>
      <${Enabled} frame=${frame} take=${take} from=${from} page=${setFrom}/>
      <${Steps} frame=${frame} ahead=${ahead} loop=${loop} whole=${whole} to=${to} only=${only}/>
    </div><div>
      ${state}
      ${frame.chart?.dots.length > 0 && html`<${Panel} title="Sequence"><${Sequence} chart=${frame.chart} step=${step} visit=${along}/></${Panel}>`}
      <${Find} name=${name} settings=${value.settings} base=${base} path=${frame.path} loop=${loop} visit=${visit} along=${along}/>
      <${More} name=${name} sets=${given} only=${only} processes=${frame.processes ?? []} constants=${value.constants} base=${base} loop=${loop} path=${path} ahead=${ahead}/>
    </div></div></div>`;
}

/** The first violation that a check has found, as a place. */
function evidence(outcome) {
  if (!outcome) return null;
  if (outcome.deadlock) return {path: outcome.deadlock, at: outcome.deadlock_digest, loop: null};
  const found = outcome.findings.find(each => each.verdict === 'VIOLATED' && each.path);
  return found ? {path: found.path, at: found.digest, loop: found.loop} : null;
}

function Enabled({frame, take, from, page}) {
  const [filter, setFilter] = useState('');
  const wanted = filter.toLowerCase();
  const shown = frame.enabled.filter(each => each.label.toLowerCase().includes(wanted));
  const next = (frame.enabled_from ?? 0) + frame.enabled.length;
  return html`<${Panel} title=${`Enabled: ${count(frame.enabled_total)}`} extra=${html`<span class="dim">keys 1 to 9</span>`}>
    ${frame.enabled_total > 9 && html`<div class="bar"><${Field} label="Filter actions" value=${filter} change=${setFilter}/></div>`}
    ${frame.error && html`<${Notice} kind="bad"><p>${frame.error}</p></${Notice}>`}
    ${frame.enabled_total === 0 && !frame.error && html`<p>Nothing is enabled: the path ends here.</p>`}
    <ol class="plain choices">${shown.map(each => {
      const key = frame.enabled.indexOf(each);
      return html`<li key=${each.number}><button onClick=${() => take(each.number)} aria-keyshortcuts=${key < 9 ? String(key + 1) : undefined}>
        <span class="number key">${key < 9 ? key + 1 : ''}</span> <bdi class="mono">${each.label}</bdi>${
        each.idle && html` <span class="dim">changes nothing</span>`}${
        each.violates?.length > 0 && html` <span class="tag bad">violates ${each.violates.map(escaped).join(', ')}</span>`}</button></li>`;
    })}</ol>
    ${(from > 0 || next < frame.enabled_total) && html`<p class="actions"><button disabled=${from === 0} onClick=${() => page(Math.max(0, from - 200))}>Earlier ones</button>
      <button disabled=${next >= frame.enabled_total} onClick=${() => page(next)}>Later ones</button></p>`}
    ${frame.left_out?.length > 0 && html`<p class="dim">A bound of the model leaves out: ${frame.left_out.join(', ')}</p>`}</${Panel}>`;
}

function Steps({frame, ahead, loop, whole, to, only}) {
  const steps = frame.steps ?? [], first = frame.steps_from ?? 0, at = frame.path.length - 1;
  const box = useRef();
  useEffect(() => { box.current.scrollTop = box.current.scrollHeight; }, [at]);
  const link = step => to(whole.slice(0, step + 1), {ahead: whole.slice(step + 1), loop});
  const hidden = only.length ? steps.filter(each => !only.includes(each.process) && !only.includes(each.peer)).length : 0;
  const looping = step => loop !== null && loop < whole.length - 1 && step > loop;
  return html`<${Panel} title="Path">
    <ol class="plain steps" ref=${box} tabindex="0" role="list" aria-label="Steps of the path">
      ${first > 0 && html`<li><a href=${link(first)}>${many(first, 'earlier step')}: to step ${count(first)}</a></li>`}
      ${first === 0 && html`<li aria-current=${at === 0 ? 'step' : undefined}><a href=${link(0)}>0 initially</a></li>`}
      ${steps.map((each, i) => {
        const step = first + i + 1;
        if (only.length && !only.includes(each.process) && !only.includes(each.peer)) return null;
        return html`<li key=${step} class=${looping(step) ? 'looping' : ''} aria-current=${step === at ? 'step' : undefined}><a href=${link(step)}><span class="number">${step}</span> <bdi class="mono">${each.label}</bdi></a>${
          each.violates?.length > 0 && html` <span class="tag bad">${each.violates.map(escaped).join(', ')}</span>`}</li>`;
      })}
    </ol>
    ${hidden > 0 && html`<p class="dim">${many(hidden, 'step')} of other processes left out</p>`}
    ${ahead.length > 0 && html`<p class="dim">${many(ahead.length, 'more step')} ahead: → <a href=${link(whole.length - 1)}>to the end</a></p>`}
    ${loop !== null && html`<p class=${frame.closes === false && !ahead.length ? 'bad' : ''}>↻ ${loop >= whole.length - 1 ? 'After the last step nothing happens any more.'
      : frame.closes === false && !ahead.length ? `The path does not return to step ${loop}.` : `From step ${loop} on it repeats for ever.`}</p>`}</${Panel}>`;
}

/** Search by field, operator and value: along the path, or for the nearest state beyond it. */
function Find({name, settings: given, base, path, loop, visit, along}) {
  const [field, setField] = useState(''), [operator, setOperator] = useState('='), [wanted, setWanted] = useState('');
  const [found, setFound] = useState(null), [error, fail] = useState(null);
  const onPath = async event => {
    event?.preventDefault();
    fail(null);
    try {
      setFound(await get(`/api/explorer/along?${base}&${new URLSearchParams({field, operator, value: wanted})}`));
    } catch (problem) { setFound(null); fail(problem); }
  };
  const task = {kind: 'search', path, field, operator, value: wanted};
  return html`<${Panel} title="Search">
    <form class="bar" onSubmit=${onPath}>
      <${Field} label="Field" value=${field} change=${setField} placeholder="**.version"/>
      <${Field} label="Operator" kind="select" value=${operator} change=${setOperator} choices=${OPERATORS.map(each => [each, each])}/>
      ${operator !== 'changes' && html`<${Field} label="Value" value=${wanted} change=${setWanted}/>`}
      <button disabled=${!field}>On this path</button>
      <${Checking} model=${name} settings=${given} task=${task} label="Nearest state" disabled=${!field}
        located=${result => result.path.length ? visit(result.path, {at: result.digest}) : fail(new Error(result.stopped ? `None within the budget: ${result.stopped}, ${count(result.distinct)} states` : `None of ${count(result.distinct)} states beyond this one`))}/>
    </form>
    <p class="dim">A field is a way to a value, such as <code>a.state.version</code>; <code>*</code> is any one name, <code>**</code> any number of them.</p>
    ${error && html`<${Trouble} error=${error}/>`}
    ${found && html`<p role="status">${found.steps.length ? html`True at ${many(found.steps.length, 'step')}: ${found.steps.slice(0, 50).map(step => html`<button class="bare number" onClick=${() => along(step)}>${step}</button> `)}${found.steps.length > 50 && '…'}` : 'True at no step of this path.'}</p>`}</${Panel}>`;
}

/** Constants, projection, and the path in other forms. */
function More({name, sets, only, processes, constants, base, loop, path, ahead}) {
  const [error, fail] = useState(null);
  const [changed, change] = useState({});
  const given = settings(sets);
  const project = process => go(address(name, {sets, path, ahead, loop, only: only.includes(process) ? only.filter(each => each !== process) : [...only, process]}));
  const save = async form => {
    fail(null);
    try {
      const query = new URLSearchParams(base);
      query.set('format', form);
      if (loop !== null) query.set('loop', loop);
      const blob = await (await ask(`/api/explorer/file?${query}`)).blob();
      const link = document.createElement('a');
      link.href = URL.createObjectURL(blob);
      link.download = `${name.replace(/[^\w.-]+/g, '-')}.${{itf: 'itf.json', svg: 'svg', mermaid: 'mmd'}[form]}`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    } catch (problem) { fail(problem); }
  };
  const open = event => {
    event.preventDefault();
    const next = {...given, ...changed};
    go(address(name, {sets: asSets(Object.fromEntries(Object.entries(next).filter(([key, value]) => value !== '' && (value !== constants[key] || key in given))))}));
    change({});
  };
  return html`<${Panel} title="More">
    ${processes.length > 0 && html`<fieldset class="bar"><legend>Only these processes</legend>${processes.map(each => html`<${Field} key=${each} kind="check" label=${html`<${Name} name=${each}/>`} value=${only.includes(each)} change=${() => project(each)}/>`)}</fieldset>`}
    <div class="bar"><span class="actions"><button onClick=${() => navigator.clipboard?.writeText(location.href)}>Copy link</button>
      ${[['itf', 'ITF'], ['svg', 'SVG'], ['mermaid', 'Mermaid']].map(([form, title]) => html`<button key=${form} onClick=${() => save(form)}>${title}</button>`)}</span>
      <${OpenFile} name=${name} sets=${sets} only=${only}/></div>
    ${error && html`<${Trouble} error=${error}/>`}
    ${Object.keys(constants).length > 0 && html`<details><summary>Constants: ${many(Object.keys(constants).length, 'setting')}</summary>
      <form onSubmit=${open}><div class="bar constants">${Object.entries(constants).map(([key, standard]) => html`<${Field} key=${key} label=${key} value=${changed[key] ?? given[key] ?? standard} change=${value => change({...changed, [key]: value})}/>`)}</div>
      <button>Open with these</button></form></details>`}
    <p><a href="/explorer">All models</a></p></${Panel}>`;
}

/** A trace of another tool: its states, without next steps. */
function Foreign({id, step}) {
  const {value, error, loading} = useData(`/api/itf?${new URLSearchParams({id, step})}`);
  const visit = to => go(`/explorer?${new URLSearchParams({trace: id, step: to})}`);
  const last = value?.steps ?? 0;
  useKeys({
    ArrowLeft: ['one step back', () => step > 0 && visit(step - 1)],
    ArrowRight: ['one step on', () => step < last ? visit(step + 1) : value?.frame.loop != null ? visit(value.frame.loop) : false],
  });
  if (error) return html`<${Heading} title="A trace"/><${Trouble} error=${error.status === 404 ? new Error('This trace is not kept any more: open its file again.') : error}/><p><a href="/explorer">All models</a></p>`;
  if (!value) return html`<${Heading} title="A trace"/><${Loading}/>`;
  const steps = value.frame.steps ?? [], first = value.frame.steps_from ?? 0;
  return html`<div class="explorer" aria-busy=${loading}><${Heading} title=${`A trace, step ${value.step}`}>A trace from a file</${Heading}>
    <${Notice}><p>The model does not have this path, so there are no next steps, and nothing is judged.</p></${Notice}>
    <div class="bar"><span role="status">Step <b class="number">${value.step}</b> of <span class="number">${last}</span></span>
      <span class="actions"><button onClick=${() => visit(step - 1)} disabled=${step === 0}>← Back</button><button onClick=${() => visit(step + 1)} disabled=${step >= last}>On →</button></span>
      ${value.frame.loop != null && html`<span>↻ From step ${value.frame.loop} on it repeats for ever.</span>`}</div>
    <div class="walk"><div><${Panel} title="Path"><ol class="plain steps" tabindex="0" role="list" aria-label="Steps of the trace">
      ${steps.map((each, i) => html`<li key=${i} aria-current=${first + i + 1 === value.step ? 'step' : undefined}><a href=${`/explorer?trace=${id}&step=${first + i + 1}`}><span class="number">${first + i + 1}</span> <bdi class="mono">${each.label}</bdi></a></li>`)}</ol></${Panel}></div>
    <div><${State} frame=${value.frame} base=${null}/></div></div></div>`;
}
