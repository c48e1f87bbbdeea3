/**
 * Runs in the distribution, at the edge, before a call goes on to the pages or to the API, and before an answer of the API goes
 * back (CloudFront Functions, runtime 2.0, which knows less of the language than browsers do). infra/hosting.ts writes the
 * addresses of the pages into it.
 *
 * Invariant: the caller's address in `holdfast-viewer` is the one that the distribution saw, whatever the caller sent.
 */

/** Files by the paths at which they are asked for. */
const files = JSON.parse('FILES');
const salePath = /^\/sales\/([0-9a-f-]{36})(\.png)?$/;

// biome-ignore lint/correctness/noUnusedVariables: CloudFront calls it.
function handler(event) {
  return event.response ? answered(event.response) : asked(event.request, event.viewer);
}

function asked(request, viewer) {
  const { uri, headers } = request;
  headers['holdfast-viewer'] = { value: viewer.ip };
  if (uri.startsWith('/api/')) {
    request.uri = uri.slice('/api'.length);
    return request;
  }
  const sale = salePath.exec(uri);
  if (sale) {
    request.uri = `/pages/sales/${sale[1]}${sale[2] ? '/cover' : ''}`;
    headers['holdfast-host'] = { value: headers.host.value };
    // One page is kept for each language, however a browser lists those that it speaks.
    const languages = headers['accept-language'];
    headers['accept-language'] = { value: languages && /^\s*ko\b/i.test(languages.value) ? 'ko' : 'en' };
    return request;
  }
  if (Object.keys(files).indexOf(uri) < 0) return notFound();
  request.uri = files[uri];
  return request;
}

/** What the API says of where something is starts at the API; from here it is behind its prefix. */
function answered(response) {
  const { headers } = response;
  const location = headers.location ? headers.location.value : '';
  if (location.startsWith('/')) headers.location = { value: `/api${location}` };
  return response;
}

function notFound() {
  return {
    statusCode: 404,
    statusDescription: 'Not Found',
    headers: { 'content-type': { value: 'text/plain' }, 'cache-control': { value: 'no-store' } },
    body: { encoding: 'text', data: 'There is no such page.\n' },
  };
}
