/** The sales: all of them to choose from, and the one that is looked at. On a phone it is one or the other. */
import { useEffect, useState } from 'preact/hooks';
import { Badge, Name } from '../parts.tsx';
import { isPast, phaseOf } from '../shop/rules.ts';
import type { SaleView } from '../types.ts';
import { Failed, ListEnd, SelectField, TextField, Title, useConsole, Waiting } from './parts.tsx';
import { SalePage } from './sale.tsx';
import { SaleForm } from './sale-form.tsx';
import { isPublic } from './store.ts';

export function SalesPage() {
  const store = useConsole();
  const [, saleId] = store.path;
  if (saleId === 'new' && store.may('operator')) return <SaleForm />;
  return (
    <div class={saleId ? 'split chosen' : 'split'}>
      <Choice saleId={saleId} />
      {saleId ? (
        <SalePage key={saleId} saleId={saleId} />
      ) : (
        <p class="empty unchosen">{store.words.console.sales.choose}</p>
      )}
    </div>
  );
}

const filters = ['current', 'past', 'all'] as const;
type Filter = (typeof filters)[number];

/** How many are drawn at first, and more each time. */
const drawnAtOnce = 50;

function Choice({ saleId }: { saleId: string | undefined }) {
  const store = useConsole();
  const { words, format } = store;
  const { sales: text, list } = words.console;
  const [search, setSearch] = useState('');
  const [filter, setFilter] = useState<Filter>('current');
  const [drawn, setDrawn] = useState(drawnAtOnce);
  const now = store.now();
  const wanted = search.trim().toLocaleLowerCase();
  const order = (one: SaleView, other: SaleView) => other.reserveOpensAt.localeCompare(one.reserveOpensAt);
  const found = [...store.sales.values()]
    .filter((sale) => filter === 'all' || isPast(sale, now) === (filter === 'past'))
    .filter(({ name, saleId: id }) => name.toLocaleLowerCase().includes(wanted) || id === wanted)
    .sort(order);
  // Whoever searches, or looks at what is over, means all sales and not those that happen to be here.
  const looksFurther = store.moreSales !== null && (wanted !== '' || filter !== 'current');
  useEffect(() => {
    if (looksFurther) void store.readMoreSales();
  }, [looksFurther, store.moreSales]);
  return (
    <section class="choice-of-sales" aria-labelledby="sales-title">
      {saleId ? <h2 id="sales-title">{text.title}</h2> : <TitleOf>{text.title}</TitleOf>}
      {store.may('operator') && (
        <a class="button" href="#/sales/new">
          {text.create}
        </a>
      )}
      <div class="form-grid">
        <TextField label={list.search} value={search} onValue={setSearch} placeholder={list.searchHint} />
        <SelectField
          label={text.filter}
          value={filter}
          options={filters.map((name) => [name, text.filters[name]] as const)}
          onValue={setFilter}
        />
      </div>
      {store.salesState === 'loading' ? (
        <Waiting />
      ) : store.salesState === 'failed' ? (
        <Failed onRetry={() => void store.readSales()} />
      ) : found.length === 0 ? (
        <p class="empty" role="status">
          {looksFurther
            ? list.looking(format.number(store.sales.size))
            : store.sales.size === 0
              ? text.none
              : list.none}
        </p>
      ) : (
        <>
          <p class="soft small" role="status">
            {(store.moreSales === null || looksFurther ? list.shown : list.shownOfMore)(
              format.number(Math.min(drawn, found.length)),
              format.number(found.length),
            )}
            {looksFurther && ` · ${list.looking(format.number(store.sales.size))}`}
          </p>
          <ul class="list">
            {found.slice(0, drawn).map((sale) => (
              <li key={sale.saleId}>
                <Pick sale={sale} isChosen={sale.saleId === saleId} />
              </li>
            ))}
          </ul>
        </>
      )}
      <ListEnd
        more={found.length > drawn || store.moreSales !== null}
        reading={store.busy.has('more-sales')}
        onMore={() => {
          if (found.length > drawn) setDrawn(drawn + drawnAtOnce);
          else void store.readMoreSales();
        }}
      />
    </section>
  );
}

function TitleOf({ children }: { children: string }) {
  return (
    <div id="sales-title">
      <Title>{children}</Title>
    </div>
  );
}

/** What a sale is at the moment, in a word. */
export function PhaseBadge({ sale }: { sale: SaleView }) {
  const store = useConsole();
  const { sale: words } = store.words;
  const phase = phaseOf(sale, store.now());
  const { publication } = store.words.console;
  if (sale.status === 'active' && !isPublic(sale, store.now())) {
    return <Badge kind="scheduled">{sale.publishAt === null ? publication.draft : publication.notYet}</Badge>;
  }
  if (sale.status !== 'active') return <Badge kind={sale.status}>{words[sale.status]}</Badge>;
  return <Badge kind={phase === 'closed' ? 'closed-phase' : phase}>{words.phase[phase]}</Badge>;
}

function Pick({ sale, isChosen }: { sale: SaleView; isChosen: boolean }) {
  const { words, format } = useConsole();
  const { available, allotment } = sale.stock;
  return (
    <a class="pick" href={`#/sales/${sale.saleId}`} aria-current={isChosen ? 'page' : undefined}>
      <span class="row apart">
        <strong>
          <Name>{sale.name}</Name>
        </strong>
        <PhaseBadge sale={sale} />
      </span>
      <StockBar stock={sale.stock} />
      <span class="soft small number">
        {words.console.sales.free(format.number(available), format.number(allotment))}
      </span>
    </a>
  );
}

/** How an allotment is divided. */
export function StockBar({ stock }: { stock: SaleView['stock'] }) {
  const { words, format } = useConsole();
  const { available, allocated, sold, allotment } = stock;
  const label = words.console.sale.stockBar(format.number(available), format.number(allocated), format.number(sold));
  return (
    <span class="bar" role="img" aria-label={label}>
      {(['sold', 'allocated', 'available'] as const).map((part) => (
        <span key={part} class={`part ${part}`} style={{ width: `${(100 * stock[part]) / Math.max(1, allotment)}%` }} />
      ))}
    </span>
  );
}
