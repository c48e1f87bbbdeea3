/** The shop's page as it was built. A bundle has the text in place of this module (infra/bundle/plugins.mjs). */

/** The HTML, with the names that its scripts and styles have. Builds the pages. */
export async function shopShell(): Promise<string> {
  const { buildPages } = await import('./build.ts');
  const page = (await buildPages()).get('/index.html');
  if (!page) throw new Error('the shop has no page');
  return page.body.toString();
}
