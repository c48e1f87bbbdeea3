/** A sale: its card in the list, its page, its rules in plain words, and the form to reserve. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { Badge, Name } from '../parts.tsx';
import type { SaleView } from '../types.ts';
import { Mine } from './mine.tsx';
import { Cover, Failed, Picture, Pictures, PlaceLink, Stepper, useShop, Waiting } from './parts.tsx';
import { boundaryOf, isReservingOver, leftOfCap, phaseOf, takingOf } from './rules.ts';
import { Store } from './store.ts';

/** What a sale is at the moment, in a word. */
function SaleBadge({ sale }: { sale: SaleView }) {
  const { words, now } = useShop();
  const phase = phaseOf(sale, now());
  if (sale.status === 'cancelled') return <Badge kind="cancelled">{words.sale.cancelled}</Badge>;
  if (sale.status === 'paused') return <Badge kind="paused">{words.sale.paused}</Badge>;
  return <Badge kind={phase === 'closed' ? 'closed-phase' : phase}>{words.sale.phase[phase]}</Badge>;
}

/** What comes next, and how long it is until then, by the server's clock. */
function Countdown({ sale }: { sale: SaleView }) {
  const { words, format, now } = useShop();
  const next = boundaryOf(sale, now());
  if (!next) return null;
  return (
    <p class="countdown">
      <span>{words.sale.next[next.phase]}</span>
      <strong role="timer" aria-live="off">
        {format.until(next.at)}
      </strong>
    </p>
  );
}

/** How much is free while it can be asked for, and whether that is true at this moment. */
function Stock({ sale }: { sale: SaleView }) {
  const shop = useShop();
  const { words, format } = shop;
  const { saleId, stock, waitlistSize } = sale;
  if (sale.status === 'cancelled' || isReservingOver(sale, shop.now())) return null;
  const { available, allotment, waitlisted } = stock;
  const left =
    available > 0 ? words.sale.left(format.number(available), format.number(allotment)) : words.sale.noneLeft;
  const heardAt = shop.heardAt.get(saleId);
  return (
    <div class="stock">
      <meter aria-label={left} min={0} max={Math.max(1, allotment)} value={available}>
        {left}
      </meter>
      <p class="row apart small">
        <span class="number">{left}</span>
        {shop.me && shop.isStill(saleId) && heardAt !== undefined && (
          <span class="soft">{words.sale.asOf(format.clock(heardAt))}</span>
        )}
      </p>
      {available === 0 && waitlistSize > 0 && (
        <p class="soft small number">{words.sale.places(format.number(waitlisted), format.number(waitlistSize))}</p>
      )}
    </div>
  );
}

/** Watches a sale for as long as its element is in view; what it is of is read then. */
function useInView({ saleId, productId }: SaleView) {
  const shop = useShop();
  const element = useRef<HTMLElement>(null);
  useEffect(() => {
    const see = ([entry]: IntersectionObserverEntry[]) => {
      const isIn = entry?.isIntersecting ?? false;
      shop.inView(saleId, isIn);
      if (isIn) shop.needProduct(productId);
    };
    const seen = new IntersectionObserver(see, { rootMargin: '300px' });
    if (element.current) seen.observe(element.current);
    return () => {
      seen.disconnect();
      shop.inView(saleId, false);
    };
  }, [saleId, productId]);
  return element;
}

/** A sale in the list. */
export function SaleCard({ sale }: { sale: SaleView }) {
  const { words, format, products } = useShop();
  const element = useInView(sale);
  const [picture] = products.get(sale.productId)?.pictures ?? [];
  const to = `/sales/${sale.saleId}`;
  return (
    <article class="card sale" ref={element} aria-labelledby={`s-${sale.saleId}`}>
      {picture ? <Picture picture={picture} /> : <Cover saleId={sale.saleId} />}
      <div class="row apart">
        <SaleBadge sale={sale} />
        <span class="price">{format.money(sale.price)}</span>
      </div>
      <h3 id={`s-${sale.saleId}`}>
        <PlaceLink to={to}>
          <Name>{sale.name}</Name>
        </PlaceLink>
      </h3>
      <Countdown sale={sale} />
      <Stock sale={sale} />
      <ReserveForm sale={sale} />
      <PlaceLink to={to} class="way small">
        {words.sale.details} <span class="visually-hidden">{sale.name}</span>
      </PlaceLink>
    </article>
  );
}

/** A sale that is over, in a line; of one that was called off the end of its time says nothing. */
export function PastSale({ sale }: { sale: SaleView }) {
  const { format } = useShop();
  return (
    <li class="item plain">
      <div class="what">
        <PlaceLink to={`/sales/${sale.saleId}`}>
          <Name>{sale.name}</Name>
        </PlaceLink>
        {sale.status === 'active' && <span class="soft small">{format.fullTime(sale.purchaseClosesAt)}</span>}
      </div>
      <SaleBadge sale={sale} />
    </li>
  );
}

/** The page of a sale. */
export function SalePage({ saleId }: { saleId: string }) {
  const shop = useShop();
  const { words } = shop;
  const sale = shop.sales.get(saleId);
  if (sale) return <OneSale sale={sale} />;
  return (
    <>
      <h1 tabIndex={-1}>{words.home.sales}</h1>
      {shop.saleProblem === undefined ? (
        <Waiting />
      ) : shop.saleProblem === 'failed' ? (
        <Failed text={words.failed.sale} onRetry={() => void shop.readPlace()} />
      ) : (
        <p class="empty">{words.failed.noSale}</p>
      )}
      <PlaceLink to="/" class="way">
        {words.frame.home}
      </PlaceLink>
    </>
  );
}

function OneSale({ sale }: { sale: SaleView }) {
  const shop = useShop();
  const { words, format } = shop;
  const element = useInView(sale);
  const product = shop.needProduct(sale.productId);
  const phase = phaseOf(sale, shop.now());
  const copy = async () => {
    await navigator.clipboard.writeText(location.href).catch(() => undefined);
    shop.say('good', words.sale.shared);
  };
  return (
    <article class="one-sale" ref={element}>
      <PlaceLink to="/" class="way small">
        ← {words.frame.home}
      </PlaceLink>
      <h1 tabIndex={-1}>
        <Name>{sale.name}</Name>
      </h1>
      <Mine saleId={sale.saleId} />
      <div class="two">
        <div class="card">
          <div class="row apart">
            <SaleBadge sale={sale} />
            <span class="price">
              <span class="visually-hidden">{words.sale.from}: </span>
              {format.money(sale.price)}
            </span>
          </div>
          <Countdown sale={sale} />
          <Stock sale={sale} />
          {sale.status === 'paused' && <p class="note">{words.sale.pausedNow}</p>}
          {sale.status === 'cancelled' && <p class="note">{words.sale.cancelledNow}</p>}
          {sale.status === 'active' && phase === 'scheduled' && (
            <>
              <p class="note">{words.form.opensHint(format.fullTime(sale.reserveOpensAt))}</p>
              {lacksContact(shop, sale) && <ContactFirst />}
            </>
          )}
          {sale.status === 'active' && isReservingOver(sale, shop.now()) && (
            <p class="note">
              {phase === 'closed'
                ? words.sale.endedNow(format.fullTime(sale.purchaseClosesAt))
                : words.sale.reservedOnly}
            </p>
          )}
          <ReserveForm sale={sale} />
        </div>
        <div class="card">
          {product && product.pictures.length > 0 ? (
            <Pictures pictures={product.pictures} />
          ) : (
            <Cover saleId={sale.saleId} label={words.sale.picture} />
          )}
          {product && product.name !== sale.name && (
            <p class="soft">
              <Name>{product.name}</Name>
            </p>
          )}
          {product?.description && (
            <p>
              <Name>{product.description}</Name>
            </p>
          )}
          <button type="button" class="quiet slim" onClick={() => void copy()}>
            {words.sale.share}
          </button>
        </div>
        {sale.status !== 'cancelled' && <Rules sale={sale} />}
      </div>
    </article>
  );
}

/** Whether a sale is only for customers who have shown that their address is theirs. */
const asksForContact = ({ requiresContact, capPer }: SaleView) => requiresContact || capPer === 'contact';

/** Whether somebody has to show that before anything else; it can be done before the sale opens. */
const lacksContact = ({ me }: Store, sale: SaleView) => me !== undefined && !me.isVerified && asksForContact(sale);

function ContactFirst() {
  const { words } = useShop();
  return (
    <p class="note">
      {words.sale.rules.contact} <PlaceLink to="/settings">{words.settings.verify}</PlaceLink>
    </p>
  );
}

/** The rules of a sale that is not called off, in plain words. */
function Rules({ sale }: { sale: SaleView }) {
  const { words, format } = useShop();
  const { rules, rulesTitle } = words.sale;
  const { reserveOpensAt, reserveClosesAt, purchaseOpensAt, purchaseClosesAt, waitlistSize } = sale;
  const lines = [
    rules.reserve(format.span(reserveOpensAt, reserveClosesAt)),
    rules.buy(format.span(purchaseOpensAt, purchaseClosesAt)),
    rules.cap(format.number(sale.capPerCustomer)),
    ...(asksForContact(sale) ? [rules.contact] : []),
    ...(sale.capPer === 'externalId' ? [rules.known] : []),
    rules.line,
    waitlistSize > 0
      ? rules.waitlist(format.number(waitlistSize), format.length(sale.offerLifeSeconds))
      : rules.noWaitlist,
    rules.pay,
    ...(sale.payWithinSeconds === null ? [] : [rules.payWithin(format.length(sale.payWithinSeconds))]),
    waitlistSize > 0 ? rules.otherwise : rules.otherwiseFree,
  ];
  return (
    <section class="card" aria-labelledby="rules-title">
      <h2 id="rules-title">{rulesTitle}</h2>
      <ul class="rules">
        {lines.map((line) => (
          <li key={line}>{line}</li>
        ))}
      </ul>
    </section>
  );
}

/** The form to reserve, while requests are taken. */
function ReserveForm({ sale }: { sale: SaleView }) {
  const shop = useShop();
  const { words, format } = shop;
  const { form } = words;
  const { saleId } = sale;
  const [quantity, setQuantity] = useState(1);
  const [least, setLeast] = useState<number | undefined>();
  const [invalid, setInvalid] = useState(false);
  const name = Store.reserveIn(saleId);
  const busy = shop.busy.has(name);
  const taking = takingOf(sale, Number.isFinite(quantity) ? quantity : 1, shop.now());
  if (taking === 'no') return null;
  if (shop.isUnknown(name)) {
    return (
      <div class="reserve">
        <p class="problem" role="alert">
          {form.unknown}
        </p>
        <button type="button" class="quiet" onClick={() => shop.repeatIntents()}>
          {words.frame.retry}
        </button>
      </div>
    );
  }
  const most = shop.me ? leftOfCap(sale, [...shop.reservations.values()]) : sale.capPerCustomer;
  if (most === 0) return <p class="note">{form.capReached}</p>;
  if (lacksContact(shop, sale)) return <ContactFirst />;

  const submit = (event: Event) => {
    event.preventDefault();
    if (busy) return;
    const fits = Number.isInteger(quantity) && quantity >= 1 && quantity <= most;
    setInvalid(!fits);
    if (!fits) return;
    const fill = least === undefined || quantity === 1 ? 'all' : { atLeast: Math.min(least, quantity) };
    void shop.reserve({ saleId, quantity, fill });
  };
  const { available, waitlisted } = sale.stock;
  const phase = phaseOf(sale, shop.now());
  const hint = {
    units: phase === 'purchasing' ? form.nowHint : form.laterHint,
    some: (waitlisted < sale.waitlistSize ? form.someHint : form.onlyHint)(format.number(available)),
    waitlist: form.waitHint,
    full: form.fullHint,
  }[taking];
  const go = taking === 'full' ? form.full : taking === 'waitlist' ? form.join : form.reserve;
  return (
    <form class="reserve" onSubmit={submit} noValidate>
      <div class="row">
        {taking !== 'full' && (
          <Stepper value={quantity} most={most} label={form.quantity} onValue={setQuantity} invalid={invalid} />
        )}
        <button type="submit" disabled={taking === 'full'} aria-busy={busy}>
          {busy ? form.sending : go}
        </button>
      </div>
      {invalid && (
        <p class="problem" role="alert">
          {form.badQuantity(format.number(most))}
        </p>
      )}
      {quantity > 1 && (
        <fieldset>
          <legend class="small soft">{form.ifNotAll}</legend>
          <label class="choice">
            <input
              type="radio"
              name={`fill-${saleId}`}
              checked={least === undefined}
              onChange={() => setLeast(undefined)}
            />
            {form.all}
          </label>
          <div class="choice">
            <label class="choice">
              <input type="radio" name={`fill-${saleId}`} checked={least !== undefined} onChange={() => setLeast(1)} />
              {form.fewer}
            </label>
            <input
              type="number"
              min={1}
              max={quantity}
              aria-label={form.least}
              value={least ?? 1}
              onInput={({ currentTarget }) => setLeast(Math.max(1, Number.parseInt(currentTarget.value, 10) || 1))}
            />
          </div>
        </fieldset>
      )}
      <p class="note">{hint}</p>
      {!shop.isSomebody && taking !== 'full' && <p class="note">{form.signInHint}</p>}
    </form>
  );
}
