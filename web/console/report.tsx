/** The report of a sale: what came of it, to be read and printed. */
import { useMemo } from 'preact/hooks';
import { Name } from '../parts.tsx';
import type { SaleOverview, SaleReport, SaleView } from '../types.ts';
import { useMarks } from './board.tsx';
import { Chart } from './chart.tsx';
import { refusedOf } from './inside.tsx';
import { Facts, Failed, nameIn, Table, Title, useConsole, Waiting } from './parts.tsx';
import { useOverview, useReport } from './reads.ts';

export function ReportPage({ sale }: { sale: SaleView }) {
  const store = useConsole();
  const { words, format } = store;
  const { report: text } = words.console;
  const overview = useOverview(sale.saleId);
  const report = useReport(sale.saleId);
  // Of when it was read, not of when it is looked at or printed.
  const madeAt = useMemo(() => new Date(store.now()).toISOString(), [report.data]);
  const problem = overview.problem ?? report.problem;
  const again = () => Promise.all([overview.again(), report.again()]);
  return (
    <section class="report" aria-labelledby="report-title">
      <a class="to-list always" href={`#/sales/${sale.saleId}`}>
        ← {words.console.tabs.now}
      </a>
      <div class="row apart" id="report-title">
        <Title>
          {text.title}: <Name>{sale.name}</Name>
        </Title>
        <button type="button" class="quiet" onClick={() => print()}>
          {text.print}
        </button>
      </div>
      <p class="soft">{text.made(format.dated(madeAt))}</p>
      {overview.data && report.data ? (
        <Content sale={sale} overview={overview.data} report={report.data} />
      ) : problem ? (
        <Failed onRetry={() => void again()} />
      ) : (
        <Waiting>{report.requests > 0 && text.reading(format.number(report.requests))}</Waiting>
      )}
    </section>
  );
}

function Content({ sale, overview, report }: { sale: SaleView; overview: SaleOverview; report: SaleReport }) {
  const { words, format } = useConsole();
  const { report: text, sale: saleWords, off, inside } = words.console;
  const { stock } = overview;
  const { money } = report;
  const { currency } = money;
  const amount = (amountMinor: number) => format.money({ amountMinor, currency });
  const refunds = (['refunded', 'pending', 'failed'] as const).map((state) => {
    const { refunds: count, amountMinor } = money.refunds[state];
    return { name: off[state], value: off.counted(format.number(count), amount(amountMinor)) };
  });
  return (
    <>
      <h2>{text.what}</h2>
      <Facts
        wide
        facts={[
          { name: saleWords.reserving, value: format.span(sale.reserveOpensAt, sale.reserveClosesAt) },
          { name: saleWords.purchasing, value: format.span(sale.purchaseOpensAt, sale.purchaseClosesAt) },
          { name: saleWords.allotment, value: format.number(stock.allotment) },
          { name: saleWords.sold, value: format.number(stock.sold) },
          { name: saleWords.allocated, value: format.number(stock.allocated) },
          { name: saleWords.available, value: format.number(stock.available) },
          { name: saleWords.waitlisted, value: format.number(stock.waitlisted) },
          { name: inside.refused, value: format.number(refusedOf(overview)) },
        ]}
      />
      <h2>{text.money}</h2>
      <Facts
        wide
        facts={[
          { name: text.purchases, value: format.number(money.purchases) },
          { name: text.paid, value: amount(money.paidMinor) },
          ...refunds,
        ]}
      />
      <Curves sale={sale} report={report} />
      <Refusals overview={overview} report={report} />
      <Fairness report={report} />
    </>
  );
}

function Curves({ sale, report }: { sale: SaleView; report: SaleReport }) {
  const { words, format } = useConsole();
  const { report: text } = words.console;
  const marks = useMarks(sale);
  const { points, stepSeconds } = report;
  const times = points.map(({ at }) => Date.parse(at) / 1_000);
  const curve = (name: string, colour: string, values: number[], area = false) => ({ name, colour, values, area });
  return (
    <>
      <h2>{text.curves}</h2>
      {points.length === 0 ? (
        <p class="empty">{text.tooEarly}</p>
      ) : (
        <>
          <p class="note">{text.step(format.length(stepSeconds))}</p>
          <Chart
            title={words.console.board.requests}
            times={times}
            marks={marks}
            curves={[
              curve(
                text.requested,
                '--curve-1',
                points.map(({ requested }) => requested),
                true,
              ),
              curve(
                words.console.board.decidedCurve,
                '--curve-2',
                points.map(({ decided }) => decided),
              ),
            ]}
          />
          <Chart
            title={words.console.sale.units}
            times={times}
            marks={marks}
            curves={[
              curve(
                text.allocated,
                '--curve-1',
                points.map(({ allocated }) => allocated),
                true,
              ),
              curve(
                text.sold,
                '--curve-4',
                points.map(({ sold }) => sold),
              ),
              curve(
                text.released,
                '--curve-3',
                points.map(({ released }) => released),
              ),
            ]}
          />
        </>
      )}
    </>
  );
}

function Refusals({ overview, report }: { overview: SaleOverview; report: SaleReport }) {
  const { words, format } = useConsole();
  const { report: text, inside } = words.console;
  const nameOf = (reason: string) => {
    if (Object.hasOwn(inside.reasons, reason)) return inside.reasons[reason as keyof typeof inside.reasons];
    return nameIn(words.console.reasons, reason);
  };
  const rows = [
    ...Object.entries(overview.gate.refused).map(([reason, count]) => ({ reason, count, where: text.atGate })),
    ...Object.entries(report.turnedDown).map(([reason, count]) => ({ reason, count, where: text.inQueue })),
  ].filter(({ count }) => count > 0);
  return (
    <>
      <h2>{text.refusals}</h2>
      {rows.length === 0 ? (
        <p class="empty">{text.refusalsNone}</p>
      ) : (
        <Table
          caption={text.refusals}
          hidden
          items={rows.sort((one, other) => other.count - one.count)}
          keyOf={({ reason, where }) => `${reason} ${where}`}
          columns={[
            { name: text.reason, cell: ({ reason }) => nameOf(reason) },
            { name: text.where, cell: ({ where }) => where },
            { name: text.count, numeric: true, cell: ({ count }) => format.number(count) },
          ]}
        />
      )}
    </>
  );
}

function Fairness({ report }: { report: SaleReport }) {
  const { words, format } = useConsole();
  const { report: text } = words.console;
  const rows = report.turns.map((turn, index) => ({ ...turn, tenth: index + 1 }));
  const percent = new Intl.NumberFormat(document.documentElement.lang, { style: 'percent' });
  return (
    <>
      <h2>{text.fairness}</h2>
      {rows.length === 0 ? (
        <p class="empty">{text.tooEarly}</p>
      ) : (
        <Table
          caption={text.fairness}
          hidden
          items={rows}
          keyOf={({ tenth }) => String(tenth)}
          columns={[
            { name: text.tenth, cell: ({ tenth }) => format.number(tenth) },
            { name: words.console.board.requests, numeric: true, cell: ({ requests }) => format.number(requests) },
            {
              name: text.served,
              numeric: true,
              cell: ({ served, requests }) => (
                <>
                  {format.number(served)} <span class="soft">({percent.format(served / requests)})</span>
                </>
              ),
            },
            { name: text.waits, numeric: true, cell: ({ waiting }) => format.number(waiting) },
            { name: text.turned, numeric: true, cell: ({ turnedDown }) => format.number(turnedDown) },
            { name: text.left, numeric: true, cell: ({ left }) => format.number(left) },
          ]}
        />
      )}
      <p class="note">{text.fairnessHint}</p>
      <Facts facts={[{ name: text.granted, value: format.number(report.granted) }]} />
    </>
  );
}
