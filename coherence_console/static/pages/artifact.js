import {html} from '../lib/preact.js';
import {Heading, Notice} from '../lib/ui.js';

export default function Artifact() {
  return html`<${Heading} title="Artifact"/><${Notice}><p>This page is not built yet.</p></${Notice}>`;
}
