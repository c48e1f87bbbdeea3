import { createShown } from './shown.ts';

const stock = (epoch: number, version: number) => ({ type: 'stock', saleId: 's', epoch, version });
const news = (version: number, kind: string) => ({ type: 'reservation', reservationId: 'r', version, kind });

describe('what a page shows', () => {
  it('a repeated push is shown once', () => {
    const shown = createShown();
    expect([news(1, 'reservation.allocated'), news(1, 'reservation.allocated')].map(shown.admit)).toEqual([
      true,
      false,
    ]);
  });

  it('a push older than one shown is not shown', () => {
    const shown = createShown();
    expect([stock(1, 5), stock(1, 4), stock(1, 6), stock(2, 1), stock(1, 9)].map(shown.admit)).toEqual([
      true,
      false,
      true,
      true,
      false,
    ]);
  });

  it('two kinds of news about one version are both shown', () => {
    const shown = createShown();
    const reminder = { type: 'reminder', reservationId: 'r', version: 1, kind: 'reminder.closing-soon' };
    expect([news(1, 'reservation.allocated'), reminder].map(shown.admit)).toEqual([true, true]);
  });

  it('T1: a reminder for new times is shown beside the one for the old, each once', () => {
    const shown = createShown();
    const reminder = { type: 'reminder', reservationId: 'r', version: 1, kind: 'reminder.purchase-opened' };
    const [first, second] = ['n1', 'n2'].map((notificationId) => ({ ...reminder, notificationId }));
    expect([first, second, second].flatMap((one) => (one ? shown.admit(one) : []))).toEqual([true, true, false]);
  });

  it('what was read from the API shuts out older pushes, and not newer ones', () => {
    const shown = createShown();
    shown.note('stock:s', 7, 1);
    expect([stock(1, 6), stock(1, 8)].map(shown.admit)).toEqual([false, true]);
  });
});
