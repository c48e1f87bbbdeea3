/** One sale: what it is now, what can be done with it, and its pages. */
import { useEffect, useState } from 'preact/hooks';
import { dataOf } from '#client/http.ts';
import { Problem } from '#client/problem.ts';
import { Act, Choices, Dialog, Name } from '../parts.tsx';
import { boundaryOf } from '../shop/rules.ts';
import type { SaleView } from '../types.ts';
import { ActsOf } from './acts.tsx';
import { BoardPage } from './board.tsx';
import { Inside } from './inside.tsx';
import { LabelButton } from './labels.tsx';
import { MoveForm } from './move.tsx';
import { Facts, Failed, Form, Submit, Tabs, TextField, Title, useConsole, Waiting, wholeOf } from './parts.tsx';
import { PeoplePage } from './people.tsx';
import { Publication } from './publication.tsx';
import { PurchasePage } from './purchase.tsx';
import { lookMs, useOverview, useRead } from './reads.ts';
import { ReportPage } from './report.tsx';
import { affectedBy, pauseSale } from './sale-acts.ts';
import { SaleForm } from './sale-form.tsx';
import { PhaseBadge, StockBar } from './sales.tsx';

export function SalePage({ saleId }: { saleId: string }) {
  const store = useConsole();
  const { words, path } = store;
  const sale = store.sales.get(saleId);
  const page = path[2] ?? '';
  const [problem, setProblem] = useState<'none' | 'failed' | 'gone'>('none');
  const read = () => {
    setProblem('none');
    store.watch(saleId);
    store.readSale(saleId).catch((error: unknown) => {
      setProblem(error instanceof Problem && [400, 404].includes(error.status) ? 'gone' : 'failed');
    });
  };
  useEffect(read, [saleId]);
  if (!sale) {
    return (
      <section class="one-sale">
        <Title>{words.console.sales.title}</Title>
        {problem === 'none' ? (
          <Waiting />
        ) : (
          <Failed text={problem === 'gone' ? words.console.sales.notFound : undefined} onRetry={read} />
        )}
      </section>
    );
  }
  if (page === 'board') return <BoardPage sale={sale} />;
  if (page === 'report') return <ReportPage sale={sale} />;
  return (
    <section class="one-sale">
      <Head sale={sale} page={page} />
      <PageOf sale={sale} page={page} />
    </section>
  );
}

function PageOf({ sale, page }: { sale: SaleView; page: string }) {
  const store = useConsole();
  const { saleId } = sale;
  const mayChange = store.may('operator') && sale.status !== 'cancelled';
  if (page === 'people') return <PeoplePage saleId={saleId} />;
  if (page === 'acts') return <ActsOf subjectId={saleId} />;
  if (page === 'purchases') {
    return <PurchasePage saleId={saleId} purchaseId={store.path[3] ?? ''} customerId={store.path[4] ?? ''} />;
  }
  if (page === 'edit' && mayChange) return <SaleForm key={saleId} sale={sale} />;
  if (page === 'move' && mayChange) return <MoveForm key={saleId} sale={sale} />;
  return <Now sale={sale} />;
}

/** The name of a sale, the most needed acts, and the way to its other pages. */
function Head({ sale, page }: { sale: SaleView; page: string }) {
  const store = useConsole();
  const { words, format } = store;
  const { saleId } = sale;
  const { tabs } = words.console;
  const boundary = boundaryOf(sale, store.now());
  const mayChange = store.may('operator') && sale.status !== 'cancelled';
  const root = `sales/${saleId}`;
  return (
    <>
      <a class="to-list" href="#/sales">
        ← {words.console.sales.back}
      </a>
      <div class="row apart">
        <Title>
          <Name>{sale.name}</Name>
        </Title>
        <PhaseBadge sale={sale} />
      </div>
      {boundary && <p class="number next">{words.console.sale.next[boundary.phase](format.until(boundary.at))}</p>}
      {mayChange && <Acts sale={sale} />}
      <Tabs
        label={tabs.label}
        current={page === '' ? root : `${root}/${page === 'purchases' ? 'people' : page}`}
        tabs={[
          [root, tabs.now],
          [`${root}/board`, tabs.board],
          [`${root}/people`, tabs.people],
          ...(mayChange ? ([[`${root}/move`, tabs.move]] as const) : []),
          ...(mayChange ? ([[`${root}/edit`, tabs.edit]] as const) : []),
          [`${root}/report`, tabs.report],
          [`${root}/acts`, tabs.acts],
        ]}
      />
    </>
  );
}

function Acts({ sale }: { sale: SaleView }) {
  const store = useConsole();
  const { words, format } = store;
  const { sale: text } = words.console;
  const { saleId, stock, price } = sale;
  const [stocking, setStocking] = useState(false);
  const busy = store.busy.has(`run:${saleId}`);
  const { http } = store.api;
  const params = { path: { saleId } };
  const resume = () =>
    store.act(`run:${saleId}`, async () => {
      const how = await store.ask(
        text.askResume(sale.name),
        [
          { name: 'keep', label: text.keepTimes },
          { name: 'give', label: text.resume },
        ],
        [await affectedBy(store, saleId)],
      );
      if (!how) return;
      const send = (query: { keepTimes?: 'true'; confirmation?: string }) =>
        dataOf(http.POST('/sales/{saleId}/resume', { params: { ...params, query } }));
      const resumed =
        how === 'give'
          ? await send({})
          : await send({ keepTimes: 'true' }).catch(async (problem: unknown) => {
              const confirmation = confirmationOf(problem);
              if (!confirmation || !(await store.sure(text.keepDanger, text.resume))) throw problem;
              return send({ keepTimes: 'true', confirmation });
            });
      store.take(resumed);
      store.say('good', text.resumed);
    });
  const callOff = () =>
    store.act(`run:${saleId}`, async () => {
      const paid = format.money({ amountMinor: stock.sold * price.amountMinor, currency: price.currency });
      const refunds = await store.ask(
        text.askOff(sale.name),
        [
          { name: 'keep', label: text.offKeep, danger: true },
          { name: 'refund', label: text.offRefund, danger: true },
        ],
        [await affectedBy(store, saleId), text.offPaid(format.number(stock.sold), paid)],
      );
      if (!refunds) return;
      store.take(await dataOf(http.POST('/sales/{saleId}/cancel', { params, body: { refunds } })));
      store.say('good', text.called);
    });
  return (
    <div class="row acts">
      {sale.status === 'paused' ? (
        <Act busy={busy} onAct={() => void resume()}>
          {text.resume}
        </Act>
      ) : (
        <Act busy={busy} onAct={() => void pauseSale(store, sale)}>
          {text.pause}
        </Act>
      )}
      <Act busy={false} class="quiet" onAct={() => setStocking(true)}>
        {text.add}
      </Act>
      <Act busy={busy} class="quiet" onAct={() => void callOff()}>
        {text.off}
      </Act>
      {stocking && <StockDialog sale={sale} onDone={() => setStocking(false)} />}
    </div>
  );
}

/** The token of a refusal that wants to be confirmed. */
function confirmationOf(problem: unknown): string | undefined {
  if (!(problem instanceof Problem) || problem.code !== 'confirmation_required') return undefined;
  return problem.body.confirmation;
}

const mostUnits = 100_000_000;

function StockDialog({ sale, onDone }: { sale: SaleView; onDone: () => void }) {
  const store = useConsole();
  const { words, format } = store;
  const { sale: text, sales } = words.console;
  const [units, setUnits] = useState('10');
  const [problem, setProblem] = useState<string>();
  const typed = wholeOf(units, { least: 0 - sale.stock.available, most: mostUnits }, words, format);
  const change = typed.value ?? 0;
  const question =
    change < 0
      ? text.askTake(format.number(-change), sale.name, format.isOne(-change))
      : text.askAdd(format.number(change), sale.name, format.isOne(change));
  const submit = () => {
    const wrong =
      typed.problem !== undefined ? typed.problem : change === 0 ? words.console.field.badNumber : undefined;
    setProblem(wrong);
    if (wrong) return;
    void store.act(
      `stock:${sale.saleId}`,
      async () => {
        const call = { params: { path: { saleId: sale.saleId } }, body: { units: change } };
        store.take(await dataOf(store.api.http.POST('/sales/{saleId}/stock', call)));
        store.say('good', text.added);
        onDone();
      },
      { illegal_state: text.tooFew },
    );
  };
  return (
    <Dialog labelledBy="stock-title" onClose={onDone}>
      <Form onSubmit={submit}>
        <h2 id="stock-title">{text.stock}</h2>
        <p>{sales.free(format.number(sale.stock.available), format.number(sale.stock.allotment))}</p>
        <TextField
          label={text.units}
          numeric
          value={units}
          onValue={setUnits}
          hint={text.stockHint}
          problem={problem}
        />
        {change !== 0 && <p class="note">{question}</p>}
        <Choices back={words.frame.back} onBack={onDone}>
          <Submit busy={store.busy.has(`stock:${sale.saleId}`)} danger={change < 0}>
            {text.stock}
          </Submit>
        </Choices>
      </Form>
    </Dialog>
  );
}

/** What a sale is now: its stock, how far calling it off has come, its terms, and what goes on inside. */
function Now({ sale }: { sale: SaleView }) {
  const store = useConsole();
  const { words, format } = store;
  const { sale: text } = words.console;
  const { stock } = sale;
  const overview = useOverview(sale.saleId, lookMs);
  // What the public cannot find is not pushed to everybody; this is read anyway.
  useEffect(() => {
    if (!overview.data) return;
    store.take(overview.data.sale);
    if (overview.data.accessCode !== null) store.watch(sale.saleId, overview.data.accessCode);
  }, [overview.data]);
  const counts = [
    ['available', stock.available],
    ['allocated', stock.allocated],
    ['sold', stock.sold],
    ['waitlisted', stock.waitlisted],
  ] as const;
  return (
    <>
      <div class="card">
        <StockBar stock={stock} />
        <dl class="counts">
          {counts.map(([name, count]) => (
            <div key={name} class={`count ${name}`}>
              <dt>{text[name]}</dt>
              <dd>{format.number(count)}</dd>
            </div>
          ))}
        </dl>
      </div>
      {sale.status === 'cancelled' && <CalledOff saleId={sale.saleId} />}
      {overview.data ? (
        <>
          <Publication sale={sale} overview={overview.data} />
          <Inside overview={overview.data} />
        </>
      ) : overview.problem ? (
        <Failed onRetry={() => void overview.again()} />
      ) : (
        <Waiting />
      )}
      <Terms sale={sale} />
    </>
  );
}

function Terms({ sale }: { sale: SaleView }) {
  const { words, format } = useConsole();
  const { sale: text, sales, form } = words.console;
  const { payWithinSeconds } = sale;
  return (
    <>
      <div class="row apart">
        <h2>{text.terms}</h2>
        <LabelButton kind="sale" subjectId={sale.saleId} slim />
      </div>
      <Facts
        wide
        facts={[
          { name: text.price, value: format.money(sale.price) },
          { name: text.allotment, value: format.number(sale.stock.allotment) },
          { name: text.cap, value: format.number(sale.capPerCustomer) },
          {
            name: text.waitlist,
            value: text.waits(format.number(sale.stock.waitlisted), format.number(sale.waitlistSize)),
          },
          { name: text.reserving, value: format.span(sale.reserveOpensAt, sale.reserveClosesAt) },
          { name: text.purchasing, value: format.span(sale.purchaseOpensAt, sale.purchaseClosesAt) },
          { name: text.offerLife, value: format.length(sale.offerLifeSeconds) },
          {
            name: text.payWithin,
            value: payWithinSeconds === null ? text.untilClose : format.length(payWithinSeconds),
          },
          { name: text.cutoff, value: format.length(sale.offerCutoffSeconds) },
          { name: text.provider, value: form.providers[sale.paymentProvider ?? ''] },
          { name: sales.id, value: <code>{sale.saleId}</code> },
        ]}
      />
    </>
  );
}

/** How far calling a sale off has come, until all is done. */
function CalledOff({ saleId }: { saleId: string }) {
  const { api, words, format } = useConsole();
  const { off } = words.console;
  const [done, setDone] = useState(false);
  const { data, problem, again } = useRead(
    `cancellation:${saleId}`,
    () => dataOf(api.http.GET('/ops/sales/{saleId}/cancellation', { params: { path: { saleId } } })),
    done ? undefined : lookMs,
  );
  useEffect(() => setDone(data?.done ?? false), [data?.done]);
  if (!data) return problem ? <Failed onRetry={() => void again()} /> : <Waiting />;
  const { refunds, openPayments, reservations, refundsByState, currency } = data;
  const refunded = (['pending', 'refunded', 'failed'] as const).map((state) => {
    const { refunds: count, amountMinor } = refundsByState[state];
    const value = off.counted(format.number(count), format.money({ amountMinor, currency }));
    return { name: off[state], value, warn: state === 'failed' && count > 0 };
  });
  return (
    <section class="card" aria-labelledby="off-title">
      <h2 id="off-title">{off[refunds]}</h2>
      <Facts
        wide
        facts={[
          { name: off.state, value: data.done ? off.done : off.runs },
          { name: off.left, value: format.number(reservations.allocated + reservations.waitlisted) },
          { name: off.open, value: format.number(openPayments) },
          ...refunded,
        ]}
      />
    </section>
  );
}
