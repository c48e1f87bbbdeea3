/** What is one's own: reservations with what to do next, their story, and purchases. */
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Act, Badge, Name } from '../parts.tsx';
import type { Notification, PurchaseView, ReservationView } from '../types.ts';
import { Ask, Failed, PlaceLink, Stepper, useShop, Waiting } from './parts.tsx';
import { byUrgency, isCurrent, type Next, nextOf, takingOf } from './rules.ts';
import type { Store } from './store.ts';

/** One's reservations that matter now, of a sale or of all, the most urgent first. */
export function Mine({ saleId }: { saleId?: string }) {
  const shop = useShop();
  const { words } = shop;
  if (!shop.isSomebody) return null;
  const own = [...shop.reservations.values()].filter((one) => saleId === undefined || one.saleId === saleId);
  const shown = saleId === undefined ? own.filter(isCurrent) : ofOneSale(own);
  const current = shown.map((reservation) => ({ reservation, next: nextIn(shop, reservation) })).sort(byUrgency);
  if (saleId !== undefined && current.length === 0) return null;
  return (
    <section aria-labelledby="mine-title" class="mine">
      <h2 id="mine-title">{words.home.next}</h2>
      {shop.mineState === 'failed' ? (
        <Failed text={words.failed.mine} onRetry={() => void shop.refresh()} />
      ) : shop.mineState === 'loading' && current.length === 0 ? (
        <Waiting />
      ) : current.length === 0 ? (
        <p class="empty">
          {own.length > 0 ? words.home.nothingNow : words.home.nothing} {isAnyTaking(shop) && words.home.choose}
        </p>
      ) : (
        <ul class="list">
          {current.map(({ reservation, next }) => (
            <Reservation key={reservation.reservationId} reservation={reservation} next={next} />
          ))}
        </ul>
      )}
    </section>
  );
}

/** Whether a sale takes requests now. */
const isAnyTaking = (shop: Store) =>
  [...shop.sales.values()].some((sale) => !['no', 'full'].includes(takingOf(sale, 1, shop.now())));

/** What is shown of one's own at a sale: what matters or was bought, and what came of the latest request, whatever that is. */
function ofOneSale(own: readonly ReservationView[]): ReservationView[] {
  const since = ({ acceptedAt }: ReservationView) => acceptedAt ?? '';
  const [latest] = own.filter(({ partOf }) => partOf === null).sort((a, b) => since(b).localeCompare(since(a)));
  return own.filter((one) => isCurrent(one) || one.state === 'purchased' || one === latest);
}

/** Reservations of which nothing more can come. */
export function History() {
  const shop = useShop();
  const { words, format } = shop;
  const past = [...shop.reservations.values()]
    .filter((one) => !isCurrent(one))
    .sort((one, other) => (other.acceptedAt ?? '').localeCompare(one.acceptedAt ?? ''));
  if (past.length === 0) return null;
  return (
    <details class="card">
      <summary>{words.home.history(format.number(past.length))}</summary>
      <ul class="list">
        {past.map((reservation) => (
          <Reservation key={reservation.reservationId} reservation={reservation} next={nextIn(shop, reservation)} />
        ))}
      </ul>
    </details>
  );
}

const nextIn = (shop: Store, reservation: ReservationView) =>
  nextOf(reservation, shop.sales.get(reservation.saleId), shop.purchases.values(), shop.now());

/** What to do next, in a sentence. */
function nextText(shop: Store, reservation: ReservationView, next: Next): string {
  const { words, format } = shop;
  const { next: say } = words.reservation;
  switch (next.kind) {
    case 'deciding':
      return next.place ? say.decidingAt(format.number(next.place)) : say.deciding;
    case 'waiting':
      return next.place === 1 ? say.first : next.place ? say.waitingAt(format.number(next.place)) : say.waiting;
    case 'buy':
      return say.buy(format.left(next.until), format.deadline(next.until));
    case 'later':
      return say.later(format.left(next.from), format.deadline(next.from));
    case 'confirm':
      return actionText(shop, next.purchase);
    case 'paying':
      return next.purchase.state === 'unknown' ? words.purchase.next.unknown : say.paying;
    case 'ended':
      return reasonText(shop, reservation.reason);
    default:
      return say[next.kind];
  }
}

/** What a payment waits for, and until when: a transfer, or the bank's question. */
function actionText({ words, format }: Store, { action }: PurchaseView): string {
  if (!action) return '';
  const { transfer, requires_action } = words.purchase.next;
  return (action.transferTo ? transfer : requires_action)(
    format.left(action.deadline),
    format.deadline(action.deadline),
  );
}

/** A reason in words; one that buyers have no use for is left out. */
function reasonText({ words }: Store, reason: string | null): string {
  if (reason === null || !Object.hasOwn(words.reasons, reason)) return '';
  return words.reasons[reason as keyof typeof words.reasons];
}

/** The latest purchase that was declined, while its reservation can still be bought. */
function declinedFor(shop: Store, reservationId: string): PurchaseView | undefined {
  const of = [...shop.purchases.values()]
    .filter(({ items }) => items.some((item) => item.reservationId === reservationId))
    .sort((one, other) => other.createdAt.localeCompare(one.createdAt));
  return of[0]?.state === 'declined' ? of[0] : undefined;
}

function Reservation({ reservation, next }: { reservation: ReservationView; next: Next }) {
  const shop = useShop();
  const { words, format } = shop;
  const say = words.reservation;
  const { reservationId, saleId, state, units, quantity } = reservation;
  const [asking, setAsking] = useState(false);
  const sale = shop.sales.get(saleId);
  const saleName = sale?.name ?? say.someSale;
  const count = units > 0 ? units : quantity;
  const what = say.name(format.number(count), saleName);
  const declined = next.kind === 'buy' ? declinedFor(shop, reservationId) : undefined;
  const chosen = next.kind === 'buy' && shop.chosen.has(reservationId);
  const busy = shop.busy.has(`give:${reservationId}`);
  const mayGive = isCurrent(reservation) && next.kind !== 'paying' && next.kind !== 'confirm';
  const choose = () => {
    if (chosen) shop.chosen.delete(reservationId);
    else shop.chosen.add(reservationId);
    shop.update();
  };
  return (
    <li class={`item ${chosen ? 'chosen' : ''}`} id={`r-${reservationId}`} tabIndex={-1}>
      <div class="what">
        <div class="row">
          <Badge kind={state}>{say.state[state]}</Badge>
          <strong>
            <PlaceLink to={`/sales/${saleId}`}>
              <Name>{what}</Name>
            </PlaceLink>
          </strong>
        </div>
        <p class="why number">{nextText(shop, reservation, next)}</p>
        {units > 0 && units < quantity && <p class="why">{say.part(format.number(units), format.number(quantity))}</p>}
        {declined && (
          <p class="problem">
            {reasonText(shop, declined.reason) || words.declined} {words.purchase.next.declined}
          </p>
        )}
        {next.kind === 'confirm' && <TransferTo purchase={next.purchase} />}
        <div class="row">
          {next.kind === 'buy' && (
            <label class="choice">
              <input type="checkbox" checked={chosen} onChange={choose} />
              <span>
                {say.choose}
                <span class="visually-hidden">: {what}</span>
              </span>
            </label>
          )}
          {next.kind === 'confirm' && (
            <>
              <a class="button" href={next.url} target="_blank" rel="noreferrer">
                {next.purchase.action?.transferTo ? words.purchase.transferInfo : words.purchase.confirm}{' '}
                <span class="visually-hidden">({words.purchase.confirmNew})</span>
              </a>
              <GiveUp purchase={next.purchase} />
            </>
          )}
          {mayGive && (
            <Act
              busy={busy}
              class="quiet slim"
              onAct={() => setAsking(true)}
              label={`${giveText(shop, state)}: ${what}`}
            >
              {giveText(shop, state)}
            </Act>
          )}
        </div>
        <More reservation={reservation} mayReduce={mayGive && state !== 'requested' && quantity > 1} />
      </div>
      {asking && (
        <Ask
          question={state === 'allocated' ? say.askBack(what) : say.askLeave(what)}
          yes={giveText(shop, state)}
          onNo={() => setAsking(false)}
          onYes={() => {
            setAsking(false);
            void shop.giveBack(reservationId);
          }}
        />
      )}
    </li>
  );
}

const giveText = ({ words }: Store, state: ReservationView['state']) =>
  state === 'allocated' ? words.reservation.back : words.reservation.leave;

/** The story of a reservation, its number, and taking fewer. */
function More({ reservation, mayReduce }: { reservation: ReservationView; mayReduce: boolean }) {
  const shop = useShop();
  const say = shop.words.reservation;
  const { reservationId, units, quantity } = reservation;
  const most = (units > 0 ? units : quantity) - 1;
  const [keep, setKeep] = useState(most);
  const since = reservation.acceptedAt ?? reservation.decidedAt ?? '';
  const isAbout = ({ subjectId, facts }: Notification) =>
    [reservationId, reservation.partOf].includes(subjectId) ||
    (Array.isArray(facts.reservationIds) && facts.reservationIds.includes(reservationId));
  return (
    <Story since={since} isAbout={isAbout} version={`${reservation.version}`}>
      <p class="soft small">
        {say.number} <code class="mono">{reservationId}</code>
      </p>
      {mayReduce && most >= 1 && (
        <div class="row">
          <span>{say.reduceTo}</span>
          <Stepper value={Math.min(keep, most)} most={most} label={say.reduceTo} onValue={setKeep} />
          <Act
            busy={shop.busy.has(`give:${reservationId}`)}
            class="quiet slim"
            onAct={() => void shop.reduce(reservationId, Math.min(most, Math.max(1, keep || 1)))}
          >
            {say.keep}
          </Act>
        </div>
      )}
    </Story>
  );
}

/**
 * What has happened to a reservation or a purchase, from its notices: all of them since it began, read when somebody wants to know
 * and again when it has another version; those that are pushed meanwhile join them.
 */
function Story(props: {
  since: string;
  version: string;
  isAbout: (notice: Notification) => boolean;
  children?: ComponentChildren;
}) {
  const { since, version, isAbout, children } = props;
  const shop = useShop();
  const { words, format, locale } = shop;
  const [isOpen, setOpen] = useState(false);
  const [read, setRead] = useState<readonly Notification[] | 'failed'>();
  const load = () => shop.readNewsSince(since).then(setRead, () => setRead('failed'));
  useEffect(() => {
    if (isOpen) void load();
  }, [isOpen, version, locale]);
  const known = new Map([...shop.news, ...(Array.isArray(read) ? read : [])].map((one) => [one.notificationId, one]));
  const story = [...known.values()].filter(isAbout).sort((one, other) => one.createdAt.localeCompare(other.createdAt));
  return (
    <details class="more" onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary class="small">{words.reservation.story}</summary>
      {read === 'failed' && <Failed text={words.failed.notices} onRetry={() => void load()} />}
      {story.length === 0 && read !== 'failed' && (
        <p class="soft small">{read ? words.reservation.noStory : words.frame.loading}</p>
      )}
      <ol class="story">
        {story.map(({ notificationId, text, createdAt }) => (
          <li key={notificationId}>
            {text} <time class="soft small">{format.time(createdAt)}</time>
          </li>
        ))}
      </ol>
      {children}
    </details>
  );
}

/** The account to transfer to, where that is what is waited for. */
function TransferTo({ purchase }: { purchase: PurchaseView }) {
  const { words, format } = useShop();
  const to = purchase.action?.transferTo;
  if (!to) return null;
  return (
    <p>
      {words.purchase.transfer(format.money(purchase.amount), to.accountNumber)}{' '}
      {words.purchase.transferBank(to.bankCode, to.holderName)}
    </p>
  );
}

function GiveUp({ purchase }: { purchase: PurchaseView }) {
  const shop = useShop();
  const { words } = shop;
  const [asking, setAsking] = useState(false);
  const { purchaseId } = purchase;
  return (
    <>
      <Act busy={shop.busy.has(`up:${purchaseId}`)} class="quiet slim" onAct={() => setAsking(true)}>
        {words.purchase.giveUp}
      </Act>
      {asking && (
        <Ask
          question={words.purchase.askGiveUp}
          yes={words.purchase.giveUp}
          onNo={() => setAsking(false)}
          onYes={() => {
            setAsking(false);
            void shop.giveUp(purchaseId);
          }}
        />
      )}
    </>
  );
}

/** One's purchases, each with its order number. */
export function Purchases() {
  const shop = useShop();
  const { words, format } = shop;
  const list = [...shop.purchases.values()].sort((one, other) => other.createdAt.localeCompare(one.createdAt));
  if (!shop.me || list.length === 0) return null;
  return (
    <section aria-labelledby="bought-title" class="mine">
      <h2 id="bought-title">{words.home.purchases}</h2>
      <ul class="list">
        {list.map((purchase) => {
          const { purchaseId, state, amount, items, reason, refunds, createdAt, updatedAt } = purchase;
          const next =
            state === 'requires_action'
              ? actionText(shop, purchase)
              : state === 'declined'
                ? reasonText(shop, reason) || words.declined
                : state === 'captured' || state === 'refunded'
                  ? reasonText(shop, reason)
                  : words.purchase.next[state];
          return (
            <li class="item" key={purchaseId}>
              <div class="what">
                <div class="row">
                  <Badge kind={state}>{words.purchase.state[state]}</Badge>
                  <strong>{format.money(amount)}</strong>
                  <time class="soft small">{format.dated(createdAt)}</time>
                </div>
                <p>
                  <Name>
                    {items
                      .map(({ units, saleId }) =>
                        words.reservation.name(
                          format.number(units),
                          shop.sales.get(saleId)?.name ?? words.reservation.someSale,
                        ),
                      )
                      .join(', ')}
                  </Name>
                </p>
                {next && <p class="why">{next}</p>}
                {refunds.map((refund) =>
                  refund.amount.amountMinor > 0 && refund.state !== 'failed' ? (
                    <p class="why" key={refund.createdAt}>
                      {refund.state === 'refunded'
                        ? words.purchase.refund(format.money(refund.amount))
                        : words.purchase.refundPending(format.money(refund.amount))}
                    </p>
                  ) : null,
                )}
                <p class="soft small">
                  {words.purchase.order} <code class="mono">{purchaseId}</code>
                </p>
                <Story since={createdAt} version={updatedAt} isAbout={({ subjectId }) => subjectId === purchaseId} />
              </div>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
