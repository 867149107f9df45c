// Calls of the API.  The token comes with the URL's fragment, is kept for this origin (each port is
// one), and travels in a header that no other page can add: never in a cookie, never in a URL.

const KEPT = 'coherence-token';
const COMES = /^#(token|code)=([\w-]+)$/;

/** Take the token out of the address bar, if it is there; a code is given for the token, once. */
export async function takeToken() {
  const found = COMES.exec(location.hash);
  if (!found) return false;
  history.replaceState(null, '', location.pathname + location.search);
  localStorage.setItem(KEPT, found[2]);
  if (found[1] === 'code') localStorage.setItem(KEPT, (await get('/api/token')).token);
  return true;
}

/** An answer that is an error: `code` is stable, `message` and `remedy` are for people. */
export class Failure extends Error {
  constructor(status, {code = 'failed', message = '', remedy = ''} = {}) {
    super(message || `the server answered ${status}`);
    Object.assign(this, {status, code, remedy});
  }
}

/** The answer of the server; throws `Failure`.  `signal` ends it. */
export async function ask(url, {method = 'GET', body, signal} = {}) {
  const headers = {Authorization: `Bearer ${localStorage.getItem(KEPT) ?? ''}`};
  let answer;
  try {
    answer = await fetch(url, {method, headers, body, signal, cache: 'no-store', credentials: 'omit'});
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Failure(0, {code: 'gone', message: 'the console does not answer',
      remedy: 'start `coherence console` again, and open the URL that it prints'});
  }
  if (!answer.ok) throw new Failure(answer.status, await answer.json().catch(() => ({})));
  return answer;
}

/** The JSON of an answer. */
export const get = async (url, options) => (await ask(url, options)).json();

/** Send `value` as JSON; the JSON of the answer. */
export const post = (url, value, options) =>
  get(url, {method: 'POST', body: JSON.stringify(value), ...options});

/** A URL of `path` with those parameters of `query` that are not null or undefined. */
export function url(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}
