// The frame: navigation, theme, the list of keys, and the page in view.
import {html, render, useEffect, useErrorBoundary, useRef, useState} from './lib/preact.js';
import {get, takeToken} from './lib/api.js';
import {enable, enabled, listed, useKeys} from './lib/keys.js';
import {go, place, to} from './lib/router.js';
import {CHOICES, choose, show, theme} from './lib/theme.js';
import {about, Field, Heading, Loading, Name, Notice, Trouble} from './lib/ui.js';
import {home, PAGES} from './pages.js';

const loaded = new Map();

function App() {
  const [error, fail] = useState(null);
  useEffect(() => { taken.then(() => get('/api/console')).then(value => { about.value = value; }, fail); }, []);
  const {path, parts} = place.value;
  const known = about.value;
  useEffect(() => {
    if (known && !parts.length) go(known.model ? to('explorer', known.model) : to(home(known)), {replace: true});
  }, [known, path]);
  const name = parts[0];
  return html`<${Frame} current=${PAGES[name]?.under ?? name}/>
    <main id="main" tabindex="-1">${error ? html`<${Heading} title="No access"/><${Trouble} error=${error}/>`
      : !known || !parts.length ? html`<${Loading}/>` : html`<${View} key=${name} name=${name}/>`}</main>`;
}

function Frame({current}) {
  const known = about.value;
  const help = useRef();
  useKeys({'?': ['this list', () => help.current.showModal()]});
  return html`<header class="top"><a class="brand" href="/">coherence</a>
    <nav aria-label="Pages"><ul>${Object.entries(PAGES).filter(([, page]) => page.title).map(([name, page]) =>
      html`<li><a href=${to(name)} aria-current=${name === current ? 'page' : undefined}>${page.title}</a></li>`)}</ul></nav>
    <span class="source">${known?.label && html`<span class="dim">${known.kind}</span> <${Name} name=${known.label}/>`}</span>
    <${Field} label="Theme" kind="select" value=${theme.value} change=${choose} choices=${CHOICES.map(each => [each, each])}/>
    <button onClick=${() => help.current.showModal()} aria-haspopup="dialog">Keys <kbd>?</kbd></button></header>
    <dialog ref=${help} aria-labelledby="keys"><h2 id="keys">Keys</h2>
      <dl class="keys">${listed.value.map(([key, what]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}</dl>
      <p><${Field} label="Single keys act" kind="check" value=${enabled.value} change=${enable}/></p>
      <form method="dialog"><button>Close</button></form></dialog>`;
}

function View({name}) {
  const page = PAGES[name];
  const [Page, set] = useState(() => loaded.get(name));
  const [error, fail] = useState(null);
  const [broken] = useErrorBoundary(each => console.error(each));
  const missing = !page ? 'There is no such page.' : !page.has(about.value) ? `Start the console with ${page.start}.` : '';
  useEffect(() => {
    if (missing || Page) return;
    page.load().then(module => { loaded.set(name, module.default); set(() => module.default); }, fail);
  }, [name, missing]);
  const {path} = place.value;
  useEffect(() => {
    // A reader of the screen continues at the page's heading; the first page leaves the focus.
    if (Page && arrived !== null && arrived !== path) document.querySelector('h1')?.focus({preventScroll: false});
    if (Page || missing) arrived = path;
  }, [path, Page]);
  if (missing) return html`<${Heading} title=${page?.title ?? 'Not found'}/><${Notice}><p>${missing}</p></${Notice}>`;
  if (error ?? broken) return html`<${Heading} title="This page failed"/><${Trouble} error=${error ?? broken}/>`;
  return Page ? html`<${Page} place=${place.value}/>` : html`<${Loading}/>`;
}
let arrived = null;

const taken = takeToken();
show();
// The URL that the command prints may be opened in a tab that shows the console already.
addEventListener('hashchange', () => takeToken().then(found => found && location.reload()));
render(html`<${App}/>`, document.getElementById('app'));
