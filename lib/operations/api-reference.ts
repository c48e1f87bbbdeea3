/**
 * The page at `/docs`: Scalar's API reference, which shows the OpenAPI document with examples and lets its reader try
 * every call. Page, script and document come from this API itself; nothing is fetched from elsewhere.
 */
/** Scalar's online services, web fonts and telemetry are all switched off. */
const configuration = {
  url: '/openapi.json',
  agent: { disabled: true },
  mcp: { disabled: true },
  telemetry: false,
  withDefaultFonts: false,
  hideClientButton: true,
  showDeveloperTools: 'never',
  documentDownloadType: 'json',
  defaultHttpClient: { targetKey: 'shell', clientKey: 'curl' },
  authentication: { preferredSecurityScheme: 'accessToken' },
  // On a phone the head names the operation that is read, on one line: a long name made the whole page wider than the screen.
  customCss: 'header > span { overflow: hidden; text-overflow: ellipsis }',
};

/** Enforces this in the browser: scripts and calls only to this origin, and no eval. */
export const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

export const apiReferencePage = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="referrer" content="no-referrer">
    <link rel="icon" href="data:,">
    <title>Holdfast API</title>
  </head>
  <body>
    <script id="api-reference" data-configuration="${JSON.stringify(configuration).replaceAll('"', '&quot;')}"></script>
    <script src="/docs/scalar.js"></script>
  </body>
</html>
`;
