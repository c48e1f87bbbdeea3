/** The launch board: a sale on its day, to be read from two metres. */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { Act, Name } from '../parts.tsx';
import { boundaryOf } from '../shop/rules.ts';
import type { SaleOverview, SaleView } from '../types.ts';
import { Chart } from './chart.tsx';
import { rateOf, type Sample, sampleOf, samplesOf, withSample } from './curves.ts';
import { refusedOf } from './inside.tsx';
import { Engine, Failed, nameIn, Title, useConsole, usePartName, Waiting } from './parts.tsx';
import { lookMs, useOverview, useReport } from './reads.ts';
import { pauseSale } from './sale-acts.ts';
import { PhaseBadge } from './sales.tsx';

const boundaries = ['reserveOpensAt', 'reserveClosesAt', 'purchaseOpensAt', 'purchaseClosesAt'] as const;

/** Where the periods of a sale begin and end, for a chart. */
export function useMarks(sale: SaleView) {
  const { boundary } = useConsole().words.console.board;
  return boundaries.map((name) => ({ at: Date.parse(sale[name]) / 1_000, label: boundary[name] }));
}

/** A value with more letters is written smaller, so that it is one line. */
const sizeOf = ({ length }: string) => (length > 12 ? 'long longer' : length > 7 ? 'long' : undefined);

/** How often the sale's own record is read again; it goes over all of its reservations. */
const recordMs = 30_000;

export function BoardPage({ sale }: { sale: SaleView }) {
  const store = useConsole();
  const { words, format } = store;
  const { board } = words.console;
  const { saleId, stock } = sale;
  const overview = useOverview(saleId, lookMs);
  const record = useReport(saleId, recordMs);
  const recordAtMs = useMemo(() => store.now(), [record.data]);
  const [seen, setSeen] = useState<readonly Sample[]>([]);
  const page = useRef<HTMLElement>(null);
  const partName = usePartName();
  const marks = useMarks(sale);
  const { data } = overview;
  useEffect(() => {
    if (data) setSeen((before) => withSample(before, sampleOf(data, store.now())));
  }, [data]);
  if (!data) {
    return (
      <section class="board" aria-labelledby="board-title">
        <Head sale={sale} />
        {overview.problem ? <Failed onRetry={() => void overview.again()} /> : <Waiting />}
      </section>
    );
  }

  const report = record.data;
  const before = report ? samplesOf(report, stock, seen[0]?.at ?? 0) : [];
  const samples = [...before, ...seen];
  const latest = samples.at(-1);
  const boundary = boundaryOf(sale, store.now());
  const troubles = troublesOf(data, words, partName);
  const tiles: [string, string, string?][] = [
    [
      board.requests,
      format.number(latest?.requested ?? 0),
      board.perSecond(format.number(Math.round(rateOf(seen) * 10) / 10)),
    ],
    [board.decided, format.number(latest?.decided ?? 0)],
    [board.refused, format.number(refusedOf(data))],
    [board.age, words.console.inside.seconds(format.number(Math.round((latest?.age ?? 0) * 10) / 10))],
    [board.free, format.number(stock.available)],
    [board.sold, format.number(stock.sold)],
    [board.line, format.number(stock.waitlisted)],
    [
      board.money,
      report ? format.money({ amountMinor: report.money.paidMinor, currency: report.money.currency }) : '…',
      report && board.asOf(format.clock(recordAtMs)),
    ],
  ];
  const curve = (name: string, colour: string, of: (sample: Sample) => number | null, area = false) => ({
    ...{ name, colour, area, values: samples.map(of) },
  });
  const times = samples.map(({ at }) => at);
  const { currency } = sale.price;
  const price = sale.price.amountMinor / 10 ** (store.config.minorDigits?.[currency] ?? 2);
  return (
    <section class="board" ref={page} aria-labelledby="board-title">
      <Head sale={sale} />
      <div class="row apart">
        {boundary && <p class="number next">{words.console.sale.next[boundary.phase](format.until(boundary.at))}</p>}
        <span class="grow" />
        <button
          type="button"
          class="quiet"
          onClick={() => void page.current?.requestFullscreen().catch(() => undefined)}
        >
          {board.full}
        </button>
        {store.may('operator') && sale.status === 'active' && (
          <Act class="danger" busy={store.busy.has(`run:${saleId}`)} onAct={() => void pauseSale(store, sale)}>
            {board.pause}
          </Act>
        )}
      </div>
      <p class={troubles.length > 0 ? 'state bad' : 'state good'} role="status">
        {overview.problem
          ? board.stale(format.clock((seen.at(-1)?.at ?? 0) * 1_000))
          : troubles.length > 0
            ? [
                board.trouble,
                ...troubles.map(({ name, plain, what }) => (
                  <span key={`${name} ${what}`} class="trouble">
                    {name && (
                      <>
                        <Engine name={name} plain={plain ?? name} />:{' '}
                      </>
                    )}
                    {what}
                  </span>
                )),
              ]
            : board.state}
      </p>
      <dl class="tiles">
        {tiles.map(([name, value, hint]) => (
          <div key={name} class="tile">
            <dt>{name}</dt>
            <dd class={sizeOf(value)}>
              {value}
              {hint && <span class="hint">{hint}</span>}
            </dd>
          </div>
        ))}
      </dl>
      <div class="charts">
        <Chart
          title={board.flow}
          times={times}
          marks={marks}
          curves={[
            curve(board.requestsCurve, '--curve-1', ({ requested }) => requested, true),
            curve(board.decidedCurve, '--curve-2', ({ decided }) => decided),
            curve(board.refused, '--curve-3', ({ refused }) => refused),
          ]}
        />
        <Chart
          title={board.stock}
          times={times}
          marks={marks}
          curves={[
            curve(board.free, '--curve-1', ({ available }) => available, true),
            curve(board.sold, '--curve-4', ({ sold }) => sold),
            curve(board.line, '--curve-2', ({ waiting }) => waiting),
          ]}
        />
        <Chart
          title={board.wait}
          times={times}
          marks={marks}
          curves={[curve(board.age, '--curve-3', ({ age }) => age, true)]}
        />
        <Chart
          title={words.console.inside.breakers}
          times={times}
          marks={marks}
          curves={[curve(board.cutOff, '--curve-3', ({ cutOff }) => cutOff, true)]}
        />
        <Chart
          title={board.soldFor(currency)}
          times={times}
          marks={marks}
          curves={[curve(board.sold, '--curve-4', ({ sold }) => sold * price, true)]}
        />
      </div>
      <p class="note">{board.soFar}</p>
    </section>
  );
}

/** The way back, and which sale this is. */
function Head({ sale }: { sale: SaleView }) {
  const { board, tabs } = useConsole().words.console;
  return (
    <>
      <a class="to-list always" href={`#/sales/${sale.saleId}`}>
        ← {tabs.now}
      </a>
      <div class="row apart" id="board-title">
        <Title>
          <span class="visually-hidden">{board.title}: </span>
          <Name>{sale.name}</Name>
        </Title>
        <PhaseBadge sale={sale} />
      </div>
    </>
  );
}

/** What does not work: the engine's name of it, if it has one, the same in plain words, and what that means. */
function troublesOf(
  { breakers, queues, mirror }: SaleOverview,
  words: ReturnType<typeof useConsole>['words'],
  partName: (name: string) => string,
): { name?: string; plain?: string; what: string }[] {
  const { inside } = words.console;
  return [
    ...Object.entries(breakers)
      .filter(([, state]) => state !== 'closed')
      .map(([name, state]) => ({ name, plain: partName(name), what: inside.breaker[state] })),
    ...(mirror ? [] : [{ what: inside.copyGone }]),
    ...Object.entries(queues)
      .filter(([, { deadLetters }]) => deadLetters > 0)
      .map(([name]) => ({ name, plain: nameIn(inside.queueNames, name), what: inside.dead })),
  ];
}
