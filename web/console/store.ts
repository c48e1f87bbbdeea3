/**
 * What the console knows of everything, and what every page of it shares: who is signed in, where the reader is, the sales, what
 * is asked, and what was said last. What only one page shows is read by that page (`reads.ts`).
 *
 * Invariant: what is shown of a sale is never older than what was shown before; every change that an operator makes is one
 * call of the public API, under one Idempotency-Key.
 */

import { dataOf } from '#client/http.ts';
import { type LinkState, type Live, type LiveMessage, openLive, watchedAtMost } from '#client/live.ts';
import { Problem } from '#client/problem.ts';
import { isAtLeast, type Role } from '#platform/security/roles.ts';
import { type Api, loadConfig, openApi, type PageConfig } from '../api.ts';
import { type Format, formatFor } from '../format.ts';
import { isOvertaken, newerStock } from '../shop/rules.ts';
import type { Me, SaleView } from '../types.ts';
import { chooseLanguage, chosenLanguage, chosenLocale, type Language, languageOf } from '../words.ts';
import { type ConsoleWords, loadConsoleWords } from './words.ts';

/** How many sales are read at once. */
const salesPerPage = 100;
/** How often the newest sales are read again: a new one is announced to nobody in particular. */
const lookForNewMs = 15_000;

/** Something to be answered before anything is done. */
export interface Question {
  readonly text: string;
  /** What and who is affected, a line each. */
  readonly facts?: readonly string[] | undefined;
  readonly choices: readonly { readonly name: string; readonly label: string; readonly danger?: boolean }[];
  readonly answer: (name: string | undefined) => void;
}

/** A part of a file, with the cursor of the next in its header. */
interface FilePart {
  readonly data?: Blob | undefined;
  readonly response: Response;
}

export interface Said {
  readonly id: number;
  readonly kind: 'good' | 'bad';
  readonly text: string;
}

export class Console {
  words: ConsoleWords;
  locale: string;
  format: Format;
  readonly config: PageConfig;
  readonly api: Api;
  readonly zone: string = Intl.DateTimeFormat().resolvedOptions().timeZone;

  me: Me | undefined;
  /** Whether it is known yet if anybody is signed in. */
  opening: 'opening' | 'ready' | 'failed' = 'opening';
  link: LinkState = 'off';
  online: boolean = navigator.onLine;
  /** Where the reader is: the parts of the address after the number sign. */
  path: readonly string[] = pathOf(location.hash);

  readonly sales = new Map<string, SaleView>();
  salesState: 'loading' | 'ready' | 'failed' = 'loading';
  moreSales: string | null = null;

  question: Question | undefined;
  said: Said | undefined;
  readonly busy = new Set<string>();

  readonly #changed: () => void;
  /** With which stock each sale was last read: it tells which of two answers is newer. */
  readonly #readAt = new Map<string, SaleView['stock']>();
  readonly #live: Live;
  #scheduled = false;
  #count = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(config: PageConfig, words: ConsoleWords, locale: string, changed: () => void) {
    this.config = config;
    this.words = words;
    this.locale = locale;
    this.#changed = changed;
    this.api = openApi(config.api, { onSession: (me) => this.#signedIn(me), language: () => this.locale });
    this.format = formatFor(locale, words, this.now, config.minorDigits);
    this.#live = openLive({
      url: config.websocket,
      token: () => this.api.token(),
      onMessage: (message) => this.#hear(message),
      onState: (link) => {
        this.link = link;
        this.update();
      },
      onBack: () => void this.readSales(),
      onWatched: () => this.update(),
    });
  }

  /** The time by the server. */
  now = (): number => this.api.clock.now();

  /** Draws the page soon. */
  update(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#changed();
    });
  }

  start(): void {
    const visible = () => document.visibilityState === 'visible';
    addEventListener('hashchange', () => this.#arrive());
    for (const state of ['online', 'offline']) {
      addEventListener(state, () => {
        this.online = navigator.onLine;
        this.update();
      });
    }
    setInterval(() => visible() && this.update(), 1_000);
    setInterval(() => visible() && this.may('viewer') && void this.readSales(), lookForNewMs);
    void this.open();
  }

  /** Finds out who is signed in. */
  async open(): Promise<void> {
    this.opening = 'opening';
    this.update();
    try {
      await this.api.resume();
      this.opening = 'ready';
    } catch {
      this.opening = 'failed';
    }
    this.update();
  }

  /** Whether the account may do what this role may; what it may not is not offered. */
  may(role: Role): boolean {
    return isAtLeast(this.me?.role ?? 'customer', role);
  }

  #signedIn(me: Me | undefined): void {
    if (me?.customerId !== this.me?.customerId) {
      this.sales.clear();
      this.salesState = 'loading';
      this.moreSales = null;
    }
    this.me = me;
    if (this.may('viewer')) {
      this.#live.open();
      void this.readSales();
    } else {
      this.#live.close();
    }
    this.update();
  }

  signOut(): void {
    void this.api.signOut();
    this.go('');
  }

  /* Where the reader is */

  go(path: string): void {
    location.hash = path ? `/${path}` : '';
  }

  #arrive(): void {
    this.path = pathOf(location.hash);
    this.update();
    scrollTo(0, 0);
    // The page has changed without being loaded: whoever listens to it is told by the heading.
    requestAnimationFrame(() => document.querySelector<HTMLElement>('main h1')?.focus());
  }

  /* Sales */

  /** Reads the newest sales again. */
  async readSales(): Promise<void> {
    try {
      const page = await dataOf(this.api.http.GET('/ops/sales', { params: { query: { limit: salesPerPage } } }));
      if (this.salesState !== 'ready') this.moreSales = page.nextCursor;
      for (const sale of page.items) this.take(sale);
      // The newest are live; the one that is looked at was asked for by its own page, later than these.
      if (this.salesState !== 'ready') {
        const found = page.items.filter((sale) => isPublic(sale, this.now()) && !sale.requiresCode);
        for (const { saleId } of found.slice(0, watchedAtMost - 1).reverse()) this.#live.watch(saleId);
      }
      this.salesState = 'ready';
    } catch {
      if (this.salesState !== 'ready') this.salesState = 'failed';
    }
    this.update();
  }

  /** Reads the next older sales. */
  async readMoreSales(): Promise<void> {
    if (this.moreSales === null) return;
    await this.act('more-sales', async () => {
      const query = { limit: salesPerPage, cursor: this.moreSales ?? '' };
      const page = await dataOf(this.api.http.GET('/ops/sales', { params: { query } }));
      for (const sale of page.items) this.take(sale);
      this.moreSales = page.nextCursor;
    });
  }

  /** Reads one sale. Throws if that cannot be had. */
  async readSale(saleId: string): Promise<void> {
    this.take((await dataOf(this.api.http.GET('/ops/sales/{saleId}', { params: { path: { saleId } } }))).sale);
    this.update();
  }

  /** Takes a sale as it was read, unless a newer answer has overtaken this one. Pushes bring stock alone. */
  take(sale: SaleView): void {
    const known = this.sales.get(sale.saleId);
    if (isOvertaken(this.#readAt.get(sale.saleId), sale.stock)) return;
    this.#readAt.set(sale.saleId, sale.stock);
    this.sales.set(sale.saleId, known ? { ...sale, stock: newerStock(known.stock, sale.stock) } : sale);
    this.#live.note(`stock:${sale.saleId}`, sale.stock.version, sale.stock.epoch);
  }

  /** Watches a sale; one that asks for a code, with it. */
  watch(saleId: string, code?: string): void {
    this.#live.watch(saleId, code);
  }

  isLive(saleId: string): boolean {
    return this.link === 'live' && this.#live.isLive(saleId);
  }

  #hear(message: LiveMessage): void {
    const { type, saleId = '', ...rest } = message;
    const sale = this.sales.get(saleId);
    if (type === 'stock' && sale) {
      this.sales.set(saleId, { ...sale, stock: newerStock(rest as SaleView['stock'], sale.stock) });
      this.update();
    }
    if (type === 'sale') void this.readSale(saleId).catch(() => undefined);
  }

  /* What is done */

  /** Does something once at a time under a name. Says why it was refused, in own words where there are any. */
  async act<T>(
    name: string,
    work: () => Promise<T>,
    own: Readonly<Record<string, string>> = {},
  ): Promise<T | undefined> {
    if (this.busy.has(name)) return undefined;
    this.busy.add(name);
    this.update();
    try {
      return await work();
    } catch (problem) {
      this.say('bad', this.problemText(problem, own));
      return undefined;
    } finally {
      this.busy.delete(name);
      this.update();
    }
  }

  /** Asks before something is done. Resolves to the choice, or undefined for none. */
  ask<Name extends string>(
    text: string,
    choices: readonly (Question['choices'][number] & { readonly name: Name })[],
    facts?: readonly (string | undefined)[],
  ): Promise<Name | undefined> {
    return new Promise((resolve) => {
      this.question = {
        ...{ text, choices, facts: facts?.filter((fact) => fact !== undefined) },
        answer: (name) => {
          this.question = undefined;
          this.update();
          resolve(choices.find((choice) => choice.name === name)?.name);
        },
      };
      this.update();
    });
  }

  /** Asks whether to do one thing. */
  async sure(text: string, label: string, facts?: readonly (string | undefined)[]): Promise<boolean> {
    return (await this.ask(text, [{ name: 'yes', label, danger: true }], facts)) === 'yes';
  }

  say(kind: Said['kind'], text: string): void {
    this.said = { id: ++this.#count, kind, text };
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.dismiss(), kind === 'bad' ? 15_000 : 6_000);
    this.update();
  }

  dismiss(): void {
    this.said = undefined;
    this.update();
  }

  /** Why something was refused. The server's own sentence says most, to whoever reads its language. */
  problemText(problem: unknown, own: Readonly<Record<string, string>> = {}): string {
    const { problems, console: words } = this.words;
    if (!(problem instanceof Problem)) return problems.unreachable;
    const { code } = problem;
    const known = own[code];
    if (known) return known;
    if (languageOf(this.locale) === 'en' && problem.body.detail) return problem.body.detail;
    if (code === 'illegal_state') return words.refusals.illegal_state;
    return Object.hasOwn(problems, code) ? problems[code as keyof typeof problems] : problems.internal;
  }

  /** Saves a file that comes in parts: as blobs, since text would lose the byte order mark. */
  async save(name: string, read: (query: { cursor?: string }) => Promise<FilePart>): Promise<void> {
    await this.act(`save:${name}`, async () => {
      const parts: Blob[] = [];
      let cursor: string | null = null;
      do {
        const { data, response }: FilePart = await read(cursor === null ? {} : { cursor });
        if (data) parts.push(data);
        cursor = response.headers.get('x-next-cursor');
      } while (cursor !== null);
      const link = document.createElement('a');
      link.href = URL.createObjectURL(new Blob(parts, { type: 'text/csv' }));
      link.download = `${name}.csv`;
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }

  /* Language */

  /** Writes everything in another language from now on; undefined goes by the browser. */
  async speak(language: Language | undefined): Promise<void> {
    chooseLanguage(localStorage, language);
    const locale = chosenLocale(localStorage, navigator.languages);
    const words = await loadConsoleWords(languageOf(locale) ?? 'en');
    Object.assign(this, { locale, words, format: formatFor(locale, words, this.now, this.config.minorDigits) });
    document.documentElement.lang = locale;
    this.update();
  }

  get chosenLanguage(): Language | undefined {
    return chosenLanguage(localStorage);
  }
}

/** Whether a sale is there for the public, by the server's clock. */
export function isPublic({ publishAt }: Pick<SaleView, 'publishAt'>, nowMs: number): boolean {
  return publishAt !== null && Date.parse(publishAt) <= nowMs;
}

/** The parts of an address after the number sign. */
export function pathOf(hash: string): string[] {
  return hash
    .replace(/^#\/?/, '')
    .split('/')
    .filter((part) => part !== '');
}

/** Reads what a console needs before there can be one. Throws if the configuration cannot be had. */
export async function openConsole(words: ConsoleWords, locale: string, changed: () => void): Promise<Console> {
  return new Console(await loadConfig(), words, locale, changed);
}
