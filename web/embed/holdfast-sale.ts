/**
 * `<holdfast-sale sale-id="…" api="https://…">`: one sale on a shop's own page, built from the client.
 *
 *   websocket="wss://…"   stock and news arrive by themselves, once there is a token
 *   buy-url="/buy/{reservationId}"   where what is set aside is bought; without it, the page hears `holdfast-buy`
 *   lang="ko"             English or Korean; without it, the page's language, or the browser's
 *   .token                an access token of the customer, or a function that gives a fresh one
 *
 * It tells its page by events that bubble: `holdfast-sign-in` (somebody wants to reserve, and there is no token),
 * `holdfast-reserved` (a request is decided) and `holdfast-buy` (cancelable; `buy-url` is then not followed).
 *
 * Invariants: it counts down by the server's clock; one press is one intent, however often it has to be sent; all that it shows of
 * others' making is text.
 */
import { type Client, createClient, isOutcome, type News, newKey, Problem, type TokenSource } from '#client/index.ts';
import { minorDigits } from '#platform/kernel/money.ts';
import type { Challenge } from '#platform/security/proof-of-work.ts';
import { formatFor } from '../format.ts';
import { createServerClock } from '../server-clock.ts';
import { boundaryOf, buyableUntil, isOvertaken, isReservingOver, leftOfCap, phaseOf, takingOf } from '../shop/rules.ts';
import type { ReservationView, SaleView } from '../types.ts';
import { languageOf } from '../words.ts';
import { style } from './style.ts';
import { embedWords } from './words.ts';

/** How often the sale is read, while stock does not arrive by itself and while it does. */
const lookMs = 10_000;
const lookLiveMs = 60_000;
/** What of one's own is shown. */
const shownStates: ReadonlySet<ReservationView['state']> = new Set([
  'requested',
  'allocated',
  'waitlisted',
  'purchased',
]);

const sheet = new CSSStyleSheet();
sheet.replaceSync(style);

const template = document.createElement('template');
template.innerHTML = `<section aria-labelledby="name">
<h3 id="name" part="name"></h3>
<p class="row"><span part="phase"></span><span part="price"></span></p>
<p part="countdown"><span class="next"></span> <strong class="timer" role="timer"></strong></p>
<p part="stock"></p>
<ul part="mine"></ul>
<form part="form" novalidate><label><span class="label"></span><input type="number" min="1" value="1"></label><button part="reserve"></button></form>
<p part="message" role="status"></p>
</section>`;

class HoldfastSale extends HTMLElement {
  static readonly observedAttributes = ['sale-id', 'api', 'websocket', 'buy-url', 'lang'];
  readonly #root = this.attachShadow({ mode: 'open' });
  #token: TokenSource | undefined;
  /** Ends what is shown. */
  #end: (() => void) | undefined;
  #isDue = false;

  constructor() {
    super();
    this.#root.adoptedStyleSheets = [sheet];
  }

  get token(): TokenSource | string | undefined {
    return this.#token;
  }

  set token(token: TokenSource | string | undefined) {
    this.#token = typeof token === 'string' ? () => token : token;
    this.#begin();
  }

  connectedCallback(): void {
    // A page may have set the token before this script was there.
    const early = Object.getOwnPropertyDescriptor(this, 'token')?.value as TokenSource | string | undefined;
    if (early !== undefined) {
      delete (this as { token?: unknown }).token;
      this.#token = typeof early === 'string' ? () => early : early;
    }
    this.#begin();
  }

  disconnectedCallback(): void {
    this.#end?.();
    this.#end = undefined;
  }

  attributeChangedCallback(): void {
    this.#begin();
  }

  /** Shows the sale anew, once for all that has changed at one moment. */
  #begin(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => {
      this.#isDue = false;
      this.#end?.();
      const api = this.getAttribute('api');
      const saleId = this.getAttribute('sale-id');
      this.#end = this.isConnected && api && saleId ? show(this, this.#root, api, saleId, this.#token) : undefined;
    });
  }
}

/** Shows a sale until what it returns is called. */
function show(
  host: HTMLElement,
  root: ShadowRoot,
  api: string,
  saleId: string,
  token: TokenSource | undefined,
): () => void {
  const tag = host.closest<HTMLElement>('[lang]')?.lang ?? '';
  const locale = [tag, ...navigator.languages].find((one) => languageOf(one)) ?? 'en';
  const words = embedWords[languageOf(locale) ?? 'en'];
  const clock = createServerClock();
  const format = formatFor(locale, words, clock.now, minorDigits);
  const ended = new AbortController();
  const { signal } = ended;
  const mine = new Map<string, ReservationView>();
  let sale: SaleView | undefined;
  /** A request of which it is not known whether it has arrived. */
  let open: { quantity: number; key: string } | undefined;
  let isBusy = false;
  let isLive = false;
  let lookTimer: ReturnType<typeof setTimeout> | undefined;

  root.replaceChildren(template.content.cloneNode(true));
  const part = <E extends HTMLElement = HTMLElement>(name: string) => root.querySelector(`[part=${name}]`) as E;
  const [timer, next, label] = ['.timer', '.next', '.label'].map((one) => root.querySelector(one) as HTMLElement);
  const form = part<HTMLFormElement>('form');
  const button = part<HTMLButtonElement>('reserve');
  const input = root.querySelector('input') as HTMLInputElement;

  const client: Client = createClient({
    api,
    websocket: host.getAttribute('websocket') ?? undefined,
    token: async (rejected) => token?.(rejected),
    language: () => locale,
    prove: async (challenge) => (await import('../work.ts')).prove(challenge as Challenge),
    onState: (state) => {
      isLive = state === 'live';
    },
    async fetch(request) {
      const sent = clock.stopwatch();
      const response = await fetch(request);
      clock.heard(response.headers.get('date'), sent, clock.stopwatch());
      return response;
    },
  });

  function write(element: Element | undefined, text: string): void {
    if (element && element.textContent !== text) element.textContent = text;
  }

  const say = (text: string) => write(part('message'), text);

  function tell(name: string, detail: object, cancelable = false): boolean {
    return host.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true, cancelable }));
  }

  /** What its owner may do with units that are set aside: buy them, and until when; or from when. */
  function buyingOf(reservation: ReservationView): { until: string } | { from: string } | undefined {
    if (reservation.state !== 'allocated' || sale?.status !== 'active') return undefined;
    if (clock.now() < Date.parse(sale.purchaseOpensAt)) return { from: sale.purchaseOpensAt };
    const until = buyableUntil(reservation, sale);
    return clock.now() < Date.parse(until) ? { until } : undefined;
  }

  /** The link, or the button, with which units that are set aside are bought. */
  function buyer({ reservationId, units }: ReservationView): HTMLElement {
    const url = host.getAttribute('buy-url')?.replaceAll('{reservationId}', encodeURIComponent(reservationId));
    const made = url === undefined ? document.createElement('button') : document.createElement('a');
    if (made instanceof HTMLAnchorElement && url !== undefined) made.href = url;
    made.setAttribute('part', 'buy');
    made.textContent = words.buy;
    made.addEventListener('click', (event) => {
      if (!tell('holdfast-buy', { saleId, reservationId, units }, true)) event.preventDefault();
    });
    return made;
  }

  function drawMine(): void {
    const list = part('mine');
    const shown = [...mine.values()].filter(({ state }) => shownStates.has(state));
    const lines = new Map([...list.children].map((line) => [(line as HTMLElement).dataset.what, line]));
    const wanted = shown.map((reservation) => {
      const { reservationId, state, units, quantity, position } = reservation;
      const buying = buyingOf(reservation);
      const canBuy = buying !== undefined && 'until' in buying;
      const count = format.number(state === 'requested' || state === 'waitlisted' ? quantity : units);
      const place =
        position === null || state === 'purchased' || state === 'allocated'
          ? ''
          : `, ${words.place(format.number(position))}`;
      const what = [reservationId, state, count, place, canBuy].join();
      const known = lines.get(what);
      const line = known ?? document.createElement('li');
      if (!known && line instanceof HTMLElement) {
        line.dataset.what = what;
        const text = document.createElement('span');
        text.textContent = `${count} × ${words.state[state]}${place}`;
        line.append(text, document.createElement('span'), ...(canBuy ? [buyer(reservation)] : []));
      }
      const time = buying && format.left('until' in buying ? buying.until : buying.from);
      write(line.children[1], time === undefined ? '' : canBuy ? words.buyWithin(time) : words.buyIn(time));
      return line;
    });
    if (wanted.length !== list.children.length || wanted.some((line, index) => line !== list.children[index])) {
      list.replaceChildren(...wanted);
    }
  }

  function draw(): void {
    if (!sale) {
      for (const name of ['countdown', 'stock', 'mine', 'form']) part(name).hidden = true;
      return;
    }
    const now = clock.now();
    const { status, stock, price } = sale;
    const phase = phaseOf(sale, now);
    write(part('name'), sale.name);
    write(part('price'), format.money(price));
    write(part('phase'), status === 'active' ? words.phase[phase] : words[status]);
    const boundary = boundaryOf(sale, now);
    part('countdown').hidden = boundary === undefined;
    if (boundary) {
      write(next, words.next[boundary.phase]);
      write(timer, format.until(boundary.at));
    }
    const { available, allotment } = stock;
    part('stock').hidden = status === 'cancelled' || isReservingOver(sale, now);
    write(
      part('stock'),
      available > 0 ? words.left(format.number(available), format.number(allotment)) : words.noneLeft,
    );
    part('mine').hidden = mine.size === 0;
    drawMine();

    const taking = takingOf(sale, Number(input.value) || 1, now);
    const most = leftOfCap(sale, [...mine.values()]);
    form.hidden = taking === 'no' || most === 0;
    if (taking !== 'no' && most === 0 && !part('message').textContent) say(words.capReached);
    input.max = String(most);
    write(label, words.quantity);
    write(button, taking === 'full' ? words.full : taking === 'waitlist' ? words.join : words.reserve);
    button.disabled = isBusy || taking === 'full';
  }

  async function readSale(): Promise<void> {
    const { data } = await client.http.GET('/sales/{saleId}', { params: { path: { saleId } }, signal });
    const read = data as SaleView;
    if (!isOvertaken(sale?.stock, read.stock)) sale = read;
  }

  async function readMine(): Promise<void> {
    if (!token) return;
    const { data } = await client.http.GET('/reservations', { params: { query: { limit: 100 } }, signal });
    for (const one of (data?.items ?? []) as ReservationView[])
      if (one.saleId === saleId) mine.set(one.reservationId, one);
  }

  /** Reads what there is to show, and says so if it cannot be had. */
  async function look(): Promise<void> {
    clearTimeout(lookTimer);
    try {
      await Promise.all([readSale(), readMine()]);
      if (part('message').textContent === words.unreachable) say('');
    } catch (error) {
      if (signal.aborted) return;
      if (!sale) say(error instanceof Problem && error.status === 404 ? words.noSale : words.unreachable);
    }
    if (signal.aborted) return;
    draw();
    lookTimer = setTimeout(look, (isLive ? lookLiveMs : lookMs) * (0.75 + Math.random() / 2));
  }

  /** Takes in what was pushed about the sale; what is about this customer is read anew. */
  function hear(news: News): void {
    if (news.type === 'stock' && sale) {
      const { available, allotment, waitlisted, epoch, version } = news;
      const stock = { ...sale.stock, available, allotment, waitlisted, epoch, version };
      if (!isOvertaken(sale.stock, stock)) sale = { ...sale, stock };
      draw();
    } else if (news.type === 'sale') {
      // All who watch hear it at once, and are not to ask at once.
      clearTimeout(lookTimer);
      lookTimer = setTimeout(look, 1_000 * Math.random());
    } else {
      readMine().then(draw, () => undefined);
    }
  }

  async function reserve(quantity: number): Promise<void> {
    if ((await token?.()) === undefined) {
      say(words.signIn);
      tell('holdfast-sign-in', { saleId, quantity });
      return;
    }
    if (open?.quantity !== quantity) open = { quantity, key: newKey() };
    say(words.sending);
    try {
      const accepted = await client.reserve(saleId, { quantity }, { key: open.key, signal });
      open = undefined;
      const reservation = (await client.waitForDecision(accepted, { signal })) as ReservationView;
      mine.set(reservation.reservationId, reservation);
      say(words.state[reservation.state]);
      tell('holdfast-reserved', { reservation });
    } catch (error) {
      if (signal.aborted) return;
      if (isOutcome(error)) open = undefined;
      say(open || !(error instanceof Problem) ? words.unknown : error.title);
    }
  }

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const quantity = Number(input.value);
    if (isBusy || !Number.isInteger(quantity) || quantity < 1) return input.focus();
    isBusy = true;
    draw();
    await reserve(quantity);
    isBusy = false;
    if (!signal.aborted) draw();
  });
  input.addEventListener('input', draw);

  const ticking = setInterval(draw, 1_000);
  if (token) {
    client.watch(saleId, hear);
    client.listen((news) => {
      if (news.type !== 'stock' && news.type !== 'sale') hear(news);
    });
  }
  draw();
  void look();

  return () => {
    ended.abort();
    clearInterval(ticking);
    clearTimeout(lookTimer);
    client.close();
  };
}

customElements.define('holdfast-sale', HoldfastSale);
