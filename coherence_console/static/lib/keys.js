// Keys of the page in view.  `?` lists them; they can be switched off, as WCAG 2.1.4 asks.
import {signal, useEffect, useRef} from './preact.js';

const KEPT = 'coherence-keys';

/** Whether single keys act. */
export const enabled = signal(localStorage.getItem(KEPT) !== 'off');
/** What `?` lists: [key, what it does]. */
export const listed = signal([]);

export function enable(on) {
  enabled.value = on;
  localStorage.setItem(KEPT, on ? 'on' : 'off');
}

/**
 * While the component is shown, `keys` act: `{'ArrowLeft': ['one step back', fn], ...}`.  A key is
 * `event.key`.  A function that returns false leaves the key to the browser.
 */
export function useKeys(keys) {
  const now = useRef();
  now.current = keys;
  useEffect(() => {
    const lines = Object.entries(now.current).map(([key, [what]]) => [key, what]);
    listed.value = [...listed.value, ...lines];
    const act = event => {
      const {target} = event;
      if (!enabled.value || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (target.isContentEditable || target.matches?.('select, textarea, input:not([type=checkbox], [type=file])')) return;
      if (document.querySelector('dialog[open]')) return;
      const found = now.current[event.key];
      if (found && found[1](event) !== false) event.preventDefault();
    };
    addEventListener('keydown', act);
    return () => {
      removeEventListener('keydown', act);
      listed.value = listed.value.filter(line => !lines.includes(line));
    };
  }, []);
}
