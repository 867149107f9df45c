// Text of others, numbers and times, as people read them.

// Controls, format controls (bidirectional ones among them), separators, lone surrogates.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** `text` with every character shown that would not be, or would turn its neighbours around. */
export const escaped = text =>
  String(text).replace(HIDDEN, c => `\\u${c.codePointAt(0).toString(16).padStart(4, '0')}`);

/** As `escaped`, for contents: tabs stay as they are. */
export const escapedLine = text =>
  String(text).replace(HIDDEN, c => c === '\t' ? c : `\\u${c.codePointAt(0).toString(16).padStart(4, '0')}`);

/** 12,345. */
export const count = number => Number(number).toLocaleString('en');

/** "1 artifact", "2 artifacts". */
export const many = (number, what) => `${count(number)} ${what}${Number(number) === 1 ? '' : 's'}`;

/** 900 B, 1.5 kB, 2.0 MB. */
export function bytes(number) {
  if (number < 1000) return `${number} B`;
  for (const unit of ['kB', 'MB', 'GB']) {
    number /= 1000;
    if (number < 1000 || unit === 'GB') return `${number.toFixed(number < 10 ? 1 : 0)} ${unit}`;
  }
}

/** A duration in seconds: 12 s, 3 min, 2 h, 5 d. */
export function span(seconds) {
  const s = Math.max(0, seconds);
  if (s < 100) return `${Math.round(s)} s`;
  if (s < 6000) return `${Math.round(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

/** What lies between a store's clock and the calendar: the clock of memory counts from anywhere. */
let shift = 0;
export const setClock = now => { shift = now > 1e9 ? 0 : Date.now() / 1000 - now; };

/** A time of the store's clock as the calendar has it. */
export function iso(seconds) {
  const at = new Date((seconds + shift) * 1000);
  return isNaN(at) ? '' : at.toISOString();
}

/** A time of the store's clock, in this browser's zone: 2026-11-29 08:15:30. */
export function time(seconds) {
  if (!seconds) return '';
  const at = new Date((seconds + shift) * 1000), two = n => String(n).padStart(2, '0');
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ` +
    `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}
