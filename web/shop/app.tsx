/** The frame of the shop, and the page that the address names. */
import { useEffect } from 'preact/hooks';
import { isAtLeast } from '#platform/security/roles.ts';
import { Act, Badge, Dialog, Mark, Name } from '../parts.tsx';
import type { SaleView } from '../types.ts';
import { History, Mine, Purchases } from './mine.tsx';
import { Failed, PlaceLink, ShopContext, useShop, Waiting } from './parts.tsx';
import { PayBar } from './pay.tsx';
import { isPast, phaseOf } from './rules.ts';
import { PastSale, SaleCard, SalePage } from './sale.tsx';
import { SettingsPage } from './settings.tsx';
import { SignIn } from './sign-in.tsx';
import type { Store } from './store.ts';

export function App({ shop }: { shop: Store }) {
  const { place, words } = shop;
  const sale = place.page === 'sale' ? shop.sales.get(place.saleId) : undefined;
  const title =
    place.page === 'settings'
      ? `${words.settings.title} · Holdfast`
      : sale
        ? `${sale.name} · Holdfast`
        : words.frame.title;
  useEffect(() => {
    document.title = title;
  }, [title]);
  return (
    <ShopContext.Provider value={shop}>
      <a class="skip" href="#main">
        {words.frame.skip}
      </a>
      <Header />
      <main id="main" tabIndex={-1}>
        {!shop.online && (
          <div class="problem row apart" role="alert">
            <p>{words.frame.offline}</p>
            <button type="button" class="quiet" onClick={() => void shop.refresh()}>
              {words.frame.retry}
            </button>
          </div>
        )}
        {place.page === 'sale' ? (
          <SalePage key={place.saleId} saleId={place.saleId} />
        ) : place.page === 'settings' ? (
          <SettingsPage />
        ) : (
          <Home />
        )}
      </main>
      <PayBar />
      <SignIn />
      <News />
      <Said />
    </ShopContext.Provider>
  );
}

function Header() {
  const shop = useShop();
  const { words, format, me } = shop;
  const { frame } = words;
  return (
    <header class="top">
      <div class="top-inner">
        <PlaceLink to="/" class="brand">
          <Mark /> <span class="brand-name">Holdfast</span>
        </PlaceLink>
        {me && (
          <span role="status">
            {!shop.isConnecting && <Badge kind={shop.shownLink}>{frame.link[shop.shownLink]}</Badge>}
          </span>
        )}
        <span class="grow" />
        {shop.isSomebody && (
          <button
            type="button"
            class="quiet bell"
            onClick={() => {
              shop.newsOpen = true;
              shop.update();
            }}
          >
            {frame.notices}
            {shop.unread > 0 && (
              <span class="unread-count">
                {format.number(shop.unread)}
                <span class="visually-hidden"> {frame.unread(format.number(shop.unread))}</span>
              </span>
            )}
          </button>
        )}
        <PlaceLink to="/settings" class="button quiet">
          {frame.settings}
        </PlaceLink>
        {isAtLeast(me?.role ?? 'customer', 'viewer') && (
          <a class="button quiet" href="/console.html">
            {frame.console}
          </a>
        )}
        {me ? (
          <span class="who soft small">
            <span class="visually-hidden">{frame.signedInAs(me.name)}</span>
            <bdi aria-hidden="true" dir="auto">
              {me.name}
            </bdi>
          </span>
        ) : shop.isSomebody ? null : (
          <button
            type="button"
            onClick={() => {
              shop.signing = {};
              shop.update();
            }}
          >
            {frame.signIn}
          </button>
        )}
      </div>
    </header>
  );
}

/** What can be acted on comes first; a sale that is paused comes after those. */
const rank = { reserving: 0, purchasing: 1, scheduled: 3, reserved: 4, closed: 5 };
const pausedRank = 2;

function Home() {
  const shop = useShop();
  const { words, format } = shop;
  const now = shop.now();
  const all = [...shop.sales.values()];
  const rankOf = (sale: SaleView) => (sale.status === 'paused' ? pausedRank : rank[phaseOf(sale, now)]);
  const order = (one: SaleView, other: SaleView) =>
    rankOf(one) - rankOf(other) || one.reserveOpensAt.localeCompare(other.reserveOpensAt);
  const current = all.filter((sale) => !isPast(sale, now)).sort(order);
  const past = all
    .filter((sale) => isPast(sale, now))
    .sort((one, other) => other.purchaseClosesAt.localeCompare(one.purchaseClosesAt));
  return (
    <>
      <div class={shop.isSomebody ? 'lead own' : 'lead'}>
        <h1 tabIndex={-1}>{words.home.title}</h1>
        {!shop.isSomebody && <p>{words.home.lead}</p>}
      </div>
      <Mine />
      <section aria-labelledby="sales-title">
        <h2 id="sales-title">{words.home.sales}</h2>
        {shop.salesState === 'loading' ? (
          <Waiting />
        ) : shop.salesState === 'failed' ? (
          <Failed text={words.failed.sales} onRetry={() => void shop.refresh()} />
        ) : current.length === 0 ? (
          <p class="empty">{words.home.noSales}</p>
        ) : (
          <div class="cards">
            {current.map((sale) => (
              <SaleCard key={sale.saleId} sale={sale} />
            ))}
          </div>
        )}
        {past.length > 0 && (
          <details class="card">
            <summary>{words.home.past(format.number(past.length))}</summary>
            <ul class="list">
              {past.map((sale) => (
                <PastSale key={sale.saleId} sale={sale} />
              ))}
            </ul>
          </details>
        )}
        {shop.moreSales !== null && (
          <Act busy={shop.busy.has('more')} class="quiet" onAct={() => void shop.readMoreSales()}>
            {words.home.more}
          </Act>
        )}
      </section>
      <Purchases />
      <History />
    </>
  );
}

/** What has happened, in a drawer. */
function News() {
  const shop = useShop();
  const { words, format } = shop;
  if (!shop.newsOpen) return null;
  const close = () => {
    shop.newsOpen = false;
    shop.update();
  };
  return (
    <Dialog labelledBy="news-title" class="drawer" onClose={close}>
      <div class="row apart">
        <h2 id="news-title">{words.frame.notices}</h2>
        <button type="button" class="quiet slim" onClick={close}>
          {words.frame.close}
        </button>
      </div>
      {shop.newsState === 'failed' && shop.news.length === 0 ? (
        <Failed text={words.failed.notices} onRetry={() => void shop.readNews()} />
      ) : shop.news.length === 0 ? (
        <p class="empty">{words.notices.none}</p>
      ) : (
        <>
          <Act busy={shop.busy.has('news')} class="quiet slim" onAct={() => void shop.readAllNews()}>
            {words.notices.readAll}
          </Act>
          <ul class="list">
            {shop.news.map(({ notificationId, text, facts, createdAt, readAt }) => {
              const sale = typeof facts.saleId === 'string' ? shop.sales.get(facts.saleId) : undefined;
              return (
                <li key={notificationId} class={`news ${readAt ? '' : 'unread'}`}>
                  {sale && (
                    <strong>
                      <Name>{sale.name}</Name>
                    </strong>
                  )}
                  <p>{text}</p>
                  <span class="soft small">{format.time(createdAt)}</span>
                </li>
              );
            })}
          </ul>
        </>
      )}
      {shop.newsCursor !== null && (
        <button type="button" class="quiet slim" onClick={() => void shop.readNews(true)}>
          {words.notices.older}
        </button>
      )}
    </Dialog>
  );
}

/** The one thing that was said last. */
function Said() {
  const shop = useShop();
  const { toast, words } = shop;
  return (
    <div class="said" aria-live={toast?.kind === 'bad' ? 'assertive' : 'polite'}>
      {toast && (
        <div class={`toast ${toast.kind}`} key={toast.id}>
          <div>
            {toast.title && (
              <strong>
                <Name>{toast.title}</Name>
              </strong>
            )}
            <p>{toast.text}</p>
          </div>
          <button type="button" class="toast-close" aria-label={words.frame.dismiss} onClick={() => shop.dismiss()}>
            ×
          </button>
        </div>
      )}
    </div>
  );
}
