/**
 * What the address of a sale looks like where it is shared (Open Graph): title, price, times and picture, written into the
 * head of the page, because what makes previews runs no scripts.
 */
import { isRefusal, type Refusal } from '#platform/kernel/errors.ts';
import { minorDigits, toDecimal } from '#platform/kernel/money.ts';
import { localeFrom } from '#platform/kernel/reader.ts';
import { formatFor } from './format.ts';
import { type Language, languageOf, loadWords } from './words.ts';

/** What a preview says of a sale. */
export interface Previewed {
  readonly saleId: string;
  readonly name: string;
  readonly price: { readonly amountMinor: number; readonly currency: string };
  readonly capPerCustomer: number;
  readonly reserveOpensAt: string;
  readonly purchaseOpensAt: string;
  /** The first picture of its product; without one it has a picture that follows from its id. */
  readonly picture?: { readonly path: string; readonly alt: Readonly<Record<Language, string>> } | undefined;
}

/** Where the page has its own title and description. */
const ownHead = /<!-- preview -->[\s\S]*<!-- \/preview -->/;

/** How the page of a sale is asked for. */
export interface SalePage {
  /** The shop's page as it was built. */
  readonly shell: string;
  /** Where the page is served. */
  readonly origin: string;
  /** The Accept-Language of whoever asks. */
  readonly languages: string | undefined;
  /** What the address brings for a sale that asks for one. */
  readonly code?: string | undefined;
  /** What the preview says. */
  read(): Promise<Previewed | Refusal | undefined>;
}

/** The page of a sale: with its preview, or without one while the sale cannot be read, since the page itself needs none. */
export async function salePage({
  shell,
  origin,
  languages,
  code,
  read,
}: SalePage): Promise<{ html: string; isPreviewed: boolean }> {
  const sale = await read().catch(() => undefined);
  if (!sale || isRefusal(sale)) return { html: shell, isPreviewed: false };
  const locale = localeFrom(languages) ?? 'en';
  return { html: await previewedPage(shell, sale, origin, locale, code), isPreviewed: true };
}

/** The page with the preview of a sale in its head, in the language of a tag. */
async function previewedPage(
  html: string,
  sale: Previewed,
  origin: string,
  locale: string,
  code?: string,
): Promise<string> {
  const { saleId, name, price, capPerCustomer, reserveOpensAt, purchaseOpensAt, picture } = sale;
  const language = languageOf(locale) ?? 'en';
  const words = await loadWords(language);
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
    ...(picture
      ? { 'og:image': origin + picture.path, 'og:image:alt': picture.alt[language] }
      : { 'og:image': `${origin}/sales/${saleId}.png`, 'og:image:width': '1200', 'og:image:height': '630' }),
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
