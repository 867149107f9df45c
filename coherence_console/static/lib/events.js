// A stream of events, read with fetch: EventSource cannot send the token's header.
import {ask} from './api.js';

const FIRST_MS = 500, LAST_MS = 8000;

/**
 * Listen to a stream until the function that is returned is called.
 *
 * `handlers` has a function of the event's JSON for each kind of event.  `state` is told 'live',
 * 'waiting' (the server does not answer: it is asked again), 'hidden' (a page that is not seen
 * holds no connection) or 'refused', with the error.
 */
export function listen(url, handlers, state = () => {}) {
  let ended = false, current = null, pause = FIRST_MS, timer = 0;

  async function run() {
    const control = current = new AbortController();
    try {
      const answer = await ask(url, {signal: control.signal});
      state('live');
      pause = FIRST_MS;
      await read(answer.body.getReader(), handlers);
    } catch (error) {
      if (ended || control.signal.aborted) return;
      if (error.status && error.status < 500) return state('refused', error);
      state('waiting', error);
    }
    if (ended || control.signal.aborted) return;
    timer = setTimeout(run, pause);
    pause = Math.min(pause * 2, LAST_MS);
  }

  function stop() {
    clearTimeout(timer);
    current?.abort();
  }

  function seen() {
    stop();
    if (document.hidden) state('hidden');
    else run();
  }

  document.addEventListener('visibilitychange', seen);
  if (!document.hidden) run();
  return () => {
    ended = true;
    document.removeEventListener('visibilitychange', seen);
    stop();
  };
}

async function read(reader, handlers) {
  const decoder = new TextDecoder();
  let text = '';
  for (;;) {
    const {done, value} = await reader.read();
    if (done) return;
    text += decoder.decode(value, {stream: true});
    let end;
    while ((end = text.indexOf('\n\n')) >= 0) {
      const frame = text.slice(0, end);
      text = text.slice(end + 2);
      const found = /^event: (\S+)\ndata: (.*)$/.exec(frame);
      if (found) handlers[found[1]]?.(JSON.parse(found[2]));
    }
  }
}
