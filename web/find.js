/**
 * Finding, in the console: the reservations, purchases and customers of a sale, one customer's whole story, lists as files for a
 * spreadsheet, units granted out of turn; and what operators did.
 */
import { newKey } from './api.ts';
import { act, byId, h, toast } from './ui.js';

/** The columns that each list shows; all of them are in its file. */
const columns = {
  reservations: ['email', 'state', 'quantity', 'units', 'reason', 'acceptedAt', 'reservationId'],
  purchases: ['email', 'state', 'units', 'amountMinor', 'currency', 'externalId', 'createdAt', 'purchaseId'],
  customers: ['email', 'name', 'unitsHeld', 'unitsBought', 'firstAt', 'customerId'],
};

const cell = (value) => h('td', {}, value === null || value === undefined ? '' : String(value));
const row = (...cells) => h('tr', {}, ...cells);
const button = (text, onClick) => {
  const made = h('button', { class: 'quiet slim', type: 'button' }, text);
  made.addEventListener('click', () => act(made, onClick));
  return made;
};

/** Sets up both areas. `sales` are those that the console knows, by id. */
export function setUpFind({ api, sales }) {
  const form = byId('find-form');
  let cursor;

  const addressOf = (list, more = {}) => {
    const { saleId, list: _, ...filters } = Object.fromEntries(new FormData(form));
    const given = Object.entries({ ...filters, ...more }).filter(([, value]) => value);
    const query = new URLSearchParams(given.map(([name, value]) => [name, isTime(name) ? toIso(value) : value]));
    return `/ops/sales/${saleId}/${list}?${query}`;
  };

  async function find(from) {
    const { list } = Object.fromEntries(new FormData(form));
    const page = await api.get(addressOf(list, { limit: '50', cursor: from }));
    if (!from) {
      byId('find-head').replaceChildren(row(...[...columns[list], ''].map((name) => h('th', { scope: 'col' }, name))));
      byId('find-rows').replaceChildren();
    }
    byId('find-rows').append(
      ...page.items.map((item) => row(...columns[list].map((name) => cell(item[name])), actionsOf(item))),
    );
    cursor = page.nextCursor;
    byId('find-more').hidden = !cursor;
    byId('find-none').hidden = byId('find-rows').childElementCount > 0 || Boolean(cursor);
  }

  function actionsOf(item) {
    const actions = [button('Story', () => tell(item.customerId))];
    if (item.state === 'waitlisted' && item.reservationId)
      actions.push(button('Grant …', () => grant(item.reservationId)));
    return h('td', {}, ...actions);
  }

  async function tell(customerId) {
    const { customer, items } = await api.get(`/ops/customers/${customerId}?limit=100`);
    byId('story').hidden = false;
    byId('story-who').textContent = `${customer.name}, ${customer.email}`;
    byId('story-rows').replaceChildren(
      ...items.map(({ at, kind, subjectId, what }) => row(cell(at), cell(kind), cell(subjectId), cell(summary(what)))),
    );
  }

  async function grant(reservationId) {
    const reason = prompt(
      'Units are added to the sale for this reservation, out of turn. Why? The reason is kept for good.',
    );
    if (!reason) return;
    const { saleId } = Object.fromEntries(new FormData(form));
    await api.post(`/sales/${saleId}/grants`, { reservationId, reason }, { key: newKey() });
    toast('Granted; the customer is told.');
    await find();
  }

  /** Puts the parts of a file together and saves it. */
  async function save(name, path) {
    const parts = [];
    let next;
    do {
      const part = await api.file(`${path}${next ? `${path.includes('?') ? '&' : '?'}cursor=${next}` : ''}`);
      parts.push(part.blob);
      next = part.next;
    } while (next);
    const link = h('a', { href: URL.createObjectURL(new Blob(parts, { type: 'text/csv' })), download: `${name}.csv` });
    link.click();
    URL.revokeObjectURL(link.href);
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    act(byId('find-go'), () => find());
  });
  byId('find-more').addEventListener('click', (event) => act(event.currentTarget, () => find(cursor)));
  byId('find-save').addEventListener('click', (event) => {
    const { list } = Object.fromEntries(new FormData(form));
    act(event.currentTarget, () => save(list, addressOf(`exports/${list}`)));
  });
  byId('acts-save').addEventListener('click', (event) =>
    act(event.currentTarget, () => save('acts', '/ops/acts/export')),
  );

  return {
    /** Offers the sales that there are. */
    async readSales() {
      const select = form.elements.saleId;
      const known = new Set([...select.options].map((option) => option.value));
      for (const [saleId, sale] of sales)
        if (!known.has(saleId)) select.append(h('option', { value: saleId }, sale.name));
    },
    /** Shows what operators did lately. */
    async readActs() {
      const { items } = await api.get('/ops/acts?limit=50');
      byId('acts-rows').replaceChildren(
        ...items.map(({ at, act: what, operatorId, subjectId, asked }) =>
          row(cell(at), cell(what), cell(subjectId), cell(operatorId ?? 'a command'), cell(summary(asked.body ?? {}))),
        ),
      );
    },
  };
}

const isTime = (name) => name === 'from' || name === 'to';
const toIso = (local) => new Date(local).toISOString();
const summary = (what) =>
  Object.entries(what)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name} ${typeof value === 'object' ? JSON.stringify(value) : value}`)
    .join(', ');
