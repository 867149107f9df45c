import {html} from '../lib/preact.js';
import {Heading, Table, Trouble, Loading, useData, Artifact, Agent} from '../lib/ui.js';

export default function Team() {
  const {value, error} = useData('/api/team');
  if (error) return html`<${Heading} title="Team"/><${Trouble} error=${error}/>`;
  if (!value) return html`<${Heading} title="Team"/><${Loading}/>`;
  return html`<${Heading} title="Team"/>
    <${Table} caption="Artifacts" rows=${value.artifacts} id=${row => row.artifact} columns=${[
      {title: 'artifact', cell: row => html`<${Artifact} name=${row.artifact} version=${row.version}/>`, sort: row => row.artifact},
      {title: 'by', cell: row => html`<${Agent} name=${row.author}/>`, sort: row => row.author},
    ]}/>`;
}
