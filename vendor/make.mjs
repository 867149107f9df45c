// Makes coherence_console/static/vendor again: the bundles, the licences and VENDOR.toml.
//
//     make vendor
//
// Versions and npm's integrity come from package-lock.json.  The same lock gives the same bytes.
import {createHash} from 'node:crypto';
import {mkdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {build} from 'esbuild';

const TARGET = new URL('../coherence_console/static/vendor/', import.meta.url);
const LISTING = new URL('../coherence_console/static/VENDOR.toml', import.meta.url);
const FILES = {'preact.js': ['preact', '@preact/signals', '@preact/signals-core', 'htm']};

const here = name => new URL(name, import.meta.url);
const text = name => readFileSync(here(name), 'utf8');
const lock = JSON.parse(text('package-lock.json')).packages;

rmSync(TARGET, {recursive: true, force: true});
mkdirSync(TARGET, {recursive: true});
for (const name of Object.keys(FILES)) {
  await build({
    entryPoints: [here(name).pathname],
    outfile: new URL(name, TARGET).pathname,
    bundle: true,
    format: 'esm',
    legalComments: 'none',
    minify: true,
    target: 'es2022',
  });
}
const packages = [...new Set(Object.values(FILES).flat())];
const licences = packages.map(name => {
  const folder = `node_modules/${name}`;
  return `${name} ${lock[folder].version}\n\n${text(`${folder}/LICENSE`).trim()}\n`;
});
writeFileSync(new URL('LICENSES.txt', TARGET), licences.join(`\n${'-'.repeat(80)}\n\n`));

const lines = ['# Written by `make vendor`: what the files in vendor/ are made of, and their hashes.', ''];
for (const name of packages) {
  const found = lock[`node_modules/${name}`];
  lines.push('[[package]]', `name = "${name}"`, `version = "${found.version}"`,
    `licence = "${found.license}"`, `integrity = "${found.integrity}"`, '');
}
for (const [name, from] of Object.entries({...FILES, 'LICENSES.txt': packages})) {
  const hash = createHash('sha256').update(readFileSync(new URL(name, TARGET))).digest('hex');
  lines.push('[[file]]', `name = "${name}"`, `from = [${from.map(each => `"${each}"`).join(', ')}]`,
    `sha256 = "${hash}"`, '');
}
writeFileSync(LISTING, lines.join('\n'));
