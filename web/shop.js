/**
 * The shop: sales with live stock, reserving, one's own reservations and purchases, and what has happened.
 *
 * What is shown comes from the API; what is pushed only says sooner what the API would say. So each push updates what
 * is on the page, and after an absence everything is read again.
 */
import { loadConfig, newKey, openApi } from './api.js';
import { openLive } from './live.js';
import { runsSales, setUpSigning } from './sign.js';
import {
  act,
  byId,
  clock,
  confirmed,
  h,
  money,
  number,
  phaseOf,
  phaseText,
  setText,
  showProblem,
  stockBar,
  takesReservations,
  toast,
  until,
  useMinorDigits,
} from './ui.js';

/** How often what nobody pushes to us is read again: stock for those who are not signed in. */
const lookMs = 5_000;
/** How long a request may stay undecided before the page asks, in case no push comes. */
const askAfterMs = 1_500;

const config = await loadConfig();
const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
useMinorDigits(config.minorDigits ?? {});
const api = openApi(config.api, signedIn);
const signing = setUpSigning(api, { mayRegister: true });

const sales = new Map();
const saleCards = new Map();
const products = new Map();
const reservations = new Map();
const purchases = new Map();
const chosen = new Set();
let me;
let news = [];
let newsCursor = null;
let unread = 0;

const live = openLive({
  url: config.websocket,
  token: () => api.token(),
  onMessage: hear,
  onState: showLink,
  onBack: () => refresh(),
});

/* Sales */

async function readSales() {
  const list = await api.all('/sales');
  await Promise.all(list.map(({ productId }) => readProduct(productId)));
  for (const sale of list) {
    const known = sales.get(sale.saleId);
    sales.set(sale.saleId, known ? { ...sale, stock: newer(known.stock, sale.stock) } : sale);
    live.note(`stock:${sale.saleId}`, sale.stock.version, sale.stock.epoch);
    if (me) live.watch(sale.saleId);
  }
  drawSales();
}

async function readProduct(productId) {
  if (products.has(productId)) return;
  products.set(productId, await api.get(`/products/${productId}`).catch(() => undefined));
}

const newer = (one, other) =>
  one.epoch > other.epoch || (one.epoch === other.epoch && one.version > other.version) ? one : other;

const rank = { purchasing: 0, reserving: 1, scheduled: 2, reserved: 3, closed: 4 };

function drawSales() {
  const box = byId('sales');
  box.setAttribute('aria-busy', 'false');
  const order = [...sales.values()].sort(
    (a, b) => rank[phaseOf(a)] - rank[phaseOf(b)] || a.reserveOpensAt.localeCompare(b.reserveOpensAt),
  );
  for (const sale of order) {
    if (!saleCards.has(sale.saleId)) saleCards.set(sale.saleId, saleCard(sale.saleId));
    saleCards.get(sale.saleId).update();
  }
  const cards = order.map(({ saleId }) => saleCards.get(saleId).element);
  // Moving a card would take the focus out of it, so cards stay where they are unless their number changes.
  if (box.children.length !== Math.max(1, cards.length) || cards.length === 0) {
    box.replaceChildren(...(cards.length > 0 ? cards : [h('p', { class: 'empty' }, 'There are no sales yet.')]));
  }
}

function saleCard(saleId) {
  const sale = () => sales.get(saleId);
  const badge = h('span', { class: 'badge' });
  const nextLabel = h('span');
  const nextTime = h('strong');
  const countdown = h('div', { class: 'countdown' }, nextLabel, nextTime);
  const bar = stockBar();
  const quantity = h('input', { type: 'number', min: 1, value: 1, 'aria-label': 'Quantity', inputmode: 'numeric' });
  const least = h('input', { type: 'number', min: 1, value: 1, 'aria-label': 'The least you would take' });
  const all = h('input', { type: 'radio', name: `fill-${saleId}`, value: 'all', checked: true });
  const some = h('input', { type: 'radio', name: `fill-${saleId}`, value: 'some' });
  const go = h('button', { type: 'submit' }, 'Reserve');
  const hint = h('p', { class: 'note' });
  const step = (by) => {
    quantity.value = Math.min(Number(quantity.max), Math.max(1, Number(quantity.value) + by));
  };
  const form = h(
    'form',
    { class: 'reserve', onsubmit: submit },
    h(
      'div',
      { class: 'row' },
      h(
        'div',
        { class: 'stepper' },
        h('button', { type: 'button', 'aria-label': 'One less', onclick: () => step(-1) }, '−'),
        quantity,
        h('button', { type: 'button', 'aria-label': 'One more', onclick: () => step(1) }, '+'),
      ),
      h('span', { class: 'grow' }),
      go,
    ),
    h(
      'fieldset',
      { 'aria-label': 'If not all can be had' },
      h('label', { class: 'choice' }, all, 'All or nothing'),
      h('label', { class: 'choice' }, some, 'Take fewer, at least', least),
    ),
  );
  least.addEventListener('focus', () => {
    some.checked = true;
  });

  async function submit(event) {
    event.preventDefault();
    if (!me) return signing.ask();
    const fill = all.checked ? 'all' : { atLeast: Number(least.value) };
    await act(go, () => reserve(sale(), Number(quantity.value), fill));
  }

  const { name, capPerCustomer, price, productId } = sale();
  const product = products.get(productId);
  quantity.max = capPerCustomer;
  least.max = capPerCustomer;
  const element = h(
    'article',
    { class: 'card sale', 'aria-label': name },
    h(
      'header',
      {},
      h('div', { class: 'row apart' }, badge, h('span', { class: 'price' }, money(price))),
      h('h3', {}, name),
      product && product.name !== name && h('p', { class: 'soft small' }, product.name),
      product?.description && h('p', { class: 'soft small' }, product.description),
    ),
    countdown,
    bar.element,
    form,
    hint,
  );

  function update() {
    const now = sale();
    const { label, next } = phaseText(now);
    setText(badge, label);
    badge.className = `badge ${now.status === 'active' ? phaseOf(now).replace('closed', 'closed-phase') : now.status}`;
    setText(nextLabel, next?.[0] ?? '');
    setText(nextTime, next ? until(next[1]) : '');
    countdown.hidden = !next;
    bar.update(now.stock);
    form.hidden = now.status !== 'active' || !takesReservations(now);
    const waiting = number(now.stock.waitlisted);
    setText(
      hint,
      form.hidden
        ? phaseOf(now) === 'scheduled'
          ? `Opens ${clock(now.reserveOpensAt)} · up to ${now.capPerCustomer} each`
          : `Purchase from ${clock(now.purchaseOpensAt)} to ${clock(now.purchaseClosesAt)}`
        : now.stock.available > 0
          ? `Up to ${now.capPerCustomer} each. You pay only when the purchase window opens.`
          : `All set aside for now; ${waiting} of ${number(now.waitlistSize)} places on the waitlist are taken.`,
    );
  }
  return { element, update };
}

async function reserve(sale, quantity, fill) {
  // One key for one click: however often it is sent, it is one reservation.
  const accepted = await api.post(`/sales/${sale.saleId}/reservations`, { quantity, fill }, { key: newKey() });
  const { reservationId, ticket, position, state, statusUrl } = accepted;
  const known = reservations.get(reservationId);
  if (!known || known.version === 0) {
    put({
      reservationId,
      saleId: sale.saleId,
      state,
      quantity,
      fill,
      units: 0,
      ticket,
      position,
      version: 0,
      statusUrl,
    });
  }
  toast(
    position ? `You are number ${number(position)} in line.` : 'Your place in line is kept.',
    'good',
    'Request accepted',
  );
  followUp(reservationId);
}

/** Asks for the decision if no push brings it. */
async function followUp(reservationId, attempt = 1) {
  await new Promise((resolve) => setTimeout(resolve, askAfterMs * attempt));
  if (reservations.get(reservationId)?.state !== 'requested' || attempt > 12) return;
  await readReservation(reservationId).catch(() => undefined);
  followUp(reservationId, attempt + 1);
}

/* Reservations */

function put(reservation) {
  const known = reservations.get(reservation.reservationId);
  if (known && known.version > reservation.version) return;
  reservations.set(reservation.reservationId, { ...known, ...reservation });
  live.note(`reservation:${reservation.reservationId}`, reservation.version);
  drawReservations();
}

/** The status URL of a reservation. The one of the 202 proves that it exists, even if no store knows it yet. */
const urlOf = (reservationId) => reservations.get(reservationId)?.statusUrl ?? `/reservations/${reservationId}`;

const readReservation = async (reservationId) => put(await api.get(urlOf(reservationId)));

async function readReservations() {
  for (const reservation of await api.all('/reservations')) put(reservation);
  drawReservations();
}

/** Until when units that are set aside can be bought, if they can be bought now. */
function buyableUntil(reservation) {
  const sale = sales.get(reservation.saleId);
  if (!sale || reservation.state !== 'allocated' || sale.status !== 'active') return undefined;
  const deadline = reservation.deadline ?? sale.purchaseClosesAt;
  const [end] = [deadline, sale.purchaseClosesAt].sort();
  return phaseOf(sale) === 'purchasing' && Date.parse(end) > Date.now() ? end : undefined;
}

function explain(reservation) {
  const sale = sales.get(reservation.saleId);
  const { state, units, quantity, position, reason } = reservation;
  switch (state) {
    case 'requested':
      return position ? `Number ${number(position)} in line; being decided.` : 'Being decided.';
    case 'waitlisted':
      return position ? `Number ${number(position)} on the waitlist.` : 'On the waitlist.';
    case 'allocated': {
      const end = buyableUntil(reservation);
      const share = units < quantity ? `${units} of ${quantity} set aside.` : 'Set aside for you.';
      if (end) return `${share} Buy within ${until(end)}.`;
      if (sale?.status === 'paused') return `${share} The sale is paused; your time stands still.`;
      return sale && phaseOf(sale) !== 'closed' ? `${share} Purchase opens ${clock(sale.purchaseOpensAt)}.` : share;
    }
    case 'rejected':
    case 'cancelled':
    case 'expired':
      return reason ? reasonText(reason) : '';
    default:
      return '';
  }
}

/** The reasons a person may meet, in words; the codes are those of the API. */
const reasons = {
  over_allotment: 'The sale does not have that many units.',
  over_cap: 'That was more than one customer may have in this sale.',
  sold_out: 'Everything was allocated and the waitlist was full.',
  sale_closed: 'It arrived after reservations had closed.',
  sale_not_open: 'It arrived before reservations had opened.',
  sale_cancelled: 'The sale was cancelled.',
  sale_cancelled_while_paying: 'The sale was cancelled. What your payment takes for it will be refunded.',
  sale_paused: 'The sale was paused.',
  window_closed: 'The purchase window closed.',
  deadline_passed: 'The time to buy the offer passed.',
};
const reasonText = (reason) => reasons[reason] ?? `${reason.replaceAll(/[_-]/g, ' ')}.`;

const rows = new Map();

function drawReservations() {
  byId('mine').hidden = !me;
  const box = byId('reservations');
  const order = [...reservations.values()].sort((a, b) => (b.ticket ?? 0) - (a.ticket ?? 0));
  for (const reservation of order) {
    if (!rows.has(reservation.reservationId))
      rows.set(reservation.reservationId, reservationRow(reservation.reservationId));
    rows.get(reservation.reservationId).update();
  }
  const wanted = order.map(({ reservationId }) => rows.get(reservationId).element);
  if (wanted.length === 0) {
    box.replaceChildren(h('li', { class: 'empty' }, 'Nothing yet. Reserve something above.'));
  } else if (
    wanted.some((element, index) => box.children[index] !== element) ||
    box.children.length !== wanted.length
  ) {
    box.replaceChildren(...wanted);
  }
  drawPay();
}

function reservationRow(reservationId) {
  const box = h('input', { type: 'checkbox', onchange: choose });
  const badge = h('span', { class: 'badge' });
  const title = h('strong');
  const why = h('span', { class: 'why number' });
  const cancel = h('button', { class: 'quiet slim', type: 'button', onclick: give }, 'Give back');
  const element = h(
    'li',
    { class: 'item' },
    box,
    h('div', { class: 'what' }, h('div', { class: 'row' }, title, badge), why),
    cancel,
  );

  function choose() {
    if (box.checked) chosen.add(reservationId);
    else chosen.delete(reservationId);
    drawReservations();
  }

  async function give() {
    const { state } = reservations.get(reservationId);
    const question = state === 'allocated' ? 'Give these units back to those who wait?' : 'Leave the line?';
    if (!(await confirmed(question, 'Give back'))) return;
    await act(cancel, async () => put(await api.delete(urlOf(reservationId))));
  }

  function update() {
    const reservation = reservations.get(reservationId);
    const { state, quantity, units, saleId } = reservation;
    const name = sales.get(saleId)?.name ?? 'A sale';
    setText(title, `${number(units > 0 ? units : quantity)} × ${name}`);
    setText(badge, state);
    badge.className = `badge ${state}`;
    setText(why, explain(reservation));
    const buyable = buyableUntil(reservation) !== undefined && !paying(reservationId);
    if (!buyable) chosen.delete(reservationId);
    box.disabled = !buyable;
    box.checked = chosen.has(reservationId);
    box.style.visibility = buyable ? 'visible' : 'hidden';
    box.setAttribute('aria-label', `Choose ${title.textContent} to buy`);
    element.classList.toggle('chosen', box.checked);
    cancel.hidden = !['requested', 'allocated', 'waitlisted'].includes(state) || paying(reservationId);
  }
  return { element, update };
}

/* Purchases */

const openStates = new Set(['requested', 'unknown', 'requires_action']);
const paying = (reservationId) =>
  [...purchases.values()].some(
    ({ state, items }) => openStates.has(state) && items.some((item) => item.reservationId === reservationId),
  );

function drawPay() {
  const list = [...chosen].map((id) => reservations.get(id));
  byId('pay').hidden = list.length === 0;
  if (list.length === 0) return;
  const currencies = Map.groupBy(list, ({ saleId }) => sales.get(saleId).price.currency);
  const sums = [...currencies].map(([currency, some]) =>
    money({
      currency,
      amountMinor: some.reduce((sum, one) => sum + one.units * sales.get(one.saleId).price.amountMinor, 0),
    }),
  );
  setText(byId('pay-sum'), sums.join(' + '));
  const units = list.reduce((sum, one) => sum + one.units, 0);
  setText(
    byId('pay-what'),
    `${list.length} ${list.length === 1 ? 'reservation' : 'reservations'}, ${units} units, one payment`,
  );
}

for (const { token, label } of config.payments ?? [{ token: 'tok_approve', label: 'A card that is accepted' }]) {
  byId('pay-token').append(h('option', { value: token }, label));
}

byId('pay').addEventListener('submit', (event) => {
  event.preventDefault();
  act(byId('pay-now'), async () => {
    const reservationIds = [...chosen];
    const body = { reservationIds, paymentToken: byId('pay-token').value };
    const { purchaseId } = await api.post('/purchases', body, { key: newKey() });
    chosen.clear();
    await readPurchase(purchaseId);
    toast('Your payment is on its way.', 'plain', 'Purchase accepted');
    watchPurchase(purchaseId);
  });
});

const readPurchase = async (purchaseId) => {
  purchases.set(purchaseId, await api.get(`/purchases/${purchaseId}`));
  drawPurchases();
};

/** Asks for the outcome if no push brings it. */
async function watchPurchase(purchaseId, attempt = 1) {
  await new Promise((resolve) => setTimeout(resolve, askAfterMs * attempt));
  if (!openStates.has(purchases.get(purchaseId)?.state) || attempt > 30) return;
  await readPurchase(purchaseId).catch(() => undefined);
  if (!openStates.has(purchases.get(purchaseId)?.state)) await readReservations();
  watchPurchase(purchaseId, attempt + 1);
}

async function readPurchases() {
  for (const purchase of await api.all('/purchases')) purchases.set(purchase.purchaseId, purchase);
  drawPurchases();
}

const purchaseText = {
  requested: 'Waiting for the bank.',
  unknown: 'The bank has not answered; your units stay set aside until it does.',
  requires_action: 'Your bank wants you to confirm this payment.',
  refunding: 'Your money is on its way back.',
  refund_failed: 'Your money could not be returned yet; somebody is looking into it.',
  disputed: 'The payment is not what was ordered; somebody is looking into it.',
};

function drawPurchases() {
  byId('bought').hidden = !me || purchases.size === 0;
  const order = [...purchases.values()].sort((a, b) => b.createdAt.localeCompare(a.createdAt));
  byId('purchases').replaceChildren(
    ...order.map(({ state, amount, items, reason, action, createdAt }) =>
      h(
        'li',
        { class: 'item' },
        h('span'),
        h(
          'div',
          { class: 'what' },
          h('div', { class: 'row' }, h('strong', {}, money(amount)), h('span', { class: `badge ${state}` }, state)),
          h(
            'span',
            { class: 'why' },
            items.map(({ units, saleId }) => `${units} × ${sales.get(saleId)?.name ?? 'a sale'}`).join(', '),
          ),
          action &&
            h(
              'a',
              { href: action.url, target: '_blank', rel: 'noreferrer' },
              `Confirm it until ${clock(action.deadline)}`,
            ),
          (purchaseText[state] || reason) && h('span', { class: 'why' }, purchaseText[state] ?? reasonText(reason)),
        ),
        h('span', { class: 'soft small' }, clock(createdAt)),
      ),
    ),
  );
  drawReservations();
}

/* Notifications */

async function readNews(older = false) {
  const page = await api.get(
    `/notifications?${new URLSearchParams({ limit: 20, timeZone, ...(older && newsCursor ? { cursor: newsCursor } : {}) })}`,
  );
  news = older ? [...news, ...page.items] : page.items;
  newsCursor = page.nextCursor;
  unread = page.unread;
  drawNews();
}

function drawNews() {
  setText(byId('unread'), number(unread));
  byId('bell').setAttribute('aria-label', `Notifications, ${unread} unread`);
  byId('news-more').hidden = newsCursor === null;
  byId('news').replaceChildren(
    ...(news.length === 0 ? [h('li', { class: 'empty' }, 'Nothing has happened yet.')] : []),
    ...news.map(({ text, facts, createdAt, readAt }) =>
      h(
        'li',
        { class: `news ${readAt ? '' : 'unread'}` },
        facts?.saleId && h('strong', {}, sales.get(facts.saleId)?.name ?? ''),
        h('p', {}, text),
        h('span', { class: 'soft small' }, clock(createdAt)),
      ),
    ),
  );
}

byId('bell').addEventListener('click', () => {
  byId('news-drawer').showModal();
  readNews().catch(showProblem);
});
byId('news-close').addEventListener('click', () => byId('news-drawer').close());
byId('news-more').addEventListener('click', (event) => act(event.currentTarget, () => readNews(true)));
byId('news-read').addEventListener('click', (event) =>
  act(event.currentTarget, async () => {
    await api.post('/notifications/read', { notificationIds: 'all' });
    await readNews();
  }),
);

/* What is pushed */

function hear(message) {
  switch (message.type) {
    case 'stock': {
      const { type: _, saleId, ...stock } = message;
      const sale = sales.get(saleId);
      if (!sale) return;
      sales.set(saleId, { ...sale, stock: newer(stock, sale.stock) });
      saleCards.get(saleId)?.update();
      return;
    }
    case 'sale':
      api.get(`/sales/${message.saleId}`).then((sale) => {
        sales.set(sale.saleId, sale);
        drawSales();
        drawReservations();
      }, showProblem);
      return;
    case 'reservation': {
      const { reservationId, saleId, state, units, quantity, ticket, version, reason, deadline } = message;
      put({ reservationId, saleId, state, units, quantity, ticket, version, reason, deadline, position: null });
      // A place on the waitlist is not pushed, because it moves with every other customer.
      if (state === 'waitlisted') readReservation(reservationId).catch(() => undefined);
      tell(message);
      return;
    }
    case 'purchase':
      readPurchase(message.purchaseId).catch(() => undefined);
      tell(message);
      return;
    case 'reminder':
      if (message.position !== undefined) readReservation(message.reservationId).catch(() => undefined);
      tell(message);
      return;
    default:
  }
}

const badNews = new Set(['reservation.rejected', 'reservation.expired', 'purchase.declined']);

function tell({ kind, text, notificationId, saleId, subjectId, version, ...rest }) {
  unread += 1;
  const item = {
    notificationId,
    kind,
    subjectId,
    version,
    facts: { saleId },
    text,
    createdAt: new Date().toISOString(),
  };
  news = [item, ...news];
  drawNews();
  toast(text, badNews.has(kind) ? 'bad' : 'good', sales.get(saleId ?? rest.facts?.saleId)?.name);
}

/* Who is here */

const linkText = { live: 'Live', reconnecting: 'Reconnecting', off: 'Not connected' };

function showLink(state) {
  setText(byId('link'), linkText[state]);
  byId('link').className = `badge ${state}`;
}

function signedIn(customer) {
  me = customer;
  setText(byId('who'), me?.name ?? '');
  setText(byId('sign'), me ? 'Sign out' : 'Sign in');
  byId('sign').classList.toggle('quiet', Boolean(me));
  byId('bell').hidden = !me;
  byId('to-console').hidden = !runsSales(me);
  for (const map of [reservations, purchases, rows]) map.clear();
  chosen.clear();
  news = [];
  if (me) {
    // Pushed texts have their times in the reader's time zone.
    if (me.timeZone !== timeZone) api.patch('/me', { timeZone }).catch(() => undefined);
    for (const saleId of sales.keys()) live.watch(saleId);
    live.open();
    refresh();
  } else {
    live.close();
  }
  drawReservations();
  drawPurchases();
}

byId('sign').addEventListener('click', () => (me ? api.signOut() : signing.ask()));

/** Reads everything again. */
async function refresh() {
  try {
    await readSales();
    if (me) await Promise.all([readReservations(), readPurchases(), readNews()]);
  } catch (problem) {
    showProblem(problem);
  }
}

setInterval(() => {
  for (const card of saleCards.values()) card.update();
  for (const row of rows.values()) row.update();
  drawPay();
}, 1_000);

setInterval(() => {
  if (document.visibilityState === 'visible' && !me) readSales().catch(() => undefined);
}, lookMs);

// A new sale is announced to nobody in particular, so those who are signed in look for one now and then too.
setInterval(() => {
  if (document.visibilityState === 'visible' && me) readSales().catch(() => undefined);
}, 6 * lookMs);

await api.resume().catch(showProblem);
await readSales().catch(showProblem);
