/**
 * The shop in a real browser: from the first visit to the purchase, and what may go wrong on the way. Faults are made where
 * they happen: between the page and the API.
 */
import type { Page, Route } from 'playwright-core';
import { waitFor } from '#local/wait.ts';
import type { ReservationView } from '#reservation/reservation.shapes.ts';
import { type Mailing, startMailing } from '../support/mailing.ts';
import { closeBeds, runningBed } from '../support/running-bed.ts';
import { bothOpen, openShop, type Shop } from './shop.ts';

let shop: Shop;
let mailing: Mailing;

beforeAll(async () => {
  mailing = await startMailing();
  const { 'secret/mail-url': mailUrl = '' } = mailing.registry;
  shop = await openShop(await runningBed({}, { 'secret/mail-url': mailUrl }, { decidesSoon: true }));
}, 120_000);

afterEach(() => shop?.leave());

afterAll(async () => {
  await shop?.close();
  await mailing?.server.stop();
  await closeBeds();
}, 30_000);

/** One's own reservation or purchase; the rules of a sale are list items too. */
const item = (page: Page, text: string | RegExp) => page.locator('li.item').filter({ hasText: text });
const reserve = (page: Page) => page.getByRole('button', { name: 'Reserve', exact: true }).click();

/** The reservations of whoever is signed in, as the API tells them. */
async function reservationsOf(page: Page): Promise<ReservationView[]> {
  const kept = await page.evaluate(() => localStorage.getItem('holdfast.session'));
  const { accessToken } = JSON.parse(kept ?? '{}') as { accessToken: string };
  return (await shop.call<{ items: ReservationView[] }>('GET', '/reservations', { token: accessToken })).items;
}

/** Carries a request out and loses its answer. */
async function loseAnswer(route: Route): Promise<void> {
  await route.fetch().catch(() => undefined);
  await route.abort('connectionreset').catch(() => undefined);
}

describe('a buyer', () => {
  test('who is not signed in reserves, makes an account, and is given what was asked for; buys it and sees it paid', async () => {
    const { saleId } = await shop.sale({ times: bothOpen });
    const page = await shop.buyer();
    await page.goto(`${shop.url}/sales/${saleId}`);
    await page.getByRole('button', { name: 'One more' }).click();
    await reserve(page);
    await page.getByRole('button', { name: 'I have no account yet' }).click();
    await page.getByLabel('Name').fill('Ada');
    await page.getByLabel('E-mail').fill(`ada-${Date.now()}@example.com`);
    await page.getByLabel('Password').fill('correct horse battery');
    await page.getByRole('button', { name: 'Create account' }).click();
    await item(page, 'Set aside for you').getByText('2 ×').first().waitFor();
    await page.getByRole('checkbox').check();
    await page.getByRole('button', { name: 'Buy for €98.00' }).click();
    await item(page, 'Bought and paid').waitFor();
    expect(await page.evaluate(() => document.activeElement?.id)).toMatch(/^r-/);
    await page.getByRole('link', { name: 'Holdfast' }).click();
    await item(page, 'Order number').getByText('Paid', { exact: true }).waitFor();
  }, 30_000);

  test('who is signed in reserves before the page knows it, and is not asked to sign in', async () => {
    const { saleId } = await shop.sale({ times: bothOpen });
    const page = await shop.signedIn({ path: '/settings' });
    let answerMe = (): void => undefined;
    const asked = new Promise<void>((resolve) => {
      answerMe = resolve;
    });
    await page.route(`${shop.api}/me`, async (route) => {
      await asked;
      await route.continue();
    });
    await page.goto(`${shop.url}/sales/${saleId}`);
    await reserve(page);
    await page.locator('button[aria-busy="true"]').waitFor();
    expect(await page.getByRole('dialog').count()).toBe(0);
    answerMe();
    await item(page, 'Set aside for you').waitFor();
    expect(await page.getByRole('dialog').count()).toBe(0);
  }, 30_000);

  test('buys over several sales with one payment', async () => {
    const sales = [await shop.sale({ times: bothOpen }), await shop.sale({ times: bothOpen })];
    const page = await shop.signedIn();
    for (const { saleId } of sales) {
      await page.goto(`${shop.url}/sales/${saleId}`);
      await reserve(page);
      await item(page, 'Set aside for you').waitFor();
    }
    await page.goto(shop.url);
    for (const { name } of sales) await item(page, name).getByRole('checkbox').check();
    await page.getByText('2 reservations, 2 units. One payment for all.').waitFor();
    await page.getByRole('button', { name: 'Buy for €98.00' }).click();
    await item(page, 'Order number').getByText('Paid', { exact: true }).waitFor();
    expect(await item(page, 'Order number').count()).toBe(1);
  }, 30_000);

  test('whose card is declined keeps the choice, and buys with another; one whose bank asks is sent there', async () => {
    const { saleId } = await shop.sale({ times: bothOpen });
    const page = await shop.signedIn({ path: `/sales/${saleId}` });
    await reserve(page);
    const pay = async (card: string) => {
      await page.getByLabel('Pay with').selectOption({ label: card });
      await page.getByRole('button', { name: 'Buy for' }).click();
    };
    await page.getByRole('checkbox').check();
    await pay('A card that is declined');
    await page.getByText('Your bank declined the card.').first().waitFor();
    expect(await page.getByRole('checkbox').isChecked()).toBe(true);
    await pay('A card that the bank wants confirmed');
    const bank = page.waitForEvent('popup');
    await page.getByRole('link', { name: 'Confirm with your bank' }).click();
    await (await bank).getByRole('button', { name: 'Confirm' }).click();
    await item(page, 'Bought and paid').waitFor();
  }, 30_000);

  test('waits in line, and is offered what another gives back', async () => {
    const { saleId } = await shop.sale({ times: bothOpen, allotment: 1, waitlistSize: 1 });
    const [first, second, third] = [
      await shop.signedIn({ path: `/sales/${saleId}` }),
      await shop.signedIn({ path: `/sales/${saleId}` }),
      await shop.signedIn({ path: `/sales/${saleId}` }),
    ];
    await reserve(first);
    await item(first, 'Set aside for you').waitFor();
    await second.getByRole('button', { name: 'Join the waitlist' }).click();
    await second.getByText('You are next on the waitlist.').waitFor();
    expect(await third.getByRole('button', { name: 'The waitlist is full' }).isDisabled()).toBe(true);
    await first.getByRole('button', { name: /^Give back/ }).click();
    await first.getByRole('dialog').getByRole('button', { name: 'Give back' }).click();
    await second.getByText(/Buy it within ((\d|10) mins? )?\d+ secs?, until/).waitFor();
  }, 30_000);

  test('who races another for the last unit gets it or waits; both see the same', async () => {
    const { saleId } = await shop.sale({ times: bothOpen, allotment: 1, waitlistSize: 1 });
    const path = `/sales/${saleId}`;
    const racers = [await shop.signedIn({ path }), await shop.signedIn({ path })];
    for (const page of racers) await page.getByRole('button', { name: 'Reserve', exact: true }).waitFor();
    // Whoever is later may see before the click that nothing is left.
    await Promise.all(
      racers.map((page) => page.getByRole('button', { name: /^(Reserve|Join the waitlist)$/ }).click()),
    );
    const outcome = (page: Page) => page.locator('li.item .badge').first().textContent();
    await waitFor(
      'both decisions',
      async () => {
        const shown = await Promise.all(racers.map(outcome));
        return shown.sort().join() === 'On the waitlist,Set aside for you';
      },
      { timeoutMs: 20_000 },
    );
    const held = await Promise.all(racers.map(reservationsOf));
    expect(held.map(([only]) => only?.state).sort()).toEqual(['allocated', 'waitlisted']);
    expect(held.map(({ length }) => length)).toEqual([1, 1]);
  }, 45_000);

  test('is given the money back, and sees it without doing anything', async () => {
    const { saleId } = await shop.sale({ times: bothOpen });
    const page = await shop.signedIn({ path: `/sales/${saleId}` });
    await reserve(page);
    await page.getByRole('checkbox').check();
    await page.getByRole('button', { name: 'Buy for' }).click();
    await item(page, 'Bought and paid').waitFor();
    const [bought] = await reservationsOf(page);
    await page.getByRole('link', { name: 'Holdfast' }).click();
    const order = item(page, 'Order number');
    await order.getByText('Paid', { exact: true }).waitFor();
    await shop.call('POST', `/purchases/${bought?.purchaseId}/refund`, { token: shop.operator });
    await order.getByText('Refunded', { exact: true }).waitFor();
    await order.getByText('€49.00 given back').waitFor();
  }, 45_000);

  test('takes fewer, and reads what has happened', async () => {
    const { saleId } = await shop.sale();
    const page = await shop.signedIn({ path: `/sales/${saleId}` });
    for (let n = 1; n < 3; n++) await page.getByRole('button', { name: 'One more' }).click();
    await reserve(page);
    await item(page, 'Set aside for you').getByText('3 ×').first().waitFor();
    await page.getByText('What has happened').click();
    await item(page, '3 units are set aside for you').last().waitFor();
    await page.getByRole('button', { name: 'Keep this many' }).click();
    await item(page, 'Set aside for you').getByText('2 ×').first().waitFor();
  }, 30_000);

  test('whose clock is three minutes slow sees the form on time', async () => {
    const opensInS = 90;
    const { saleId } = await shop.sale({ times: [opensInS, 3_600, 3_600, 7_200] });
    const opensAtMs = Date.now() + opensInS * 1_000;
    const page = await shop.buyer();
    await page.clock.install({ time: Date.now() - 180_000 });
    await page.goto(`${shop.url}/sales/${saleId}`);
    await page.getByText('Reservations open in').waitFor();
    expect(await page.evaluate(() => Date.now())).toBeLessThan(Date.now() - 170_000);
    // The browser's time is let pass faster than the server's from here on, so no answer may say what time it is there.
    await page.route(`${shop.api}/**`, (route) => route.abort());
    let aheadMs = 0;
    const passUntil = async (ms: number) => {
      const leftMs = ms - aheadMs - Date.now();
      aheadMs += leftMs;
      await page.clock.fastForward(leftMs);
    };
    const form = page.getByRole('button', { name: 'Reserve', exact: true });
    await passUntil(opensAtMs - 25_000);
    await page
      .getByRole('timer')
      .filter({ hasText: /00:[12]\d$/ })
      .waitFor();
    expect(await form.count()).toBe(0);
    await passUntil(opensAtMs - 1_000);
    await form.waitFor();
    expect(Math.abs(Date.now() + aheadMs - opensAtMs)).toBeLessThan(2_500);
  }, 30_000);

  test('does everything with the keyboard alone', async () => {
    const { saleId } = await shop.sale({ times: bothOpen });
    const page = await shop.signedIn({ path: `/sales/${saleId}` });
    const reach = async (name: RegExp) => {
      const seen: string[] = [];
      for (let n = 0; n < 60; n++) {
        await page.keyboard.press('Tab');
        const label = await page.evaluate(() => {
          const at = document.activeElement;
          if (at === document.body) return '';
          return `${at?.getAttribute('aria-label') ?? ''} ${at?.closest('label')?.textContent ?? at?.textContent ?? ''}`;
        });
        seen.push(label.slice(0, 40));
        if (name.test(label)) return;
      }
      throw new Error(`${name} cannot be reached: ${seen.join('|')}`);
    };
    await page.getByRole('button', { name: 'Reserve', exact: true }).waitFor();
    await reach(/Skip to/);
    await reach(/^\s*Reserve$/);
    await page.keyboard.press('Enter');
    await item(page, 'Set aside for you').waitFor();
    await reach(/Choose to buy/);
    await page.keyboard.press('Space');
    await reach(/Buy for/);
    await page.keyboard.press('Enter');
    await item(page, 'Bought and paid').waitFor();
  }, 30_000);
});

describe('codes by mail', () => {
  const codeFor = async (address: string, mails: number) => {
    await waitFor('the mail', async () => mailing.to(address).length === mails, { timeoutMs: 20_000 });
    return mailing.codeFor(address);
  };

  test('a buyer who has forgotten the password sets another one, and gets what was asked for before', async () => {
    const { email } = await shop.customer(`forgetful-${Date.now()}`);
    const { saleId } = await shop.sale({ times: bothOpen });
    const page = await shop.buyer();
    await page.goto(`${shop.url}/sales/${saleId}`);
    await reserve(page);
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('E-mail').fill(email);
    await dialog.getByRole('button', { name: 'Forgotten your password?' }).click();
    await dialog.getByRole('button', { name: 'Send me a code' }).click();
    await dialog.getByLabel('Code from the mail').fill('0000-0000-0000-0000');
    await dialog.getByLabel('New password').fill('violet umbrella seventeen');
    await dialog.getByRole('button', { name: 'Set the password' }).click();
    await dialog.getByText('The code is wrong, was used before, or has expired.').waitFor();
    await dialog.getByLabel('Code from the mail').fill((await codeFor(email, 1)).toLowerCase().replaceAll('-', ' '));
    await dialog.getByRole('button', { name: 'Set the password' }).click();
    await item(page, 'Set aside for you').waitFor();
  }, 45_000);

  test('a buyer shows that the address is theirs where a sale asks for it, and reserves there', async () => {
    const { saleId } = await shop.sale({ times: bothOpen, requiresContact: true });
    const page = await shop.signedIn({ path: `/sales/${saleId}` });
    await page.getByRole('link', { name: 'Show that the address is yours' }).click();
    const address = (await page.locator('dd bdi').textContent()) ?? '';
    await page.getByRole('button', { name: 'Send me a code' }).click();
    await page.getByText(`A code is on its way to ${address}.`, { exact: false }).waitFor();
    await page.getByLabel('Code from the mail').fill('nothing');
    await page.getByRole('button', { name: 'Confirm' }).click();
    await page.getByText('Enter the code as the mail has it.').waitFor();
    await page.getByLabel('Code from the mail').fill(await codeFor(address, 1));
    await page.getByRole('button', { name: 'Confirm' }).click();
    await page.getByText('Shown to be yours.').waitFor();
    await page.goBack();
    await reserve(page);
    await item(page, 'Set aside for you').waitFor();
  }, 45_000);

  test('a buyer wants no reminders by mail, changes the password, and signs out everywhere else', async () => {
    const page = await shop.signedIn({ path: '/settings' });
    await page.getByRole('checkbox').uncheck();
    await page.getByText('Saved.').waitFor();
    const address = (await page.locator('dd bdi').textContent()) ?? '';
    await shop.signIn(address);
    await page.reload();
    expect(await page.getByRole('checkbox').isChecked()).toBe(false);
    await page.getByRole('button', { name: 'Sign out everywhere else' }).click();
    await page.getByText('All other sessions are ended.').waitFor();
    await page.getByLabel('Current password').fill('not this one');
    await page.getByLabel('New password').fill('violet umbrella seventeen');
    await page.getByRole('button', { name: 'Set the password' }).click();
    await page.getByText('This is not your password.').waitFor();
    await page.getByLabel('Current password').fill('correct horse battery');
    await page.getByRole('button', { name: 'Set the password' }).click();
    await page.getByText('The password is changed', { exact: false }).waitFor();
    await expect(shop.signIn(address)).rejects.toThrow('invalid_credentials');
  }, 45_000);
});

describe('on a bad line', () => {
  test('on a slow network the page is there, and a reservation is decided, without a socket', async () => {
    const { saleId } = await shop.sale({ times: bothOpen });
    const page = await shop.signedIn({ path: '/settings' });
    const network = await page.context().newCDPSession(page);
    // A phone at the edge of a cell: 400 kbit/s, and 400 ms for each answer. Its socket is never answered.
    await network.send('Network.enable');
    await network.send('Network.setCacheDisabled', { cacheDisabled: true });
    const slow = { latency: 400, downloadThroughput: 50_000, uploadThroughput: 25_000, offline: false };
    await network.send('Network.emulateNetworkConditions', slow);
    await page.routeWebSocket(/^ws:/, () => undefined);
    await page.goto(`${shop.url}/sales/${saleId}`);
    await reserve(page);
    await item(page, 'Set aside for you').waitFor();
    await page.getByText(/Not live\. As of/).waitFor();
  }, 45_000);

  test('five clicks, lost answers and a reload make one reservation, and the page says what it does not know', async () => {
    const { saleId } = await shop.sale();
    const page = await shop.signedIn({ path: `/sales/${saleId}` });
    const keys = new Set<string>();
    const pattern = '**/sales/*/reservations';
    await page.route(pattern, (route) => {
      keys.add(route.request().headers()['idempotency-key'] ?? '');
      return route.request().method() === 'POST' ? loseAnswer(route) : route.continue();
    });
    const button = page.getByRole('button', { name: /^(Reserve|Sending …)$/ });
    for (let click = 0; click < 5; click++) await button.click();
    await page.getByText('We do not know yet whether your request has arrived').waitFor();
    await page.reload();
    await waitFor('the page to ask again', async () => keys.size > 0, { timeoutMs: 5_000 });
    await page.unroute(pattern);
    await item(page, 'Set aside for you').waitFor();
    expect([keys.size, (await reservationsOf(page)).length]).toEqual([1, 1]);
    // What is meant now is meant anew.
    await reserve(page);
    await waitFor('the second', async () => (await reservationsOf(page)).length === 2, { timeoutMs: 10_000 });
  }, 45_000);

  test('two reloads within 160 ms, a duplicated tab and a lost renewal sign nobody out', async () => {
    const page = await shop.signedIn();
    const signedIn = (where: Page) => where.getByText('Signed in as').waitFor({ state: 'attached' });
    await signedIn(page);
    /** Makes the access token useless, so that whoever comes next has to renew it. */
    const spoil = () =>
      page.evaluate(() => {
        const kept = JSON.parse(localStorage.getItem('holdfast.session') ?? '{}') as object;
        localStorage.setItem('holdfast.session', JSON.stringify({ ...kept, accessToken: 'spoilt' }));
      });
    const staysSignedIn = () => signedIn(page);

    await spoil();
    // The page itself asks for the second one: the browser takes none from outside while it changes pages.
    await page.addInitScript(() => {
      const reloads = Number(sessionStorage.getItem('reloads') ?? 0);
      if (reloads < 1) return;
      sessionStorage.setItem('reloads', String(reloads - 1));
      setTimeout(() => location.reload(), 80);
    });
    await page.evaluate(() => sessionStorage.setItem('reloads', '1'));
    await page.reload({ waitUntil: 'commit' });
    await page.waitForFunction(() => sessionStorage.getItem('reloads') === '0');
    await staysSignedIn();

    await spoil();
    const twin = await page.context().newPage();
    await Promise.all([page.reload(), twin.goto(shop.url)]);
    await Promise.all([staysSignedIn(), signedIn(twin)]);
    await twin.close();

    await spoil();
    let lost = 0;
    await page.route('**/auth/refresh', (route) => (lost++ < 2 ? loseAnswer(route) : route.continue()));
    await page.reload();
    await staysSignedIn();
    expect(lost).toBe(3);
  }, 45_000);

  test('a tab that signs out signs out the others', async () => {
    const page = await shop.signedIn();
    const twin = await page.context().newPage();
    await twin.goto(`${shop.url}/settings`);
    await twin.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('button', { name: 'Sign in' }).waitFor();
  }, 30_000);

  test('a socket that hears nothing any more is found, and the page is live again', async () => {
    let connections = 0;
    let unheard = 0;
    const page = await shop.buyer();
    await page.clock.install();
    await page.routeWebSocket(/^ws:/, (socket) => {
      // The first connection opens and then leads nowhere.
      const leadsNowhere = ++connections === 1;
      const server = socket.connectToServer();
      socket.onMessage((message) => (leadsNowhere ? unheard++ : server.send(message)));
      server.onMessage((message) => leadsNowhere || socket.send(message));
    });
    const { email } = await shop.customer(`black-hole-${Date.now()}`);
    const { saleId } = await shop.sale();
    await page.goto(`${shop.url}/sales/${saleId}`);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByLabel('E-mail').fill(email);
    await page.getByLabel('Password').fill('correct horse battery');
    await page.getByRole('dialog').getByRole('button', { name: 'Sign in' }).click();
    await page.getByText(/Not live\. As of/).waitFor();
    await waitFor('a message to nobody', async () => unheard > 0, { timeoutMs: 20_000 });
    // For so long an answer may take.
    await page.clock.fastForward(8_000);
    await waitFor('another connection', async () => connections === 2, { timeoutMs: 20_000 });
    await page.getByText(/Not live\. As of/).waitFor({ state: 'detached' });
  }, 45_000);

  test('without the API or the configuration the page says so, and comes back', async () => {
    const { name } = await shop.sale();
    const page = await shop.buyer();
    await page.route('**/config.json', (route) => route.abort());
    await page.goto(shop.url);
    await page.getByText('The shop cannot be reached right now.').waitFor();
    await page.unroute('**/config.json');
    await page.route(`${shop.api}/**`, (route) => route.abort());
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByText('The sales cannot be loaded right now.').waitFor({ timeout: 20_000 });
    await page.unroute(`${shop.api}/**`);
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByRole('heading', { name }).waitFor();
  }, 45_000);
});

test('more sales than one connection may watch are watched where they are looked at, and the others say since when', async () => {
  await shop.sales(54, (n) => ({ name: `One of many ${n}` }));
  const page = await shop.signedIn();
  await page.getByRole('heading', { name: 'One of many 53' }).waitFor();
  const asOf = page.getByText(/Not live\. As of/);
  const card = page.getByRole('article').filter({ hasText: 'One of many 53' });
  await card.scrollIntoViewIfNeeded();
  await waitFor('the one in view to be live', async () => (await card.getByText(/Not live/).count()) === 0, {
    timeoutMs: 5_000,
  });
  expect(await asOf.count()).toBeGreaterThan(0);
}, 60_000);
