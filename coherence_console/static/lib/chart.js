// A chart of numbers on a canvas, with the same numbers as a table for those who do not see it.
import {html, useEffect, useRef} from './preact.js';
import {isDark} from './theme.js';
import {uPlot} from '../vendor/uplot.js';
import {Table} from './ui.js';

/** The colours of series, in order, which differ in lightness too: with dashes beside them. */
const COLOURS = ['--blue', '--orange', '--green', '--purple', '--red'];
const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3], [1, 2]];

const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/**
 * `data` is [xs, ys, ys, ...]; `series` names each ys: `{label, unit}`.  `x` is the title of the
 * horizontal axis; `time` says that xs are seconds since the epoch.  `options` are merged into
 * uPlot's, for other kinds of charts.
 */
export function Chart({title, x, time = false, data, series, height = 240, options = {}}) {
  const box = useRef();
  const dark = isDark.value;
  useEffect(() => {
    const axis = {stroke: colour('--fg'), grid: {stroke: colour('--line'), width: 1}, ticks: {stroke: colour('--line')}};
    const made = new uPlot({
      width: box.current.clientWidth || 600,
      height,
      scales: {x: {time}},
      axes: [{...axis, label: x}, axis],
      series: [{label: x}, ...series.map((each, n) => ({
        label: each.label, stroke: colour(COLOURS[n % COLOURS.length]), dash: DASHES[n % DASHES.length], width: 2,
      }))],
      ...options,
    }, data, box.current);
    const sized = new ResizeObserver(() => made.setSize({width: box.current.clientWidth, height}));
    sized.observe(box.current);
    return () => { sized.disconnect(); made.destroy(); };
  }, [data, series, dark, height, options]);
  const rows = data[0].map((each, n) => [each, ...data.slice(1).map(ys => ys[n])]);
  return html`<figure class="chart"><figcaption>${title}</figcaption>
    <div ref=${box} aria-hidden="true"></div>
    <details><summary>The numbers of this chart</summary><${Table} caption=${title} rows=${rows} id=${row => row[0]}
      columns=${[x, ...series.map(each => each.label)].map((name, n) => ({title: name, number: true, cell: row => row[n], sort: row => row[n]}))}/></details></figure>`;
}
