/**
 * What the address of a sale looks like where it is shared (Open Graph): title, price, times and picture, written into the
 * head of the page, because what makes previews runs no scripts.
 */
import { minorDigits, toDecimal } from '#platform/kernel/money.ts';
import { formatFor } from './format.ts';
import { languageOf, loadWords } from './words.ts';

/** What a preview says of a sale. */
export interface Previewed {
  readonly saleId: string;
  readonly name: string;
  readonly price: { readonly amountMinor: number; readonly currency: string };
  readonly capPerCustomer: number;
  readonly reserveOpensAt: string;
  readonly purchaseOpensAt: string;
}

/** Where the page has its own title and description. */
const ownHead = /<!-- preview -->[\s\S]*<!-- \/preview -->/;

/**
 * The page with the preview of a sale in its head, in the language of a tag. `origin` is where it is served, `code` what the
 * address brings for a sale that asks for one.
 */
export async function previewedPage(
  html: string,
  sale: Previewed,
  origin: string,
  locale: string,
  code?: string,
): Promise<string> {
  const { saleId, name, price, capPerCustomer, reserveOpensAt, purchaseOpensAt } = sale;
  const words = await loadWords(languageOf(locale) ?? 'en');
  const format = formatFor(locale, words, Date.now, minorDigits);
  const time = new Intl.DateTimeFormat(locale, {
    // Who reads it may be anywhere.
    ...{ timeZone: 'UTC', timeZoneName: 'short', month: 'short', day: 'numeric', hour: 'numeric', minute: '2-digit' },
  });
  const at = (iso: string) => time.format(new Date(iso));
  const description = [
    words.preview.price(format.money(price), format.number(capPerCustomer)),
    words.preview.times(at(reserveOpensAt), at(purchaseOpensAt)),
  ].join(' ');
  const properties: Record<string, string> = {
    'og:type': 'product',
    'og:site_name': 'Holdfast',
    'og:title': name,
    'og:description': description,
    'og:url': `${origin}/sales/${saleId}${codeQuery(code)}`,
    'og:image': `${origin}/sales/${saleId}.png`,
    'og:image:width': '1200',
    'og:image:height': '630',
    'product:price:amount': toDecimal(price),
    'product:price:currency': price.currency,
  };
  const head = [
    `<title>${escaped(name)} · Holdfast</title>`,
    `<meta name="description" content="${escaped(description)}">`,
    '<meta name="twitter:card" content="summary_large_image">',
    ...Object.entries(properties).map(([name, text]) => `<meta property="${name}" content="${escaped(text)}">`),
  ].join('\n    ');
  return html.replace(ownHead, () => head);
}

/** How an address brings the code of a sale. */
export function codeQuery(code: string | undefined): string {
  return code ? `?${new URLSearchParams({ code })}` : '';
}

const escapes: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escaped = (text: string) => text.replaceAll(/[&<>"']/g, (letter) => escapes[letter] ?? letter);
