// Light, dark, or as the system has it.
import {computed, signal} from './preact.js';

const KEPT = 'coherence-theme';
const dark = matchMedia('(prefers-color-scheme: dark)');
const system = signal(dark.matches);
dark.addEventListener('change', () => { system.value = dark.matches; });

export const CHOICES = ['system', 'light', 'dark'];
export const theme = signal(CHOICES.includes(localStorage.getItem(KEPT)) ? localStorage.getItem(KEPT) : 'system');
/** Whether the page is dark now; canvases draw again when it changes. */
export const isDark = computed(() => theme.value === 'dark' || (theme.value === 'system' && system.value));

export function choose(name) {
  theme.value = name;
  localStorage.setItem(KEPT, name);
  show();
}

export function show() { document.documentElement.dataset.theme = theme.value; }
