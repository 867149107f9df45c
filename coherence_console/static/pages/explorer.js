import {html} from '../lib/preact.js';
import {Heading, Notice} from '../lib/ui.js';

export default function Explorer() {
  return html`<${Heading} title="Explorer"/><${Notice}><p>This page is not built yet.</p></${Notice}>`;
}
