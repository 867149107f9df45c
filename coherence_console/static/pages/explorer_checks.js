// Checks and searches, which run in a process of their own; and what the properties say.
import {html, useEffect, useState} from '../lib/preact.js';
import {get, post} from '../lib/api.js';
import {listen} from '../lib/events.js';
import {count, escaped, many} from '../lib/text.js';
import {Field, Notice, Trouble} from '../lib/ui.js';

/** All properties: what they say here, and what a whole check has found. */
export function Verdicts({properties, violated, outcome, to}) {
  const found = new Map((outcome?.findings ?? []).map(each => [each.name, each]));
  const tally = outcome && ['VIOLATED', 'UNDETERMINED', 'HOLDS'].map(verdict => [verdict, outcome.findings.filter(each => each.verdict === verdict).length]).filter(([, n]) => n);
  return html`<details class="panel verdicts"><summary><b>${many(properties.length, 'property').replace('propertys', 'properties')}</b>
      ${' '}<span>${violated.length ? html`<span class="tag bad">${count(violated.length)} violated here</span>` : html`<span class="dim">none violated here</span>`}</span> <span class="dim" aria-hidden="true">·</span>
      ${outcome ? html` <span class=${`tag ${outcome.verdict === 'VIOLATED' ? 'bad' : outcome.verdict === 'HOLDS' ? 'good' : ''}`}>${outcome.verdict}</span> <span class="dim">${tally.map(([verdict, n]) => `${n} ${verdict.toLowerCase()}`).join(', ')}; ${many(outcome.distinct, 'state')}, depth ${count(outcome.depth)}, ${outcome.seconds.toFixed(2)} s${outcome.stopped && `, stopped: ${escaped(outcome.stopped)}`}</span>`
        : html` <span class="dim">not checked as a whole yet</span>`}</summary>
    ${outcome?.deadlock && html`<p><span class="tag bad">VIOLATED</span> deadlock <a href=${to(outcome.deadlock, {at: outcome.deadlock_digest})}>counterexample (${many(outcome.deadlock.length - 1, 'step')})</a></p>`}
    <ul class="plain">${[...properties].sort((a, b) => rank(b, found) - rank(a, found)).map(each => {
      const finding = found.get(each.name);
      const atoms = Object.entries(each.atoms ?? {});
      return html`<li key=${each.name}><span class=${`tag ${each.here === 'violated' || each.here === 'raised' ? 'bad' : ''}`}>${HERE[each.here]}</span>
        ${finding && html` <span class=${`tag ${finding.verdict === 'VIOLATED' ? 'bad' : finding.verdict === 'HOLDS' ? 'good' : ''}`}>${finding.verdict}${finding.vacuous ? ', vacuously' : ''}</span>`}
        ${' '}<span class="dim">${each.kind.replaceAll('_', ' ')}</span> <bdi>${escaped(each.name)}</bdi>
        ${each.formula && html` <code>${each.formula}</code>`}${atoms.length > 0 && html` <span class="dim">${atoms.map(([name, is]) => `${escaped(name)} is ${is}`).join(', ')}</span>`}
        ${finding?.path && html` <a href=${to(finding.path, {at: finding.digest, loop: finding.loop})}>${KIND[finding.verdict]} (${many(finding.path.length - 1, 'step')}${finding.loop !== null ? ', a lasso' : ''})</a>`}
        ${(each.why || finding?.why) && html` <span class="dim">${escaped(each.why || finding.why)}</span>`}</li>`;
    })}</ul>
    ${outcome?.notes.length > 0 && html`<p class="dim">${outcome.notes.map(escaped).join('; ')}</p>`}</details>`;
}

/** What is wrong comes first. */
const rank = (each, found) => (each.here === 'violated' || each.here === 'raised' ? 2 : 0) + (found.get(each.name)?.verdict === 'VIOLATED' ? 1 : 0);

const HERE = {holds: 'holds here', violated: 'violated here', witness: 'witness here', 'no witness': 'not here', untested: 'not tested here', open: 'of whole paths', raised: 'raised'};
const KIND = {VIOLATED: 'counterexample', HOLDS: 'witness', UNDETERMINED: 'followed up to the bound'};

/** Starts a check, or the search that `task` describes, and shows its progress. */
export function Checking({model, settings, task = null, label = 'Check all states', disabled = false, done = () => {}, located = () => {}}) {
  const [job, set] = useState(null), [error, fail] = useState(null);
  const [seconds, setSeconds] = useState('60'), [reduction, setReduction] = useState('');
  const id = job?.state === 'running' ? job.id : null;
  useEffect(() => {
    if (!id) return;
    return listen(`/api/checks/events?id=${id}`, {job: now => {
      set(now);
      if (now.outcome) done(now.outcome);
      if (now.located) located(now.located);
      if (now.state === 'failed') fail(Object.assign(new Error(now.message), {remedy: now.remedy}));
    }}, (state, problem) => { if (state === 'refused') { set(null); fail(problem); } });
  }, [id]);
  const start = event => {
    event?.preventDefault();
    fail(null);
    const options = task ?? {symmetry: reduction === 'symmetry', por: reduction === 'por'};
    post('/api/checks', {model, settings, seconds: Number(seconds) || 60, ...options}).then(set, fail);
  };
  const cancel = () => get(`/api/checks?id=${id}`, {method: 'DELETE'}).then(set, fail);
  const at = job?.progress;
  return html`<span class="checking">${id
    ? html`<button type="button" onClick=${cancel}>Cancel</button> <progress aria-label=${label}></progress> <span role="status">${at ? html`${many(at.distinct, 'state')}, depth ${count(at.depth)}, ${at.seconds.toFixed(0)} s, ${count(Math.round(at.memory_mib))} MiB` : 'starting'}</span>`
    : html`<button type="button" onClick=${start} disabled=${disabled}>${label}</button>`}
    ${!task && !id && html` <${Field} label="at most, in seconds" kind="number" min="1" value=${seconds} change=${setSeconds}/>
      ${' '}<${Field} label="reduced by" kind="select" value=${reduction} change=${setReduction} choices=${[['', 'nothing'], ['symmetry', 'symmetry'], ['por', 'partial order']]}/>`}
    ${job?.state === 'cancelled' && html` <span role="status" class="dim">cancelled</span>`}</span>
    ${error && html`<${Trouble} error=${error}/>`}`;
}
