// One URL for each view.  A view is `/PAGE/PART/PART?name=value`; parts may hold any character.
import {signal} from './preact.js';

const read = () => ({
  path: location.pathname,
  search: location.search,
  parts: location.pathname.split('/').filter(Boolean).map(decode),
  query: new URLSearchParams(location.search),
});

function decode(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}

/** Where we are: `{path, search, parts, query}`. */
export const place = signal(read());

/** The URL of a view: `to('artifact', name)`, `to('team', {filter: 'docs'})`. */
export function to(...parts) {
  const query = typeof parts.at(-1) === 'object' ? parts.pop() : {};
  const given = Object.entries(query).filter(([, value]) => value !== '' && value != null);
  const path = `/${parts.map(encodeURIComponent).join('/')}`;
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

/** Go to a view; `replace` adds no step to the browser's history, as typing in a filter does. */
export function go(url, {replace = false} = {}) {
  if (url === location.pathname + location.search) return;
  history[replace ? 'replaceState' : 'pushState'](null, '', url);
  place.value = read();
}

/** The same view with other parameters; one that is empty is left out. */
export function change(query, options = {replace: true}) {
  go(to(...place.value.parts, {...Object.fromEntries(place.value.query), ...query}), options);
}

addEventListener('popstate', () => { place.value = read(); });

// Links stay links: another tab, the middle button and a copied address work as anywhere.
addEventListener('click', event => {
  const link = event.target.closest?.('a[href^="/"]');
  const plain = event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
  if (!link || !plain || link.target || event.defaultPrevented) return;
  event.preventDefault();
  go(link.getAttribute('href'));
});
