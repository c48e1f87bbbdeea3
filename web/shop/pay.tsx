/** The bar to buy what is chosen: the sum, until when, the card, and the button. */
import { useState } from 'preact/hooks';
import { useShop } from './parts.tsx';
import { nextOf, sumsOf } from './rules.ts';
import { Store } from './store.ts';

export function PayBar() {
  const shop = useShop();
  const { words, format } = shop;
  const cards = shop.config.payments ?? [{ token: 'tok_approve', label: words.pay.cards.tok_approve }];
  const [card, setCard] = useState(cards[0]?.token ?? '');
  const busy = shop.busy.has(Store.buying);
  if (shop.isUnknown(Store.buying)) {
    return (
      <section class="pay" aria-label={words.pay.title}>
        <p class="problem" role="alert">
          {words.pay.unknown}
        </p>
        <button type="button" class="quiet" onClick={() => shop.repeatIntents()}>
          {words.frame.retry}
        </button>
      </section>
    );
  }
  const chosen = [...shop.chosen].flatMap((reservationId) => {
    const reservation = shop.reservations.get(reservationId);
    const sale = reservation && shop.sales.get(reservation.saleId);
    if (!reservation || !sale) return [];
    const next = nextOf(reservation, sale, shop.purchases.values(), shop.now());
    return next.kind === 'buy' ? [{ reservation, until: next.until, units: reservation.units, price: sale.price }] : [];
  });
  const [first] = chosen.map(({ until }) => until).sort();
  if (first === undefined) return null;
  const sums = sumsOf(chosen);
  const sum = sums.map(format.money).join(' + ');
  const units = chosen.reduce((total, one) => total + one.units, 0);
  const { pay } = words;
  const cardName = (token: string, label: string) =>
    Object.hasOwn(pay.cards, token) ? pay.cards[token as keyof typeof pay.cards] : label;
  return (
    <form
      class="pay"
      aria-label={pay.title}
      onSubmit={(event) => {
        event.preventDefault();
        const ids = chosen.map(({ reservation }) => reservation.reservationId);
        if (!busy && sums.length === 1) void shop.buy(ids, card);
      }}
    >
      <div class="pay-what">
        <strong class="number">{pay.until(format.left(first), format.deadline(first))}</strong>
        <span class="soft small">
          {pay.what(
            pay.reservations(format.number(chosen.length), format.isOne(chosen.length)),
            pay.units(format.number(units), format.isOne(units)),
          )}
          . {chosen.length > 1 && sums.length === 1 && pay.once}
        </span>
      </div>
      <label class="field">
        {pay.with}
        <select value={card} onChange={({ currentTarget }) => setCard(currentTarget.value)}>
          {cards.map(({ token, label }) => (
            <option key={token} value={token}>
              {cardName(token, label)}
            </option>
          ))}
        </select>
      </label>
      {sums.length > 1 ? (
        <p class="problem">{pay.mixed}</p>
      ) : (
        <button type="submit" aria-busy={busy}>
          {pay.buy(sum)}
        </button>
      )}
    </form>
  );
}
