// The one place that names the vendored file.
export * from '../vendor/preact.js';
