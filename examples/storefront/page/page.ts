/**
 * The page: reserves, waits and buys at Holdfast with the client and the customer's own access token, which the shop's server gets
 * from the login. It orders at the shop first.
 */
import { createClient, Problem, type Reservation } from '#client/index.ts';

interface About {
  api: string;
  websocket: string;
  saleId: string;
  visitor: { name: string } | null;
  isStaff: boolean;
}

interface Order {
  orderId: string;
  state: string;
  amountMinor: number;
  refundedMinor: number;
  currency: string;
  units: number;
}

/** What others do, such as the staff, is seen after so long. */
const lookAgainMs = 2_000;

const element = <E extends HTMLElement = HTMLElement>(id: string) => document.getElementById(id) as E;
const money = (amountMinor: number, currency: string) =>
  new Intl.NumberFormat('en', { style: 'currency', currency }).format(amountMinor / 100);

function say(...parts: (string | Node)[]): void {
  element('news').replaceChildren(...parts);
}

/** A call of the shop itself. */
async function call<T>(method: string, path: string, body?: object): Promise<T> {
  const init = body ? { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } } : {};
  const response = await fetch(path, { method, ...init });
  const answer = await response.json();
  if (!response.ok) throw new Problem(response.status, answer);
  return answer as T;
}

/** The access token is asked for once, and again when it has ended. It is kept nowhere but here. */
let access: Promise<string> | undefined;
function accessToken(rejected?: string): Promise<string> {
  if (!access || rejected !== undefined) {
    access = call<{ accessToken: string }>('GET', '/access-token').then((answer) => answer.accessToken);
    access.catch(() => {
      access = undefined;
    });
  }
  return access;
}

/** Runs what a form does, once at a time, and says what went wrong. */
function onSubmit(form: HTMLFormElement, run: (fields: FormData) => Promise<void>): void {
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const button = form.querySelector('button') as HTMLButtonElement;
    const fields = new FormData(form);
    button.disabled = true;
    await run(fields).catch((error: unknown) => say(error instanceof Error ? error.message : String(error)));
    button.disabled = false;
  });
}

function link(text: string, href: string): HTMLAnchorElement {
  return Object.assign(document.createElement('a'), { textContent: text, href, target: '_blank', rel: 'noopener' });
}

function button(text: string, onClick: () => Promise<unknown>): HTMLButtonElement {
  const made = Object.assign(document.createElement('button'), { textContent: text, type: 'button' });
  made.addEventListener('click', () => onClick().catch((error: Error) => say(error.message)));
  return made;
}

async function showOrders(isStaff: boolean): Promise<void> {
  const { items } = await call<{ items: Order[] }>('GET', '/orders');
  const lines = items.map(({ orderId, state, amountMinor, refundedMinor, currency, units }) => {
    const line = document.createElement('li');
    const back = refundedMinor > 0 ? `, ${money(refundedMinor, currency)} given back` : '';
    line.append(`${units} × desk lamp, ${money(amountMinor, currency)}: ${state}${back} `);
    if (isStaff && state === 'captured') {
      line.append(button('Give one back', () => call('POST', `/orders/${orderId}/refund`, { units: 1 })));
    }
    return line;
  });
  // What has not changed stays, so that a button is not replaced under a finger.
  const list = element('orders');
  if (lines.map((one) => one.textContent).join('\n') !== [...list.children].map((one) => one.textContent).join('\n')) {
    list.replaceChildren(...lines);
  }
}

async function begin(): Promise<void> {
  const { api, websocket, saleId, visitor, isStaff } = await call<About>('GET', '/about');
  if (!visitor) {
    element('visitor').append(Object.assign(document.createElement('a'), { textContent: 'Sign in', href: '/sign-in' }));
    return;
  }
  element('visitor').textContent = `Signed in as ${visitor.name}`;
  const holdfast = createClient({ api, websocket, token: accessToken });
  const { data: sale } = await holdfast.http.GET('/sales/{saleId}', { params: { path: { saleId } } });
  if (!sale) return;
  element('sale').textContent = sale.name;
  element('price').textContent = `${money(sale.price.amountMinor, sale.price.currency)} each`;

  let held: Reservation | undefined;
  function hold(reservation: Reservation | undefined): void {
    held = reservation;
    element('reserve').hidden = held !== undefined;
    element('buy').hidden = held === undefined;
  }
  const { data: mine } = await holdfast.http.GET('/reservations', {});
  hold(mine?.items.find((one) => one.saleId === saleId && one.state === 'allocated'));

  onSubmit(element<HTMLFormElement>('reserve'), async (fields) => {
    say('Your request is in line …');
    const accepted = await holdfast.reserve(saleId, { quantity: Number(fields.get('quantity')) });
    const decided = await holdfast.waitForDecision(accepted);
    say(decided.state === 'allocated' ? `${decided.units} set aside for you.` : `It is ${decided.state}.`);
    if (decided.state === 'allocated') hold(decided);
  });

  onSubmit(element<HTMLFormElement>('buy'), async (fields) => {
    if (!held) return;
    say('Ordering …');
    const { reservationId } = held;
    const { orderId } = await call<Order>('POST', '/orders');
    const order = { reservationIds: [reservationId], paymentToken: String(fields.get('card')) };
    const paid = await holdfast.waitForPayment(await holdfast.buy(order, { key: orderId }), {
      onAction: ({ url }) => say('Your bank asks: ', link('Confirm the payment', url)),
    });
    say(paid.state === 'captured' ? 'Paid. Thank you!' : `The payment was ${paid.state}.`);
    if (paid.state === 'captured') hold(undefined);
  });

  for (;;) {
    await showOrders(isStaff).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, lookAgainMs));
  }
}

begin().catch((error: Error) => say(error.message));
