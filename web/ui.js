/**
 * Small things both pages need: building elements, showing what happened, formatting, counting down.
 */

/** Builds an element. Properties that begin with "on" are listeners; `false` and `undefined` leave an attribute out. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false || value === null) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'value') element.value = value;
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.flat(2).filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** Writes text only where it differs, so that assistive technology does not hear of what has not changed. */
export function setText(element, text) {
  if (element.textContent !== String(text)) element.textContent = String(text);
}

/** Shows a message for a while, longer if it is bad: `kind` is good, bad or plain. */
export function toast(text, kind = 'plain', title) {
  const close = h('button', { class: 'toast-close', 'aria-label': 'Dismiss', onclick: () => note.remove() }, '×');
  const note = h(
    'div',
    { class: `toast ${kind}`, role: kind === 'bad' ? 'alert' : 'status' },
    h('div', {}, title && h('strong', {}, title), h('p', {}, inLocalTime(text))),
    close,
  );
  byId('toasts').append(note);
  while (byId('toasts').children.length > 4) byId('toasts').firstChild.remove();
  setTimeout(() => note.remove(), kind === 'bad' ? 15_000 : 6_000);
}

/** Shows why something was refused. */
export function showProblem(problem) {
  const fields = problem.body?.fields;
  const more = Array.isArray(fields)
    ? ` (${fields.map(({ field, message }) => `${field}: ${message}`).join('; ')})`
    : '';
  toast(
    `${problem.message}${problem.message.includes(fields?.[0]?.message ?? '\0') ? '' : more}`,
    'bad',
    problem.title,
  );
}

/** Runs what a button stands for: it rests meanwhile, and a refusal is shown. */
export async function act(button, work) {
  if (button?.getAttribute('aria-busy') === 'true') return undefined;
  button?.setAttribute('aria-busy', 'true');
  if (button) button.disabled = true;
  try {
    return await work();
  } catch (problem) {
    showProblem(problem);
    return undefined;
  } finally {
    button?.removeAttribute('aria-busy');
    if (button) button.disabled = false;
  }
}

let minorDigits = {};

/** Sets the digits of the minor units that are not two, by currency; they come with the configuration. */
export function useMinorDigits(digits) {
  minorDigits = digits;
}

/** Formats money in the reader's language, with ISO 4217's digits of its currency. */
export function money({ amountMinor, currency }) {
  const digits = minorDigits[currency] ?? 2;
  return new Intl.NumberFormat(undefined, {
    style: 'currency',
    currency,
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(amountMinor / 10 ** digits);
}

export const number = (value) => new Intl.NumberFormat().format(value ?? 0);

/** A point in time, short. */
export function clock(iso) {
  const time = new Date(iso);
  const today = time.toDateString() === new Date().toDateString();
  return time.toLocaleString(undefined, today ? { timeStyle: 'medium' } : { dateStyle: 'medium', timeStyle: 'short' });
}

/** Text in which times as programs write them are written as people do. */
export const inLocalTime = (text) => text.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, clock);

/** How long it is until a point in time: 1 d 02:03:04. */
export function until(iso) {
  const seconds = Math.max(0, Math.ceil((Date.parse(iso) - Date.now()) / 1000));
  const days = Math.floor(seconds / 86_400);
  const parts = [Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
  const text = parts.map((part) => String(part).padStart(2, '0')).join(':');
  return `${days > 0 ? `${days} d ` : ''}${text.replace(/^00:/, '')}`;
}

/** The phase of a sale by the clock of this machine; the server judges by its own. */
export function phaseOf(sale, nowMs = Date.now()) {
  const after = (time) => nowMs >= Date.parse(time);
  if (after(sale.purchaseClosesAt)) return 'closed';
  if (after(sale.purchaseOpensAt)) return 'purchasing';
  if (after(sale.reserveClosesAt)) return 'reserved';
  if (after(sale.reserveOpensAt)) return 'reserving';
  return 'scheduled';
}

/** What a phase is called, and what comes next and when. */
export function phaseText(sale) {
  if (sale.status === 'cancelled') return { label: 'Cancelled', next: undefined };
  if (sale.status === 'paused') return { label: 'Paused', next: undefined };
  switch (phaseOf(sale)) {
    case 'scheduled':
      return { label: 'Coming soon', next: ['Reservations open in', sale.reserveOpensAt] };
    case 'reserving':
      return { label: 'Reservations open', next: ['Reservations close in', sale.reserveClosesAt] };
    case 'reserved':
      return { label: 'Reservations closed', next: ['Purchase opens in', sale.purchaseOpensAt] };
    case 'purchasing':
      return { label: 'Purchase window open', next: ['Purchase closes in', sale.purchaseClosesAt] };
    default:
      return { label: 'Over', next: undefined };
  }
}

/** The bar that shows how an allotment is divided. Call the returned function with stock to update it. */
export function stockBar() {
  const parts = ['sold', 'allocated', 'available'].map((name) => h('span', { class: `part ${name}` }));
  const counts = ['available', 'allocated', 'sold', 'waitlisted'].map((name) => {
    const value = h('dd', {}, '0');
    return { name, value, item: h('div', { class: `count ${name}` }, h('dt', {}, name), value) };
  });
  const bar = h('div', { class: 'bar', role: 'img' }, ...parts);
  const element = h('div', { class: 'stock' }, bar, h('dl', { class: 'counts' }, ...counts.map(({ item }) => item)));
  const update = (stock) => {
    const total = Math.max(1, stock.allotment);
    for (const part of parts) part.style.width = `${(100 * stock[part.classList[1]]) / total}%`;
    bar.setAttribute(
      'aria-label',
      `${stock.available} of ${stock.allotment} available, ${stock.allocated} set aside, ${stock.sold} sold`,
    );
    for (const { name, value, item } of counts) {
      const text = number(stock[name]);
      if (value.textContent !== text) {
        value.textContent = text;
        item.classList.remove('changed');
        void item.offsetWidth;
        item.classList.add('changed');
      }
    }
  };
  return { element, update };
}

/** Asks before something that cannot be undone. Resolves to whether to go on. */
export async function confirmed(question, yes) {
  return (await chosen(question, { yes })) === 'yes';
}

/** Asks which of several things to do, each with its button's text. Resolves to its name, or undefined for none. */
export function chosen(question, choices) {
  return new Promise((resolve) => {
    const dialog = h(
      'dialog',
      { class: 'ask', 'aria-label': question, onclose: () => dialog.remove() },
      h('p', {}, question),
      h(
        'div',
        { class: 'row end' },
        h('button', { class: 'quiet', onclick: () => finish(undefined) }, 'Back'),
        ...Object.entries(choices).map(([name, label]) =>
          h('button', { class: 'danger', onclick: () => finish(name) }, label),
        ),
      ),
    );
    const finish = (answer) => {
      resolve(answer);
      dialog.close();
    };
    dialog.addEventListener('cancel', () => resolve(undefined));
    document.body.append(dialog);
    dialog.showModal();
  });
}
