// The pages of the console.  A page is a module in pages/ whose default export is a component of
// `{place}`: see `place` in lib/router.js.  It draws one `Heading`, and may use what lib/ has.
//
// `has` says whether there is something to show, and `start` how the command is told of it.  A view
// with `under` is not in the navigation.

export const PAGES = {
  team: {title: 'Team', load: () => import('./pages/team.js'), has: about => about.has.team, start: '--store URL'},
  artifact: {under: 'team', load: () => import('./pages/artifact.js'), has: about => about.has.team, start: '--store URL'},
  agent: {under: 'team', load: () => import('./pages/agent.js'), has: about => about.has.team, start: '--store URL'},
  timeline: {title: 'Timeline', load: () => import('./pages/timeline.js'), has: about => about.has.timeline, start: '--trace FILE or --store URL'},
  explorer: {title: 'Explorer', load: () => import('./pages/explorer.js'), has: about => about.has.explorer, start: '--model NAME'},
  reports: {title: 'Reports', load: () => import('./pages/reports.js'), has: about => about.has.reports, start: '--reports FOLDER'},
};

/** The first page that has something to show. */
export const home = about => Object.keys(PAGES).find(name => PAGES[name].has(about)) ?? 'team';
