import {html} from '../lib/preact.js';
import {Heading, Notice} from '../lib/ui.js';

export default function Reports() {
  return html`<${Heading} title="Reports"/><${Notice}><p>This page is not built yet.</p></${Notice}>`;
}
