/**
 * The operator console: sales with live counters, products, health, dead letters, refunds, people, and what operators did.
 *
 * Counters come live over the WebSocket; what lies behind them (queues, breakers, drift) is asked for while somebody
 * looks at it. Every change an operator makes is one call of the public API.
 */
import { loadConfig, newKey, openApi } from './api.ts';
import { setUpFind } from './find.js';
import { openLive } from './live.ts';
import { runsSales, setUpSigning } from './sign.js';
import {
  act,
  byId,
  chosen,
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
  toast,
  until,
  useMinorDigits,
} from './ui.js';

/** How often what is not pushed is asked for, while it is looked at. */
const lookMs = 2_000;

const config = await loadConfig();
useMinorDigits(config.minorDigits ?? {});
const api = openApi(config.api, { onSession: signedIn });
const signing = setUpSigning(api, { mayRegister: false });

const sales = new Map();
const picks = new Map();
let products = [];
let operator;
let selected;
let area = 'sales';

const live = openLive({
  url: config.websocket,
  token: () => api.token(),
  onMessage: hear,
  onState: (state) => {
    setText(byId('link'), { live: 'Live', reconnecting: 'Reconnecting', off: 'Not connected' }[state]);
    byId('link').className = `badge ${state}`;
  },
  onBack: () => readSales().catch(showProblem),
});

/* Areas */

const finding = setUpFind({ api, sales });
const areas = ['sales', 'products', 'health', 'dead', 'refunds', 'find', 'acts'];
const look = {
  sales: lookAtSale,
  health: readHealth,
  dead: readDeadLetters,
  find: finding.readSales,
  acts: finding.readActs,
};

function show(name) {
  area = name;
  for (const one of areas) {
    byId(one).hidden = one !== name;
    byId(`tab-${one}`).setAttribute('aria-selected', String(one === name));
    byId(`tab-${one}`).tabIndex = one === name ? 0 : -1;
  }
  look[name]?.().catch(showProblem);
}

for (const name of areas) {
  byId(`tab-${name}`).addEventListener('click', () => show(name));
  byId(`tab-${name}`).addEventListener('keydown', ({ key }) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!by) return;
    const next = areas[(areas.indexOf(name) + by + areas.length) % areas.length];
    show(next);
    byId(`tab-${next}`).focus();
  });
}

/* Sales */

async function readSales() {
  // The latest are watched if there are more than one connection may watch.
  for (const sale of (await api.all('/sales')).reverse()) take(sale);
  drawSales();
}

function take(sale) {
  const known = sales.get(sale.saleId);
  sales.set(sale.saleId, { ...sale, stock: known ? newer(known.stock, sale.stock) : sale.stock });
  live.note(`stock:${sale.saleId}`, sale.stock.version, sale.stock.epoch);
  live.watch(sale.saleId);
}

const newer = (one, other) =>
  one.epoch > other.epoch || (one.epoch === other.epoch && one.version > other.version) ? one : other;

function drawSales() {
  const order = [...sales.values()].sort((a, b) => b.reserveOpensAt.localeCompare(a.reserveOpensAt));
  for (const sale of order) {
    if (!picks.has(sale.saleId)) picks.set(sale.saleId, pickOf(sale.saleId));
    picks.get(sale.saleId).update();
  }
  const wanted = order.map(({ saleId }) => picks.get(saleId).element);
  const box = byId('sale-list');
  if (wanted.length === 0) box.replaceChildren(h('p', { class: 'empty' }, 'No sales yet. Create one above.'));
  else if (box.children.length !== wanted.length || wanted.some((one, index) => box.children[index] !== one)) {
    box.replaceChildren(...wanted);
  }
}

function pickOf(saleId) {
  const badge = h('span', { class: 'badge' });
  const name = h('strong');
  const left = h('span', { class: 'soft small number' });
  const bar = h(
    'div',
    { class: 'bar' },
    ...['sold', 'allocated', 'available'].map((part) => h('span', { class: `part ${part}` })),
  );
  const element = h(
    'button',
    { class: 'pick', type: 'button', onclick: () => select(saleId) },
    h('div', { class: 'row apart' }, name, badge),
    bar,
    left,
  );
  function update() {
    const sale = sales.get(saleId);
    setText(name, sale.name);
    setText(badge, phaseText(sale).label);
    badge.className = `badge ${sale.status === 'active' ? phaseOf(sale).replace('closed', 'closed-phase') : sale.status}`;
    for (const part of bar.children) {
      part.style.width = `${(100 * sale.stock[part.classList[1]]) / Math.max(1, sale.stock.allotment)}%`;
    }
    setText(left, `${number(sale.stock.available)} of ${number(sale.stock.allotment)} available`);
    element.setAttribute('aria-current', String(saleId === selected?.saleId));
  }
  return { element, update };
}

function select(saleId) {
  selected = detailOf(saleId);
  byId('sale-detail').replaceChildren(selected.element);
  drawSales();
  lookAtSale().catch(showProblem);
}

async function lookAtSale() {
  if (!selected) return;
  const { saleId, inside } = selected;
  const isOff = sales.get(saleId)?.status === 'cancelled';
  const [overview, cancellation] = await Promise.all([
    api.get(`/ops/sales/${saleId}`),
    isOff ? api.get(`/ops/sales/${saleId}/cancellation`) : undefined,
  ]);
  inside(overview, cancellation);
}

/** A sale in full: its stock, what can be done with it, and what goes on inside. */
function detailOf(saleId) {
  const bar = stockBar();
  const times = h('dl', { class: 'facts' });
  const inside = h('div', { class: 'list' });
  const next = h('p', { class: 'note number' });
  const units = h('input', { type: 'number', value: 10, 'aria-label': 'Units to add, or with a minus to take back' });

  const minutes = h('input', {
    type: 'number',
    value: 10,
    'aria-label': 'Minutes to move by, or with a minus earlier',
  });

  const command = (verb, label) =>
    h('button', { class: 'quiet', type: 'button', onclick: (event) => run(event.currentTarget, verb) }, label);
  const run = (button, verb, body) =>
    act(button, async () => {
      take(await api.post(`/sales/${saleId}/${verb}`, body));
      toast(`${sales.get(saleId).name}: ${verb} done.`, 'good');
      update();
      await lookAtSale();
    });
  const pause = command('pause', 'Pause');
  const resume = command('resume', 'Resume');
  const cancel = h(
    'button',
    {
      class: 'danger',
      type: 'button',
      onclick: async (event) => {
        const button = event.currentTarget;
        const refunds = await chosen(
          'Call this sale off for good? Everything reserved is released, and everybody is told. What becomes of what is paid?',
          { keep: 'Keep what is paid', refund: 'Give it back' },
        );
        if (refunds) await run(button, 'cancel', { refunds });
      },
    },
    'Call off',
  );
  const move = h(
    'form',
    {
      class: 'row',
      onsubmit: (event) => {
        event.preventDefault();
        act(event.submitter, async () => {
          const shift = { shiftSeconds: Math.round(Number(minutes.value) * 60) };
          const preview = await api.post(`/sales/${saleId}/reschedule`, { ...shift, dryRun: true });
          if (!(await confirmed(previewText(preview), 'Move'))) return;
          const { confirmation } = preview;
          const moved = await api.post(`/sales/${saleId}/reschedule`, {
            ...shift,
            ...(confirmation && { confirmation }),
          });
          take(moved.sale);
          toast('The sale has new times, and everybody concerned is told.', 'good');
          update();
        });
      },
    },
    h('div', { class: 'short' }, minutes),
    h('button', { class: 'quiet', type: 'submit' }, 'Move by minutes …'),
  );
  const stock = h(
    'form',
    {
      class: 'row',
      onsubmit: (event) => {
        event.preventDefault();
        act(event.submitter, async () => {
          take(await api.post(`/sales/${saleId}/stock`, { units: Number(units.value) }, { key: newKey() }));
          toast('Stock changed.', 'good');
          update();
        });
      },
    },
    h('div', { class: 'short' }, units),
    h('button', { class: 'quiet', type: 'submit' }, 'Add or take back units'),
  );
  const title = h('h2');
  const element = h(
    'div',
    { class: 'card' },
    h('div', { class: 'row apart' }, title, h('span', { class: 'mono soft' }, saleId)),
    next,
    bar.element,
    times,
    h('div', { class: 'row' }, pause, resume, cancel, h('span', { class: 'grow' }), move, stock),
    inside,
  );

  function update() {
    const sale = sales.get(saleId);
    const { label, next: coming } = phaseText(sale);
    setText(title, sale.name);
    setText(next, coming ? `${label}. ${coming[0]} ${until(coming[1])}.` : `${label}.`);
    bar.update(sale.stock);
    pause.hidden = sale.status !== 'active';
    resume.hidden = sale.status !== 'paused';
    cancel.hidden = sale.status === 'cancelled';
    stock.hidden = sale.status === 'cancelled';
    move.hidden = sale.status === 'cancelled' || phaseOf(sale) === 'closed';
    const facts = [
      ['Price', money(sale.price)],
      ['Cap per customer', number(sale.capPerCustomer)],
      ['Waitlist', `${number(sale.stock.waitlisted)} of ${number(sale.waitlistSize)}`],
      ['Reservations', `${clock(sale.reserveOpensAt)} to ${clock(sale.reserveClosesAt)}`],
      ['Purchase', `${clock(sale.purchaseOpensAt)} to ${clock(sale.purchaseClosesAt)}`],
      ['Stock version', `${sale.stock.epoch}.${sale.stock.version}`],
    ];
    times.replaceChildren(...facts.map(([name, value]) => fact(name, value)));
  }

  update();
  return {
    saleId,
    element,
    update,
    inside(overview, cancellation) {
      inside.replaceChildren(...(cancellation ? progressOf(cancellation) : []), ...insideOf(overview));
    },
  };
}

/** Describes what moving a sale would do, as a question. */
function previewText({ sale, dangers, concerned }) {
  const { holding, waiting, shortened } = concerned;
  const warning = [
    ['closes_at_once', 'The sale would be closed at once. '],
    ['short_window', 'Hardly any time would be left to buy. '],
    ['ends_reserving', 'Hardly any time would be left to reserve. '],
  ]
    .map(([danger, text]) => (dangers.includes(danger) ? text : ''))
    .join('');
  const loss = shortened > 0 ? ` ${number(shortened)} of them would have less time than they were told.` : '';
  return (
    `${warning}The purchase window would be ${clock(sale.purchaseOpensAt)} to ${clock(sale.purchaseClosesAt)}. ` +
    `${number(holding)} who hold units and ${number(waiting)} who wait are told.${loss}`
  );
}

/** Shows how far calling a sale off has come. */
function progressOf({ refunds, done, openPayments, reservations, refundsByState, currency }) {
  const { allocated = 0, waitlisted = 0 } = reservations;
  return [
    h('h3', {}, refunds === 'refund' ? 'Called off; what was paid is given back' : 'Called off; what was paid is kept'),
    h(
      'dl',
      { class: 'facts' },
      fact('State', done ? 'done' : 'under way'),
      fact('Still to be cancelled', number(allocated + waitlisted)),
      fact('Payments under way', number(openPayments)),
      ...Object.entries(refundsByState).map(([state, { refunds: count, amountMinor }]) =>
        fact(
          `Refunds ${state}`,
          `${number(count)}, ${money({ amountMinor, currency })}`,
          state === 'failed' && count > 0,
        ),
      ),
    ),
  ];
}

function insideOf({ reservations, queues, breakers, drift, gate, outbox, mirror }) {
  const seconds = (ms) => (ms === null ? '–' : `${(ms / 1000).toFixed(1)} s`);
  return [
    h('h3', {}, 'Reservations'),
    h('dl', { class: 'facts' }, ...Object.entries(reservations).map(([state, count]) => fact(state, number(count)))),
    h('h3', {}, 'Mirror and gate'),
    h(
      'dl',
      { class: 'facts' },
      fact('Mirror', mirror ? `${mirror.epoch}.${mirror.version}` : 'absent', !mirror),
      fact('Drift, versions', drift ? number(drift.versions) : '–', drift?.versions > 0),
      fact('Drift, units', drift ? number(drift.available) : '–', drift?.available !== 0 && drift !== null),
      fact('Requests at the gate', number(gate.requests)),
      fact('Units being decided', number(gate.pendingUnits)),
      fact('Outbox', outbox.events === 0 ? 'empty' : `${number(outbox.events)}, ${seconds(outbox.oldestMs)}`),
    ),
    h('h3', {}, 'Queues'),
    table(
      ['Queue', 'Waiting', 'In flight', 'Delayed', 'Oldest', 'Dead letters'],
      Object.entries(queues).map(([name, queue]) => [
        name,
        number(queue.waiting),
        number(queue.inFlight),
        number(queue.delayed),
        seconds(queue.oldestMessageMs),
        number(queue.deadLetters),
      ]),
    ),
    h('h3', {}, 'Breakers'),
    h('dl', { class: 'facts' }, ...breakerFacts(breakers)),
  ];
}

const breakerFacts = (breakers) =>
  Object.entries(breakers).map(([name, state]) => fact(name, state, state !== 'closed'));

function fact(name, value, warn = false) {
  return h('div', { class: warn ? 'fact warn' : 'fact' }, h('dt', {}, name), h('dd', {}, value));
}

/** A table whose columns after the first are numbers, unless said otherwise. */
function table(heads, lines, numeric = true) {
  const cell = (tag, index, ...content) =>
    h(tag, { class: numeric && index > 0 && 'number', scope: tag === 'th' && 'col' }, ...content);
  return h(
    'div',
    { class: 'table' },
    h(
      'table',
      {},
      h('thead', {}, h('tr', {}, ...heads.map((head, index) => cell('th', index, head)))),
      h('tbody', {}, ...lines.map((line) => h('tr', {}, ...line.map((value, index) => cell('td', index, value))))),
    ),
  );
}

/** The value of a datetime-local field for a moment, in this machine's time zone. */
function localTime(ms) {
  const date = new Date(ms - new Date(ms).getTimezoneOffset() * 60_000);
  return date.toISOString().slice(0, 19);
}

const timeFields = ['reserveOpensAt', 'reserveClosesAt', 'purchaseOpensAt', 'purchaseClosesAt'];

for (const button of document.querySelectorAll('[data-minutes]')) {
  button.addEventListener('click', () => {
    const minutes = button.dataset.minutes.split(',').map(Number);
    timeFields.forEach((name, index) => {
      byId('sale-form').elements[name].value = localTime(Date.now() + minutes[index] * 60_000);
    });
  });
}
document.querySelector('[data-minutes]').click();

byId('sale-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const given = Object.fromEntries(new FormData(event.currentTarget));
  const numbers = ['allotment', 'capPerCustomer', 'waitlistSize', 'offerLifeSeconds'];
  const body = {
    productId: given.productId,
    name: given.name,
    ...Object.fromEntries(numbers.map((name) => [name, Number(given[name])])),
    ...Object.fromEntries(timeFields.map((name) => [name, new Date(given[name]).toISOString()])),
  };
  act(byId('sale-create'), async () => {
    const sale = await api.post('/sales', body, { key: newKey() });
    take(sale);
    byId('new-sale').open = false;
    toast(`${sale.name} was created.`, 'good');
    select(sale.saleId);
  });
});

/* Products */

async function readProducts() {
  products = await api.all('/products', 1_000);
  byId('product-rows').replaceChildren(
    ...products.map(({ sku, name, description, price }) =>
      h(
        'tr',
        {},
        h('td', { class: 'mono' }, sku),
        h('td', {}, name),
        h('td', { class: 'soft' }, description),
        h('td', { class: 'number' }, money(price)),
      ),
    ),
  );
  byId('sale-form').elements.productId.replaceChildren(
    ...products.map(({ productId, sku, name }) => h('option', { value: productId }, `${name} (${sku})`)),
  );
}

byId('product-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  const { sku, name, description, amountMinor, currency } = Object.fromEntries(new FormData(form));
  act(byId('product-create'), async () => {
    const product = { sku, name, description, price: { amountMinor: Number(amountMinor), currency } };
    await api.post('/products', product, { key: newKey() });
    form.reset();
    toast(`${name} was created.`, 'good');
    await readProducts();
  });
});

byId('import-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const { elements } = event.currentTarget;
  const [file] = elements.file.files;
  const path = `/products/import?encoding=${elements.encoding.value}`;
  const result = byId('import-result');
  act(byId('import-go'), async () => {
    try {
      const { created, updated } = await api.post(path, file, { type: 'application/octet-stream', key: newKey() });
      result.replaceChildren(`${number(created)} created, ${number(updated)} updated.`);
      await readProducts();
    } catch (problem) {
      const rows = problem.body?.rows;
      if (!Array.isArray(rows)) throw problem;
      const lines = rows.map(({ row, field, message }) => [`Row ${row}`, field, message]);
      result.replaceChildren(
        h('p', { class: 'badge bad' }, problem.message),
        table(['Row', 'Field', 'Problem'], lines, false),
      );
    }
  });
});

/* Health */

async function readHealth() {
  const health = await api.get('/health').catch((problem) => problem.body);
  setText(byId('health-status'), health.status ?? 'down');
  byId('health-status').className =
    `badge ${health.status === 'ok' ? 'ok' : health.status === 'degraded' ? 'degraded' : 'bad'}`;
  byId('breakers').replaceChildren(...breakerFacts(health.breakers ?? {}));
  byId('parts').replaceChildren(
    ...(health.parts ?? []).map(({ name, ok, latencyMs, problem, waiting, deadLetters }) =>
      h(
        'tr',
        {},
        h('td', {}, name),
        h(
          'td',
          {},
          h('span', { class: `badge ${ok ? 'ok' : 'bad'}` }, ok ? 'answers' : (problem ?? 'does not answer')),
        ),
        h('td', { class: 'number' }, `${number(latencyMs)} ms`),
        h('td', { class: 'number' }, waiting === undefined ? '' : number(waiting)),
        h('td', { class: 'number' }, deadLetters === undefined ? '' : number(deadLetters)),
      ),
    ),
  );
}

/** Follows a run of reconcile until it is done, and shows how far it has come. */
async function followReconcile(statusUrl) {
  for (;;) {
    const run = await api.get(statusUrl);
    byId('reconciled').hidden = false;
    byId('reconciled').textContent = JSON.stringify(run, null, 2);
    if (run.state === 'done') return run;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

byId('reconcile').addEventListener('click', (event) =>
  act(event.currentTarget, async () => {
    const { statusUrl } = await api.post('/ops/reconcile', {});
    const { driftsFound } = await followReconcile(statusUrl);
    toast(
      driftsFound === 0 ? 'Everything agrees.' : `${number(driftsFound)} differences were found.`,
      driftsFound === 0 ? 'good' : 'bad',
    );
  }),
);

/* Dead letters */

async function readDeadLetters() {
  const { queues, items } = await api.get('/ops/dead-letters?limit=50');
  byId('dead-queues').replaceChildren(
    ...queues.map(({ queue, deadLetters }) =>
      h(
        'span',
        { class: 'row' },
        h('span', { class: `badge ${deadLetters > 0 ? 'bad' : 'ok'}` }, `${queue}: ${number(deadLetters)}`),
        deadLetters > 0 &&
          h(
            'button',
            { class: 'quiet slim', type: 'button', onclick: (event) => redrive(event, queue, 'all') },
            'Send all back',
          ),
      ),
    ),
  );
  byId('dead-rows').replaceChildren(
    ...(items.length === 0
      ? [h('tr', {}, h('td', { colspan: 5, class: 'soft' }, 'None. Every message was dealt with.'))]
      : []),
    ...items.map(({ queue, messageId, sentAt, cause, body }) =>
      h(
        'tr',
        {},
        h('td', {}, queue),
        h('td', { class: 'small' }, clock(sentAt)),
        h('td', {}, h('strong', {}, cause.kind), h('div', { class: 'soft small' }, cause.detail)),
        h('td', { class: 'mono' }, body.slice(0, 300)),
        h(
          'td',
          {},
          h(
            'button',
            { class: 'quiet slim', type: 'button', onclick: (event) => redrive(event, queue, [messageId]) },
            'Send back',
          ),
        ),
      ),
    ),
  );
}

function redrive(event, queue, messageIds) {
  act(event.currentTarget, async () => {
    const { redriven, remaining } = await api.post('/ops/dead-letters/redrive', { queue, messageIds });
    toast(`${number(redriven)} sent back to ${queue}; ${number(remaining)} remain.`, 'good');
    await readDeadLetters();
  });
}

byId('dead-refresh').addEventListener('click', (event) => act(event.currentTarget, readDeadLetters));

/* Refunds */

/** Acts on a payment, and shows the result. With a key, a repeated attempt refunds once. */
async function payBack(button, path, body, key) {
  await act(button, async () => {
    const { state, amount } = await api.post(`/purchases/${path}`, body, key && { key });
    byId('refund-result').replaceChildren(h('p', {}, `${money(amount)}: ${state.replaceAll('_', ' ')}.`));
  });
}

byId('refund-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const { purchaseId, amountMinor } = Object.fromEntries(new FormData(event.currentTarget));
  const question = amountMinor
    ? `Give ${number(Number(amountMinor))} minor units of this payment back? The units stay with their buyer.`
    : 'Give everything of this payment back? What the provider refused before is tried again.';
  if (!(await confirmed(question, 'Refund'))) return;
  const part = amountMinor ? { amountMinor: Number(amountMinor) } : undefined;
  await payBack(byId('refund-go'), `${purchaseId}/refund`, part, part && newKey());
});

byId('dispute-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const { purchaseId, refund, amountMinor } = Object.fromEntries(new FormData(event.currentTarget));
  const decision = refund
    ? await chosen('The provider tells of a refund that contradicts this payment. Record it as made, or reject it?', {
        accept: 'Record it',
        reject: 'Reject it',
      })
    : await chosen('The provider took something other than the order. Accept it as the purchase, or give it back?', {
        accept: 'Accept',
        refund: 'Give it back',
      });
  if (!decision) return;
  const given = decision === 'accept' && amountMinor ? { amountMinor: Number(amountMinor) } : {};
  const body = { decision, ...(refund ? { refund, ...given } : {}) };
  await payBack(byId('dispute-go'), `${purchaseId}/dispute`, body);
});

byId('disputes-refresh').addEventListener('click', (event) => act(event.currentTarget, readDisputes));

/** Shows what the provider said and an operator must decide. */
async function readDisputes() {
  const { items } = await api.get('/ops/disputes?limit=100');
  const rows = items.map(({ purchaseId, refund, reason, told }) => {
    const amount = told.amountMinor === null ? 'everything' : `${number(told.amountMinor)} ${told.currency ?? ''}`;
    return fact(reason.replaceAll('_', ' '), `${purchaseId}, ${refund ? `refund ${refund}` : 'capture'}: ${amount}`);
  });
  byId('disputes').replaceChildren(...(rows.length > 0 ? rows : [fact('Open disputes', 'none')]));
}

/* Live */

function hear(message) {
  if (message.type === 'stock') {
    const { type: _, saleId, ...stock } = message;
    const sale = sales.get(saleId);
    if (!sale) return;
    sales.set(saleId, { ...sale, stock: newer(stock, sale.stock) });
    picks.get(saleId)?.update();
    if (selected?.saleId === saleId) selected.update();
  }
  if (message.type === 'sale') {
    api.get(`/sales/${message.saleId}`).then((sale) => {
      take(sale);
      drawSales();
      selected?.update();
    }, showProblem);
  }
}

function signedIn(account) {
  operator = runsSales(account) ? account : undefined;
  setText(byId('who'), account?.name ?? '');
  setText(byId('sign'), account ? 'Sign out' : 'Sign in');
  byId('sign').classList.toggle('quiet', Boolean(account));
  byId('open').hidden = !operator;
  byId('closed').hidden = Boolean(operator);
  setText(
    byId('closed'),
    account
      ? 'This account is a customer’s. Sign in as an operator.'
      : 'Sign in as an operator to see what is going on.',
  );
  if (operator) {
    live.open();
    Promise.all([readSales(), readProducts()]).catch(showProblem);
  } else {
    live.close();
  }
}

byId('sign').addEventListener('click', () =>
  byId('sign').classList.contains('quiet') ? api.signOut() : signing.ask(),
);
byId('docs').hidden = !config.docs;
if (config.docs) byId('docs').href = config.docs;

setInterval(() => {
  for (const pick of picks.values()) pick.update();
  selected?.update();
}, 1_000);

setInterval(() => {
  if (operator && document.visibilityState === 'visible') look[area]?.().catch(() => undefined);
}, lookMs);

setInterval(() => {
  if (operator && document.visibilityState === 'visible') readSales().catch(() => undefined);
}, 15_000);

await api.resume().catch(showProblem);
