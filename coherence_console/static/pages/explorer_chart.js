// The sequence diagram of a path: one lane a process, messages slanted from the step that sent them
// to the step that took them.  The path beside it has the same steps as a list.
import {html, useEffect, useRef} from '../lib/preact.js';
import {escaped} from '../lib/text.js';

const ROW = 26, TOP = 8, LEFT = 150, HEAD = 24;

export function Sequence({chart, step, visit}) {
  const box = useRef();
  const {lanes, dots, arrows, first, last} = chart, loop = chart.loop ?? null;
  useEffect(() => { box.current.scrollTop = Math.max(0, y(step) - box.current.clientHeight + HEAD + 2 * ROW); }, [step, chart]);
  const lane = Math.max(110, Math.min(210, 500 / Math.max(1, lanes.length - 1)));
  const x = name => LEFT + lanes.indexOf(name) * lane;
  const y = at => TOP + (Math.max(at, first - 1) - first + 1) * ROW;
  const width = LEFT + (lanes.length - 1) * lane + 170, height = y(last) + ROW;
  const cut = text => text.length > 26 ? `${text.slice(0, 25)}…` : text;
  const label = text => text.split('(')[0];
  const did = text => text.replace(/ \(invoke.*$/, '');
  return html`<div class="sequence" ref=${box} tabindex="0" role="region" aria-label="Sequence diagram">
    <svg class="lanes" width=${width} height=${HEAD} viewBox=${`0 0 ${width} ${HEAD}`} role="group" aria-label="Processes">
      ${lanes.map(name => html`<text key=${name} class="lane" x=${x(name)} y="16" text-anchor="middle">${escaped(name || 'model')}</text>`)}</svg>
    <svg width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} role="group" aria-label=${`Sequence diagram of steps ${first} to ${last}`}>
      <defs><marker id="arrowhead" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" class="head"/></marker></defs>
      ${lanes.map(name => html`<line key=${name} class="lifeline" x1=${x(name)} y1="0" x2=${x(name)} y2=${height - 6}/>`)}
      ${arrows.map((each, i) => {
        const x1 = x(each.src), x2 = x(each.dst), y1 = y(each.sent), y2 = y(each.taken);
        return html`<g key=${`a${i}`} class=${each.lost ? 'message lost' : 'message'}><title>${escaped(each.text)}${each.lost ? ', lost' : ''}</title>
          <line x1=${x1} y1=${y1} x2=${x2} y2=${y2} marker-end=${each.lost ? undefined : 'url(#arrowhead)'}/>
          <text x=${(x1 + x2) / 2} y=${(y1 + y2) / 2 - 4} text-anchor="middle">${cut(label(each.text))}${each.lost ? ' ✕' : ''}</text></g>`;
      })}
      ${dots.map(each => html`<g key=${each.step} class=${each.step === step ? 'dot now' : 'dot'} onClick=${() => visit(each.step)}>
        <circle cx=${x(each.lane)} cy=${y(each.step)} r=${each.step === step ? 5.5 : 4}/>
        <text x=${x(each.lane) + (each.lane === lanes[0] ? -9 : 9)} y=${y(each.step) + 4} text-anchor=${each.lane === lanes[0] ? 'end' : 'start'}>${each.step} ${cut(did(each.text))}</text><title>${escaped(each.text)}</title></g>`)}
      ${loop !== null && loop >= first - 1 && html`<g class="lasso"><line x1="4" y1=${y(loop) + ROW / 2} x2=${width - 4} y2=${y(loop) + ROW / 2}/>
        ${loop < last && html`<path d=${`M28 ${y(last)}H14V${y(loop) + ROW / 2}`} marker-end="url(#arrowhead)"/>`}
        <text x="20" y=${y(loop) + ROW / 2 - 4}>${loop < last ? 'repeats for ever' : 'nothing happens any more'}</text></g>`}
    </svg></div>`;
}
