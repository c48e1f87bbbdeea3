/** The addresses of the pages, for whoever serves them. */

/** Paths that the shop's page itself takes apart. */
export const shopPaths: readonly string[] = ['/', '/settings'];

/** Files that do not change their names with their content, and how a browser is told to keep the others. */
export const pageFiles: readonly string[] = ['/index.html', '/console.html', '/config.json'];
export const keptForEver = 'public, max-age=31536000, immutable';
export const askedAnew = 'no-cache';
