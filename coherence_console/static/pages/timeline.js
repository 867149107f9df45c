import {html} from '../lib/preact.js';
import {Heading, Notice} from '../lib/ui.js';

export default function Timeline() {
  return html`<${Heading} title="Timeline"/><${Notice}><p>This page is not built yet.</p></${Notice}>`;
}
