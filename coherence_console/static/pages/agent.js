import {html} from '../lib/preact.js';
import {Heading, Notice} from '../lib/ui.js';

export default function Agent() {
  return html`<${Heading} title="Agent"/><${Notice}><p>This page is not built yet.</p></${Notice}>`;
}
