/**
 * The page at `/docs`: the OpenAPI document as people read it, in one HTML file without scripts or anything from
 * elsewhere, so that it works offline and under the strictest content security policy.
 */
import type { OpenApiDocument, Operation, Schema } from '#platform/handlers/openapi.ts';

/** Renders the whole document. */
export function docsPage(document: OpenApiDocument): string {
  const { title, version, description } = document.info;
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  const sections = document.tags.map(({ name }) => {
    const own = operations.filter(({ operation }) => operation.tags.includes(name));
    return `<section><h2 id="${slug(name)}">${html(name)}</h2>${own.map(renderOperation).join('')}</section>`;
  });
  const menu = document.tags.map(({ name }) => {
    const own = operations.filter(({ operation }) => operation.tags.includes(name));
    const links = own.map(
      ({ method, path, operation }) =>
        `<li><a href="#${operation.operationId}"><b class="${method}">${method}</b> ${html(path)}</a></li>`,
    );
    return `<h3><a href="#${slug(name)}">${html(name)}</a></h3><ul>${links.join('')}</ul>`;
  });
  const schemas = Object.entries(document.components.schemas).map(
    ([name, schema]) => `<article id="schema-${name}"><h3>${html(name)}</h3>${renderFields(schema)}</article>`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer"><title>${html(title)} API</title><style>${style}</style></head>
<body><nav><h1>${html(title)}</h1><p>API ${html(version)} · <a href="openapi.json">openapi.json</a></p>${menu.join('')}
<h3><a href="#shapes">Shapes</a></h3></nav>
<main><p class="lead">${html(description)}</p>${sections.join('')}
<section><h2 id="shapes">Shapes</h2>${schemas.join('')}</section></main></body></html>`;
}

interface Call {
  path: string;
  method: string;
  operation: Operation;
}

function renderOperation({ path, method, operation }: Call): string {
  const parts = [
    `<h3><b class="${method}">${method}</b> <code>${html(path)}</code></h3>`,
    `<p>${html(operation.summary)}. <em>${whoMayCall(operation)}</em></p>`,
  ];
  if (operation.parameters) {
    const rows = operation.parameters.map(({ name, in: where, required, description, schema }) =>
      row([`<code>${html(name)}</code>${required ? '' : optional}`, where, typeOf(schema), html(description ?? '')]),
    );
    parts.push('<h4>Parameters</h4>', table(rows));
  }
  if (operation.requestBody) {
    parts.push(`<h4>Body</h4><p>${html(operation.requestBody.description)}</p>`);
    parts.push(renderContent(operation.requestBody.content));
  }
  const refusals: string[] = [];
  for (const [status, response] of Object.entries(operation.responses)) {
    if (Number(status) < 300) {
      parts.push(`<h4>Answer ${status}</h4>`, renderContent(response.content ?? {}));
    } else {
      for (const refusal of response.description.split(/; (?=`)/)) {
        const [, code = '', meaning = ''] = /^`(\w+)`: (.*)$/.exec(refusal) ?? [];
        refusals.push(row([status, `<code>${code}</code>`, html(meaning)]));
      }
    }
  }
  parts.push(`<details><summary>Refusals</summary>${table(refusals)}</details>`);
  return `<article id="${operation.operationId}">${parts.join('')}</article>`;
}

function whoMayCall(operation: Operation): string {
  if (operation['x-operator-only']) return 'For operators.';
  return operation.security.length > 0 ? 'For signed-in customers.' : 'For everyone.';
}

function renderContent(content: Record<string, { schema: Schema }>): string {
  const rendered = Object.entries(content).map(([type, { schema }]) => {
    const link = schema.$ref || !schema.properties ? typeOf(schema) : '';
    return `<p><code>${html(type)}</code> ${link}</p>${renderFields(schema)}`;
  });
  return rendered.join('') || '<p>Nothing.</p>';
}

/** The fields of an object; nothing for what is only a reference, which has a place of its own. */
function renderFields(schema: Schema): string {
  const fields = Object.entries(schema.properties ?? {}).map(([name, field]) => {
    const mark = schema.required?.includes(name) ? '' : optional;
    return row([`<code>${html(name)}</code>${mark}`, typeOf(field), describe(field)]);
  });
  return fields.length > 0 ? table(fields) : '';
}

/** A field's meaning, and the fields inside it if they have no name of their own. */
function describe(schema: Schema): string {
  const inner = schema.properties ?? schema.items?.properties;
  const nested = inner ? renderFields(schema.properties ? schema : (schema.items ?? {})) : '';
  return `${html(schema.description ?? '')}${nested}`;
}

/** A schema's type and limits in a few words. */
function typeOf(schema: Schema): string {
  if (schema.$ref) {
    const name = schema.$ref.split('/').at(-1) ?? '';
    return `<a href="#schema-${name}">${html(name)}</a>`;
  }
  const choices = (schema.anyOf ?? schema.oneOf ?? schema.allOf) as Schema[] | undefined;
  if (choices) return choices.map(typeOf).join(schema.allOf ? ' and ' : ' or ');
  if (schema.const !== undefined) return `<code>${html(JSON.stringify(schema.const))}</code>`;
  if (Array.isArray(schema.enum)) {
    return schema.enum.map((value) => `<code>${html(String(value))}</code>`).join(' or ');
  }
  if (schema.type === 'array') return `list of ${schema.items ? typeOf(schema.items) : 'anything'}`;
  const limits = [
    ['minLength', 'at least', ' characters'],
    ['maxLength', 'at most', ' characters'],
    ['minimum', 'from', ''],
    ['maximum', 'to', ''],
    ['exclusiveMinimum', 'above', ''],
  ].flatMap(([keyword = '', words = '', unit = '']) =>
    typeof schema[keyword] === 'number' ? [`${words} ${schema[keyword].toLocaleString('en')}${unit}`] : [],
  );
  const type = String(schema.format ?? schema.type ?? 'anything');
  return html([type, limits.join(', ')].filter(Boolean).join(', '));
}

const optional = ' <small>optional</small>';
const row = (cells: string[]) => `<tr>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`;
const table = (rows: string[]) => `<table>${rows.join('')}</table>`;
const slug = (text: string) => text.toLowerCase().replace(/\W+/g, '-');

function html(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replace(/`(\w+)`/g, '<code>$1</code>');
}

const style = `
:root{--ink:#1c2430;--soft:#5b6675;--line:#dfe4ea;--back:#fff;--side:#f5f7f9;--link:#0b5fad;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--ink:#e3e8ee;--soft:#9aa6b5;--line:#323b47;--back:#14181d;--side:#1a2027;--link:#7db9f5}}
*{box-sizing:border-box}html{scroll-behavior:smooth}
body{margin:0;display:grid;grid-template-columns:20rem minmax(0,1fr);font:16px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--back)}
nav{position:sticky;top:0;height:100vh;overflow:auto;padding:1.5rem;background:var(--side);border-right:1px solid var(--line);font-size:.86rem}
nav h1{margin:0;font-size:1.3rem}nav ul{list-style:none;margin:0;padding:0}nav li{margin:.15rem 0;overflow-wrap:anywhere}nav h3{margin:1.1rem 0 .3rem}
nav a{color:inherit;text-decoration:none}nav a:hover{text-decoration:underline}
main{padding:1.5rem 2.5rem 6rem;max-width:64rem}.lead{font-size:1.05rem;color:var(--soft)}
h2{margin:2.5rem 0 1rem;font-size:1.5rem}h3{margin:0 0 .5rem;font-size:1.02rem}h4{margin:1rem 0 .2rem;font-size:.86rem;color:var(--soft)}
a{color:var(--link)}em,small{color:var(--soft)}p{margin:.3rem 0}
article{margin:1rem 0;padding:1.1rem 1.3rem;border:1px solid var(--line);border-radius:.6rem;scroll-margin-top:1rem}article:target{border-color:var(--link)}
code{font:.92em ui-monospace,monospace}table{width:100%;border-collapse:collapse;font-size:.88rem;margin:.3rem 0}
td{padding:.35rem .7rem .35rem 0;border-top:1px solid var(--line);vertical-align:top}td:first-child{white-space:nowrap}
b.get,b.post,b.patch,b.delete,b.put{display:inline-block;min-width:3.6em;text-transform:uppercase;font:700 .74rem ui-monospace,monospace}
b.get{color:#2f7d4f}b.post{color:#0b5fad}b.patch,b.put{color:#a15c00}b.delete{color:#b3261e}
summary{cursor:pointer;margin-top:.8rem;color:var(--soft);font-size:.86rem}
@media(max-width:60rem){body{display:block}nav{position:static;height:auto}main{padding:1rem}}
`.trim();
