/**
 * What the shop knows, and everything that changes it.
 *
 * What is shown comes from the API; what is pushed only says sooner what the API would say. So each push updates what is
 * known, and after an absence everything is read again. After each change `changed` is called once; the page is drawn from
 * the whole state.
 *
 * Invariant: what somebody asked for is either known to the server or written down (intents.ts); no answer that is lost
 * loses a request or makes a second one.
 */
import { dataOf } from '#client/http.ts';
import { newKey, openIntents } from '#client/intents.ts';
import { type LinkState, type Live, type LiveMessage, openLive } from '#client/live.ts';
import { isOutcome, Problem } from '#client/problem.ts';
import { type Api, allOf, loadConfig, openApi, type PageConfig } from '../api.ts';
import { type Format, formatFor } from '../format.ts';
import { byWebLocks } from '../session.ts';
import type {
  Me,
  Notification,
  OwnSession,
  Product,
  PurchaseAccepted,
  PurchaseView,
  ReservationAccepted,
  ReservationView,
  SaleView,
} from '../types.ts';
import {
  chooseLanguage,
  chosenLanguage,
  chosenLocale,
  type Language,
  languageOf,
  loadWords,
  type Words,
} from '../words.ts';
import { openCodes } from './codes.ts';
import { confirmMs, isOpen, isOvertaken, isStill, newerStock } from './rules.ts';

/** How often what nobody pushes to us is read again. */
const lookMs = 5_000;
/** How often the list of sales is read again: a new one is announced to nobody in particular. */
const lookForNewMs = 30_000;
/** How long a request may stay undecided before the page asks, in case no push comes. */
const askAfterMs = 1_500;
/** When an intent that is not known yet is sent again: first after so long, then each time after twice as long. */
const repeatIntentMs = 5_000;
const longestRepeatMs = 60_000;
/** How many sales the list shows at first, and more each time. */
const pageOfSales = 100;

export type Loading = 'loading' | 'ready' | 'failed';

/** What was asked for before signing in. */
export interface Wish {
  saleId: string;
  quantity: number;
  fill: 'all' | { atLeast: number };
}

export interface Toast {
  id: number;
  kind: 'good' | 'bad' | 'plain';
  title?: string | undefined;
  text: string;
}

/** Where the reader is. */
export type Place = { page: 'home' } | { page: 'sale'; saleId: string } | { page: 'settings' };

export class Store {
  words: Words;
  locale: string;
  format: Format;
  config: PageConfig = { api: '', websocket: '' };
  place: Place = placeOf(location.pathname);

  me: Me | undefined;
  link: LinkState = 'off';
  online = navigator.onLine;

  readonly sales = new Map<string, SaleView>();
  /** When each sale was last heard of, by the server's clock. */
  readonly heardAt = new Map<string, number>();
  salesState: Loading = 'loading';
  moreSales: string | null = null;
  /** The sale that the address names, if it cannot be shown. */
  saleProblem: 'failed' | 'not_found' | undefined;
  readonly products = new Map<string, Product | undefined>();

  readonly reservations = new Map<string, ReservationView & { statusUrl?: string | undefined }>();
  readonly purchases = new Map<string, PurchaseView>();
  mineState: Loading = 'loading';
  readonly chosen = new Set<string>();

  news: Notification[] = [];
  newsCursor: string | null = null;
  newsState: Loading = 'loading';
  unread = 0;
  newsOpen = false;

  signing: { wish?: Wish | undefined } | undefined;
  toast: Toast | undefined;
  /** What is being sent, by the name of the intent. */
  readonly busy = new Set<string>();

  /** The codes of private sales that somebody has come with. */
  readonly #codes = openCodes(localStorage);
  #api: Api;
  #live: Live;
  #changed: () => void;
  #scheduled = false;
  #toasts = 0;
  #toastTimer: ReturnType<typeof setTimeout> | undefined;
  /** With which stock each sale was last read: it tells which of two answers is newer. */
  readonly #readAt = new Map<string, SaleView['stock']>();
  /** Since when each sale is in view, and the connection is as it is; by a clock that nobody sets. */
  readonly #inViewAt = new Map<string, number>();
  #linkedAt = 0;
  /** When the connection was first asked for. */
  #openedAt = 0;
  #productsAsked = new Map<string, Promise<void>>();
  #resuming: Promise<unknown> | undefined;
  #intents;
  /** The requests whose place and decision are asked for. */
  readonly #followed = new Set<string>();
  /** How often each intent was sent in vain, and when it is sent again. */
  readonly #vain = new Map<string, { tries: number; againAt: number }>();

  constructor(config: PageConfig, words: Words, locale: string, changed: () => void) {
    this.config = config;
    this.words = words;
    this.locale = locale;
    this.#changed = changed;
    const api = openApi(config.api, { onSession: (me) => this.#signedIn(me), language: () => this.locale });
    this.#api = api;
    this.format = formatFor(locale, words, this.now, config.minorDigits);
    this.#live = openLive({
      url: config.websocket,
      token: () => this.#api.token(),
      onMessage: (message) => this.#hear(message),
      onState: (link) => {
        this.#linkedAt = performance.now();
        this.#set({ link });
      },
      onBack: () => void this.refresh(),
      onWatched: () => this.update(),
    });
    this.#intents = openIntents({
      store: localStorage,
      exclusively: byWebLocks,
      newKey,
      now: this.now,
      // What was written down is sent as it was, by the address that it had.
      async send({ path, body, key }) {
        const headers = { 'content-type': 'application/json', 'idempotency-key': key };
        return (await api.send(path, { method: 'POST', headers, body: JSON.stringify(body) })).json();
      },
    });
  }

  /** The time by the server. */
  now = (): number => this.#api.clock.now();

  /** Draws the page soon. */
  update(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#changed();
    });
  }

  #set(change: Partial<Pick<Store, 'link' | 'online' | 'salesState' | 'mineState' | 'newsState'>>): void {
    Object.assign(this, change);
    this.update();
  }

  /** Reads everything, and keeps reading what is not pushed. */
  start(): void {
    const visible = () => document.visibilityState === 'visible';
    addEventListener('online', () => {
      this.#set({ online: true });
      void this.refresh();
      this.repeatIntents();
    });
    addEventListener('offline', () => this.#set({ online: false }));
    addEventListener('popstate', () => this.#arrive());
    setInterval(() => visible() && this.update(), 1_000);
    setInterval(() => visible() && void this.#readStill(), lookMs);
    setInterval(() => visible() && void this.readSales(), lookForNewMs);
    setInterval(() => this.repeatIntents(true), repeatIntentMs / 5);
    void this.#resume().catch(() => undefined);
    void this.readSales();
    this.#arrive();
  }

  /** Reads everything again. */
  async refresh(): Promise<void> {
    const mine = async () => {
      if (this.me) return this.readMine();
      if (this.mineState === 'failed') await this.#resume().catch(() => undefined);
    };
    await Promise.all([this.readSales(), this.readPlace(), mine()]);
  }

  /** Whether somebody is signed in, as far as is known: until the API has said who, by what this browser has kept. */
  get isSomebody(): boolean {
    return this.me !== undefined || (this.#resuming !== undefined && this.#api.hasSession());
  }

  /** Finds out who is signed in, once for all who ask at the same time. Rejects if the API does not say. */
  #resume(): Promise<unknown> {
    if (this.mineState === 'failed') this.#set({ mineState: 'loading' });
    this.#resuming ??= this.#api
      .resume()
      .catch((problem: unknown) => {
        this.#set({ mineState: 'failed' });
        throw problem;
      })
      .finally(() => {
        this.#resuming = undefined;
      });
    return this.#resuming;
  }

  /* Sales */

  async readSales(): Promise<void> {
    try {
      const page = await dataOf(this.#api.http.GET('/sales', { params: { query: { limit: pageOfSales } } }));
      if (this.salesState !== 'ready') this.moreSales = page.nextCursor;
      for (const sale of page.items) this.#take(sale);
      this.#set({ salesState: 'ready' });
    } catch {
      // What is shown stays; only a page that shows nothing says why.
      if (this.salesState !== 'ready') this.#set({ salesState: 'failed' });
    }
  }

  /** Reads the next older sales. */
  async readMoreSales(): Promise<void> {
    const query = { limit: pageOfSales, cursor: this.moreSales ?? '' };
    await this.attempt('more', async () => {
      const page = await dataOf(this.#api.http.GET('/sales', { params: { query } }));
      this.moreSales = page.nextCursor;
      for (const sale of page.items) this.#take(sale);
    });
  }

  async readSale(saleId: string): Promise<void> {
    const code = this.#codes.of(saleId);
    const params = { path: { saleId }, query: code === undefined ? {} : { code } };
    this.#take(await dataOf(this.#api.http.GET('/sales/{saleId}', { params })));
    this.update();
  }

  /** Reads the sale that the address names, if the list has not brought it. */
  async readPlace(): Promise<void> {
    if (this.place.page !== 'sale') return;
    const { saleId } = this.place;
    try {
      await this.readSale(saleId);
      this.saleProblem = undefined;
    } catch (problem) {
      const gone = problem instanceof Problem && [400, 404].includes(problem.status);
      if (!this.sales.has(saleId)) this.saleProblem = gone ? 'not_found' : 'failed';
    }
    this.update();
  }

  /** Takes a sale as it was read, unless a newer answer has overtaken this one. Pushes bring stock alone. */
  #take(sale: SaleView): void {
    const known = this.sales.get(sale.saleId);
    if (isOvertaken(this.#readAt.get(sale.saleId), sale.stock)) return;
    this.#readAt.set(sale.saleId, sale.stock);
    this.sales.set(sale.saleId, known ? { ...sale, stock: newerStock(known.stock, sale.stock) } : sale);
    this.heardAt.set(sale.saleId, this.now());
    this.#live.note(`stock:${sale.saleId}`, sale.stock.version, sale.stock.epoch);
  }

  /** Reads what a product is, once. */
  needProduct(productId: string): Product | undefined {
    if (!this.#productsAsked.has(productId)) {
      const asked = dataOf(this.#api.http.GET('/products/{productId}', { params: { path: { productId } } })).then(
        (product) => {
          this.products.set(productId, product);
          this.update();
        },
        () => {
          setTimeout(() => this.#productsAsked.delete(productId), lookMs);
        },
      );
      this.#productsAsked.set(productId, asked);
    }
    return this.products.get(productId);
  }

  /** A sale has come into view, or has left it. */
  inView(saleId: string, isIn: boolean): void {
    if (isIn) {
      this.#inViewAt.set(saleId, performance.now());
      this.#live.watch(saleId, this.#codes.of(saleId));
    } else {
      this.#inViewAt.delete(saleId);
      this.#live.unwatch(saleId);
    }
  }

  /** What is said of the connection: without a network nothing is live, though a socket may not have noticed yet. */
  get shownLink(): LinkState {
    return this.link === 'live' && !this.online ? 'reconnecting' : this.link;
  }

  /** Whether the first connection may be there in a moment: nothing is said of it before, and no line moves for it. */
  get isConnecting(): boolean {
    return this.shownLink !== 'live' && performance.now() - this.#openedAt < confirmMs;
  }

  /** Whether changes of this sale arrive by themselves. */
  isLive(saleId: string): boolean {
    return this.shownLink === 'live' && this.#live.isLive(saleId);
  }

  /** Whether to say as of when a sale is shown: changes of it do not arrive, nor will they in a moment. */
  isStill(saleId: string): boolean {
    if (this.isConnecting) return false;
    const inViewAt = this.#inViewAt.get(saleId);
    const askedAtMs = inViewAt === undefined ? undefined : Math.max(inViewAt, this.#linkedAt);
    const isLive = this.shownLink === 'live';
    return isStill({ isLive, isWatched: this.#live.isLive(saleId), askedAtMs }, performance.now());
  }

  /** Reads again the sales that are looked at and are not live. */
  async #readStill(): Promise<void> {
    if (this.place.page === 'sale' && !this.isLive(this.place.saleId)) await this.readPlace();
    else if (this.place.page === 'home' && (!this.me || this.link !== 'live')) await this.readSales();
    if (this.salesState === 'failed') await this.readSales();
    if (this.mineState === 'failed') await this.refresh();
  }

  /* Where the reader is */

  go(path: string): void {
    history.pushState(undefined, '', path);
    this.#arrive();
    scrollTo(0, 0);
    // The page has changed without being loaded: whoever listens to it is told by the heading.
    requestAnimationFrame(() => document.querySelector<HTMLElement>('main h1')?.focus());
  }

  #arrive(): void {
    this.place = placeOf(location.pathname);
    if (this.place.page === 'sale') this.#codes.take(this.place.saleId, location.search);
    this.saleProblem = undefined;
    this.update();
    void this.readPlace();
  }

  /* What is one's own */

  #signedIn(me: Me | undefined): void {
    const known = this.me;
    if (me?.customerId !== this.me?.customerId || !me) {
      for (const map of [this.reservations, this.purchases]) map.clear();
      this.chosen.clear();
      this.news = [];
      this.unread = 0;
      this.mineState = 'loading';
      this.newsOpen = false;
    }
    this.me = me;
    if (me) {
      this.#tellServer(me);
      if (!known) this.#openedAt = performance.now();
      this.#live.open();
      void this.readMine().then(() => this.repeatIntents());
    } else {
      this.#live.close();
    }
    this.update();
  }

  /** Pushed texts are in the language and the time zone of the account. */
  #tellServer(me: Me): void {
    const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
    const change = {
      ...(me.timeZone === timeZone ? {} : { timeZone }),
      ...(languageOf(me.locale ?? '') === languageOf(this.locale) ? {} : { locale: this.locale }),
    };
    if (Object.keys(change).length > 0) this.#api.http.PATCH('/me', { body: change }).catch(() => undefined);
  }

  async readMine(): Promise<void> {
    try {
      const { http } = this.#api;
      const [reservations, purchases] = await Promise.all([
        allOf((query) => dataOf(http.GET('/reservations', { params: { query } }))),
        allOf((query) => dataOf(http.GET('/purchases', { params: { query } }))),
        this.readNews(),
      ]);
      for (const reservation of reservations) this.#put(reservation);
      for (const { state, reservationId } of reservations)
        if (state === 'requested') void this.#followUp(reservationId);
      for (const purchase of purchases) this.#takePurchase(purchase);
      this.#set({ mineState: 'ready' });
      const unknown = new Set(
        [...reservations, ...purchases.flatMap(({ items }) => items)]
          .map(({ saleId }) => saleId)
          .filter((saleId) => !this.sales.has(saleId)),
      );
      await Promise.all([...unknown].map((saleId) => this.readSale(saleId).catch(() => undefined)));
    } catch {
      if (this.mineState !== 'ready') this.#set({ mineState: 'failed' });
    }
  }

  #put(reservation: ReservationView & { statusUrl?: string | undefined }): void {
    const known = this.reservations.get(reservation.reservationId);
    if (known && known.version > reservation.version) return;
    this.reservations.set(reservation.reservationId, { ...known, ...reservation });
    this.#live.note(`reservation:${reservation.reservationId}`, reservation.version);
    this.update();
  }

  /** Asks at the status URL of a reservation. The one of the 202 proves that it exists, even if no store knows it yet. */
  async #atStatusUrl(reservationId: string, init?: RequestInit): Promise<ReservationView> {
    const url = this.reservations.get(reservationId)?.statusUrl ?? `/reservations/${reservationId}`;
    return (await this.#api.send(url, init)).json();
  }

  async #readReservation(reservationId: string): Promise<void> {
    this.#put(await this.#atStatusUrl(reservationId));
  }

  /** Asks for the place in line, and for the decision if no push brings it. */
  async #followUp(reservationId: string): Promise<void> {
    if (this.#followed.has(reservationId)) return;
    this.#followed.add(reservationId);
    for (let attempt = 1; attempt <= 20; attempt++) {
      await new Promise((resolve) => setTimeout(resolve, askAfterMs * attempt));
      if (this.reservations.get(reservationId)?.state !== 'requested') break;
      await this.#readReservation(reservationId).catch(() => undefined);
    }
    this.#followed.delete(reservationId);
  }

  /* What somebody means to do */

  /** The name of the intent to reserve in a sale. */
  static reserveIn = (saleId: string): string => `reserve:${saleId}`;
  static readonly buying = 'buy';

  /** Whether it is not known yet what became of an intent that was sent. */
  isUnknown(name: string): boolean {
    return this.me !== undefined && this.#intents.open(this.me.customerId).has(name) && !this.busy.has(name);
  }

  /** Reserves; without an account, after signing in. */
  async reserve(wish: Wish): Promise<void> {
    const { saleId, quantity, fill } = wish;
    const name = Store.reserveIn(saleId);
    if (!this.me && !(await this.#isKnown(name))) return;
    if (!this.me) {
      this.signing = { wish };
      return this.update();
    }
    const code = this.#codes.of(saleId);
    await this.#carryOut(name, `/sales/${saleId}/reservations`, { quantity, fill, ...(code ? { code } : {}) });
  }

  /** Waits until it is known whether somebody is signed in: whoever is must not be asked to sign in. False if it cannot be known. */
  async #isKnown(name: string): Promise<boolean> {
    if (this.busy.has(name)) return false;
    this.busy.add(name);
    this.update();
    try {
      await this.#resume();
      return true;
    } catch (problem) {
      this.showProblem(problem);
      return false;
    } finally {
      this.busy.delete(name);
      this.update();
    }
  }

  /** Buys what is chosen. */
  async buy(reservationIds: string[], paymentToken: string): Promise<void> {
    await this.#carryOut(Store.buying, '/purchases', { reservationIds, paymentToken });
  }

  /** Sends again what is not known yet; by itself only after a while, which grows and differs from buyer to buyer. */
  repeatIntents(byItself = false): void {
    if (!this.me || !navigator.onLine) return;
    for (const [name, { path, body }] of this.#intents.open(this.me.customerId)) {
      const rests = byItself && this.#api.clock.stopwatch() < (this.#vain.get(name)?.againAt ?? 0);
      if (!rests && !this.busy.has(name)) void this.#carryOut(name, path, body);
    }
  }

  async #carryOut(name: string, path: string, body: object): Promise<void> {
    const { me } = this;
    if (!me || this.busy.has(name)) return;
    this.busy.add(name);
    this.update();
    try {
      const answer = await this.#intents.carryOut(me.customerId, name, path, body);
      this.#vain.delete(name);
      if (this.me?.customerId !== me.customerId) return;
      if (name === Store.buying) await this.#bought(answer as PurchaseAccepted);
      else this.#reserved(answer as ReservationAccepted, body as Pick<Wish, 'quantity' | 'fill'>);
    } catch (problem) {
      // What is not known is said beside the button, for as long as it is not known.
      if (isOutcome(problem) || (problem instanceof Problem && problem.status === 429)) this.showProblem(problem);
      if (isOutcome(problem)) {
        this.#vain.delete(name);
        await this.readMine();
      } else {
        const tries = 1 + (this.#vain.get(name)?.tries ?? 0);
        const waitMs = Math.min(longestRepeatMs, repeatIntentMs * 2 ** (tries - 1)) * (0.75 + Math.random() / 2);
        this.#vain.set(name, { tries, againAt: this.#api.clock.stopwatch() + waitMs });
      }
    } finally {
      this.busy.delete(name);
      this.update();
    }
  }

  #reserved(accepted: ReservationAccepted, { quantity, fill }: Pick<Wish, 'quantity' | 'fill'>): void {
    const { reservationId, saleId, ticket, position, state, statusUrl } = accepted;
    const known = this.reservations.get(reservationId);
    if (!known || known.version === 0) {
      this.#put({
        ...{ reservationId, saleId, state, quantity, fill, units: 0, ticket, position, version: 0, statusUrl },
        ...{ reason: null, deadline: null, purchaseId: null, partOf: null, decidedAt: null },
        acceptedAt: new Date(this.now()).toISOString(),
      });
    }
    const { place, kept, title } = this.words.accepted;
    this.say('good', position ? place(this.format.number(position)) : kept, title);
    void this.#followUp(reservationId);
    focusOn(reservationId);
  }

  async #bought({ purchaseId }: PurchaseAccepted): Promise<void> {
    await this.#readPurchase(purchaseId).catch(() => undefined);
    this.say('good', this.words.pay.accepted);
    void this.#watchPurchase(purchaseId);
    const first = this.purchases.get(purchaseId)?.items[0]?.reservationId;
    if (first) focusOn(first);
  }

  async #readPurchase(purchaseId: string): Promise<void> {
    const purchase = this.#takePurchase(
      await dataOf(this.#api.http.GET('/purchases/{purchaseId}', { params: { path: { purchaseId } } })),
    );
    // What was bought is no longer to be chosen; what was declined still is.
    if (!isOpen(purchase) && purchase.state !== 'declined') {
      for (const { reservationId } of purchase.items) this.chosen.delete(reservationId);
    }
    this.update();
  }

  /** Takes a purchase as it was read, unless a newer answer has overtaken this one; returns what is known then. */
  #takePurchase(purchase: PurchaseView): PurchaseView {
    const known = this.purchases.get(purchase.purchaseId);
    if (known && known.updatedAt > purchase.updatedAt) return known;
    this.purchases.set(purchase.purchaseId, purchase);
    return purchase;
  }

  /** Asks for the outcome if no push brings it. */
  async #watchPurchase(purchaseId: string): Promise<void> {
    for (let attempt = 1; attempt <= 30; attempt++) {
      await new Promise((resolve) => setTimeout(resolve, askAfterMs * attempt));
      const before = this.purchases.get(purchaseId);
      if (before && !isOpen(before)) return;
      await this.#readPurchase(purchaseId).catch(() => undefined);
      const after = this.purchases.get(purchaseId);
      if (after && !isOpen(after)) return void (await this.readMine());
    }
  }

  async giveBack(reservationId: string): Promise<void> {
    await this.attempt(`give:${reservationId}`, async () => {
      this.#put(await this.#atStatusUrl(reservationId, { method: 'DELETE' }));
      this.say('good', this.words.reservation.given);
    });
  }

  async reduce(reservationId: string, quantity: number): Promise<void> {
    await this.attempt(`give:${reservationId}`, async () => {
      const headers = { 'content-type': 'application/json' };
      this.#put(
        await this.#atStatusUrl(reservationId, { method: 'PATCH', headers, body: JSON.stringify({ quantity }) }),
      );
      this.say('good', this.words.reservation.reduced);
      await this.readMine();
    });
  }

  async giveUp(purchaseId: string): Promise<void> {
    await this.attempt(`up:${purchaseId}`, async () => {
      await this.#api.http.DELETE('/purchases/{purchaseId}', { params: { path: { purchaseId } } });
      await this.#readPurchase(purchaseId);
      void this.#watchPurchase(purchaseId);
    });
  }

  /** Does something once at a time under a name, and shows why it was refused. */
  async attempt(name: string, work: () => Promise<void>): Promise<void> {
    if (this.busy.has(name)) return;
    this.busy.add(name);
    this.update();
    try {
      await work();
    } catch (problem) {
      this.showProblem(problem);
    } finally {
      this.busy.delete(name);
      this.update();
    }
  }

  /* Signing in */

  async signIn(email: string, password: string): Promise<void> {
    await this.#api.signIn(email, password);
    this.#signingDone();
  }

  async register(name: string, email: string, password: string): Promise<void> {
    await this.#api.register(name, email, password, this.locale);
    this.#signingDone();
  }

  #signingDone(): void {
    const wish = this.signing?.wish;
    this.signing = undefined;
    this.update();
    if (wish) void this.reserve(wish);
  }

  signOut(): void {
    void this.#api.signOut();
    this.go('/');
  }

  /** Has a code mailed with which the owner of an address sets a new password. */
  async askForPasswordCode(email: string): Promise<void> {
    await this.#api.anybody.POST('/auth/password/code', { body: { email } });
  }

  /** Sets a new password with a code from a mail; it ends every session of the account. */
  async resetPassword(code: string, password: string): Promise<void> {
    await this.#api.anybody.POST('/auth/password/reset', { body: { code, password } });
  }

  /* The account */

  async askForContactCode(): Promise<void> {
    await this.#api.http.POST('/me/contact/code');
  }

  /** Shows with a code from a mail that the address is one's own; sales that ask for it know at once. */
  async verifyContact(code: string): Promise<void> {
    this.me = await dataOf(this.#api.http.POST('/me/contact', { body: { code } }));
    await this.#api.renew();
    this.say('good', this.words.settings.nowVerified);
  }

  /** Shown at once; taken back if it could not be kept. */
  async setReminders(reminders: boolean): Promise<void> {
    const { me } = this;
    if (!me) return;
    await this.attempt('reminders', async () => {
      this.me = { ...me, reminders };
      this.update();
      try {
        this.me = await dataOf(this.#api.http.PATCH('/me', { body: { reminders } }));
        this.say('good', this.words.settings.saved);
      } catch (problem) {
        this.me = me;
        throw problem;
      }
    });
  }

  async changePassword(password: string, newPassword: string): Promise<void> {
    await this.#api.http.POST('/me/password', { body: { password, newPassword } });
    this.say('good', this.words.settings.passwordChanged);
  }

  readSessions(): Promise<OwnSession[]> {
    return allOf((query) => dataOf(this.#api.http.GET('/me/sessions', { params: { query } })));
  }

  async endOtherSessions(): Promise<void> {
    await this.#api.http.DELETE('/me/sessions');
    this.say('good', this.words.settings.othersEnded);
  }

  /* Language */

  /** Writes everything in another language from now on; undefined goes by the browser. */
  async speak(language: Language | undefined): Promise<void> {
    chooseLanguage(localStorage, language);
    const locale = chosenLocale(localStorage, navigator.languages);
    const words = await loadWords(languageOf(locale) ?? 'en');
    Object.assign(this, { locale, words, format: formatFor(locale, words, this.now, this.config.minorDigits) });
    document.documentElement.lang = locale;
    this.update();
    if (!this.me) return;
    this.me = await dataOf(this.#api.http.PATCH('/me', { body: { locale } })).catch(() => this.me);
    await this.readNews();
  }

  get chosenLanguage(): Language | undefined {
    return chosenLanguage(localStorage);
  }

  /* Notifications */

  async readNews(older = false): Promise<void> {
    const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
    const query = { limit: 20, timeZone, ...(older && this.newsCursor ? { cursor: this.newsCursor } : {}) };
    try {
      const page = await dataOf(this.#api.http.GET('/notifications', { params: { query } }));
      this.news = older ? [...this.news, ...page.items] : page.items;
      this.newsCursor = page.nextCursor;
      this.unread = page.unread;
      this.#set({ newsState: 'ready' });
    } catch {
      if (this.news.length === 0) this.#set({ newsState: 'failed' });
    }
  }

  /** Every notice since a point in time, the newest first. */
  async readNewsSince(since: string): Promise<Notification[]> {
    const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
    const read: Notification[] = [];
    let cursor: string | undefined;
    do {
      const query = { limit: 100, timeZone, ...(cursor ? { cursor } : {}) };
      const page = await dataOf(this.#api.http.GET('/notifications', { params: { query } }));
      read.push(...page.items);
      cursor = page.nextCursor ?? undefined;
    } while (cursor && (read.at(-1)?.createdAt ?? '') >= since);
    return read;
  }

  async readAllNews(): Promise<void> {
    await this.attempt('news', async () => {
      await this.#api.http.POST('/notifications/read', { body: { notificationIds: 'all' } });
      await this.readNews();
    });
  }

  /* What is pushed */

  #hear(message: LiveMessage): void {
    const pushed = message as LiveMessage & Partial<Pushes>;
    switch (pushed.type) {
      case 'stock': {
        const { type: _, saleId = '', ...stock } = pushed;
        const sale = this.sales.get(saleId);
        if (!sale) break;
        this.sales.set(saleId, { ...sale, stock: newerStock(stock as SaleView['stock'], sale.stock) });
        this.heardAt.set(saleId, this.now());
        this.update();
        break;
      }
      case 'sale':
        void this.readSale(pushed.saleId ?? '').catch(() => undefined);
        break;
      case 'reservation': {
        const { reservationId = '', state, units, quantity, ticket, version, reason = null, deadline = null } = pushed;
        const known = this.reservations.get(reservationId);
        const news = { state, units, quantity, ticket, version, reason, deadline, position: null };
        if (known) this.#put({ ...known, ...(news as Partial<ReservationView>) });
        // A place on the waitlist is not pushed, because it moves with every other customer.
        if (!known || state === 'waitlisted') this.#readSoon(reservationId);
        this.#tell(pushed);
        break;
      }
      case 'reminder':
        // Times and places have moved, for many at once.
        this.#readSoon(pushed.reservationId ?? '');
        this.#tell(pushed);
        break;
      case 'purchase':
        void this.#readPurchase(pushed.purchaseId ?? '').catch(() => undefined);
        this.#tell(pushed);
        break;
      default:
    }
  }

  /** Reads a reservation within two seconds: what is pushed to many is not asked for by all at once. */
  #readSoon(reservationId: string): void {
    setTimeout(() => void this.#readReservation(reservationId).catch(() => undefined), 2_000 * Math.random());
  }

  #tell({ text, kind, saleId, notificationId, reservationId, purchaseId, version = 0 }: Partial<Pushes>): void {
    if (!text || !kind || !notificationId) return;
    const createdAt = new Date(this.now()).toISOString();
    const subjectId = reservationId ?? purchaseId ?? '';
    this.unread += 1;
    this.news = [
      { notificationId, kind, subjectId, version, facts: { saleId }, text, createdAt, readAt: null },
      ...this.news,
    ];
    this.say(badNews.has(kind) ? 'bad' : 'good', text, this.sales.get(saleId ?? '')?.name);
  }

  /* What is said for a moment */

  /** Says something for a while; one thing at a time, the latest. Everything that matters is also a notification. */
  say(kind: Toast['kind'], text: string, title?: string): void {
    this.toast = { id: ++this.#toasts, kind, text, title };
    clearTimeout(this.#toastTimer);
    this.#toastTimer = setTimeout(() => this.dismiss(), kind === 'bad' ? 12_000 : 6_000);
    this.update();
  }

  dismiss(): void {
    this.toast = undefined;
    this.update();
  }

  showProblem(problem: unknown): void {
    this.say('bad', this.problemText(problem));
  }

  /** Why something was refused, in the reader's words; the server's sentences are for programs' authors. */
  problemText(problem: unknown): string {
    const { problems } = this.words;
    const code = problem instanceof Problem ? problem.code : 'unreachable';
    return Object.hasOwn(problems, code) ? problems[code as keyof typeof problems] : problems.internal;
  }
}

/** What the pushes carry, as far as it is read. */
interface Pushes
  extends Pick<ReservationView, 'state' | 'units' | 'quantity' | 'ticket' | 'version' | 'reason' | 'deadline'>,
    Pick<Notification, 'notificationId' | 'kind' | 'text'> {
  reservationId: string;
  purchaseId: string;
  saleId: string;
}

const badNews: ReadonlySet<string> = new Set(['reservation.rejected', 'reservation.expired', 'purchase.declined']);

/** Where an address leads. */
export function placeOf(path: string): Place {
  const [, saleId] = /^\/sales\/([0-9a-f-]{36})$/.exec(path) ?? [];
  if (saleId) return { page: 'sale', saleId };
  return { page: path === '/settings' ? 'settings' : 'home' };
}

/** Moves the focus to a reservation once it is drawn: the button that was pressed may be gone. */
function focusOn(reservationId: string): void {
  requestAnimationFrame(() => {
    if (document.querySelector('dialog[open]')) return;
    document.getElementById(`r-${reservationId}`)?.focus();
  });
}

/** Reads what a store needs before there can be one. Throws if the configuration cannot be had. */
export async function openStore(words: Words, locale: string, changed: () => void): Promise<Store> {
  return new Store(await loadConfig(), words, locale, changed);
}
