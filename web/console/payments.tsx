/** Payments that wait for an operator: disputes, and refunds that the provider refused. */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { dataOf } from '#client/http.ts';
import { Act, Choices, Dialog } from '../parts.tsx';
import type { DisputeView, FailedRefund } from '../types.ts';
import { MoneyField, useAmount } from './fields.tsx';
import { Failed, ListEnd, nameIn, Table, Title, useConsole, Waiting } from './parts.tsx';
import { type Pages, usePages } from './reads.ts';

export function PaymentsPage() {
  const { words } = useConsole();
  const { payments } = words.console;
  return (
    <>
      <Title>{payments.title}</Title>
      <p class="note">{payments.find}</p>
      <Disputes />
      <FailedRefunds />
    </>
  );
}

function List<T>(props: { pages: Pages<T>; none: string; children: ComponentChildren }) {
  const { pages, none, children } = props;
  if (pages.state === 'loading') return <Waiting />;
  if (pages.state === 'failed') return <Failed onRetry={() => void pages.again()} />;
  return (
    <>
      {pages.items.length === 0 ? <p class="empty">{none}</p> : children}
      <ListEnd more={pages.more} reading={pages.reading} onMore={() => void pages.readMore()} />
    </>
  );
}

function Disputes() {
  const store = useConsole();
  const { words, format } = store;
  const { payments, list } = words.console;
  const pages = usePages('disputes', (query) => dataOf(store.api.http.GET('/ops/disputes', { params: { query } })));
  const [deciding, setDeciding] = useState<DisputeView>();
  const told = ({ told: { amountMinor, currency } }: DisputeView) => {
    if (amountMinor === null) return payments.everything;
    return currency === null ? format.number(amountMinor) : format.money({ amountMinor, currency });
  };
  return (
    <section aria-labelledby="disputes-title">
      <h2 id="disputes-title">{payments.disputes}</h2>
      <List pages={pages} none={payments.noDisputes}>
        <Table
          caption={payments.disputes}
          hidden
          items={pages.items}
          keyOf={({ purchaseId, refund }) => `${purchaseId} ${refund}`}
          columns={[
            { name: payments.purchase, cell: ({ purchaseId }) => <code>{purchaseId}</code> },
            { name: payments.reason, cell: ({ reason }) => nameIn(payments.reasons, reason).replaceAll('_', ' ') },
            { name: payments.told, cell: told, numeric: true },
            { name: payments.ordered, cell: ({ ordered }) => format.money(ordered), numeric: true },
            { name: payments.since, cell: ({ toldAt }) => format.time(toldAt) },
            {
              name: list.action,
              cell: (dispute) =>
                store.may('operator') && (
                  <button type="button" class="quiet slim" onClick={() => setDeciding(dispute)}>
                    {payments.decide}
                  </button>
                ),
            },
          ]}
        />
      </List>
      {deciding && (
        <DisputeDialog
          dispute={deciding}
          onDone={(decided) => {
            setDeciding(undefined);
            if (decided) void pages.again();
          }}
        />
      )}
    </section>
  );
}

function DisputeDialog({ dispute, onDone }: { dispute: DisputeView; onDone: (decided: boolean) => void }) {
  const store = useConsole();
  const { words, format } = store;
  const { payments } = words.console;
  const { purchaseId, refund, ordered } = dispute;
  const [typed, setTyped] = useState('');
  const [problem, setProblem] = useState<string>();
  const amountOf = useAmount();
  // What the provider said in another currency, or not at all, has to be typed by the operator.
  const asksAmount = refund !== null && dispute.told.currency !== ordered.currency && dispute.told.amountMinor !== null;
  const decisions = refund
    ? ([
        ['accept', payments.record],
        ['reject', payments.reject],
      ] as const)
    : ([
        ['accept', payments.accept],
        ['refund', payments.giveBack],
      ] as const);
  const decide = (decision: 'accept' | 'refund' | 'reject') => {
    const amount = decision === 'accept' && typed.trim() !== '' ? amountOf(typed, ordered.currency) : undefined;
    setProblem(amount?.problem);
    if (amount?.problem !== undefined) return;
    const given = amount ? { amountMinor: amount.amountMinor } : {};
    void store.act('dispute', async () => {
      const body = { decision, ...(refund ? { refund, ...given } : {}) };
      await store.api.http.POST('/purchases/{purchaseId}/dispute', { params: { path: { purchaseId } }, body });
      store.say('good', payments.decided);
      onDone(true);
    });
  };
  const busy = store.busy.has('dispute');
  return (
    <Dialog labelledBy="dispute-title" class="ask" onClose={() => onDone(false)}>
      <h2 id="dispute-title">{payments.decide}</h2>
      <p>{refund ? payments.refund : payments.capture}</p>
      <p class="note">
        {payments.ordered}: {format.money(ordered)}
      </p>
      {asksAmount && (
        <MoneyField
          label={payments.howMuch(ordered.currency)}
          value={typed}
          onValue={setTyped}
          currency={ordered.currency}
          problem={problem}
        />
      )}
      <Choices back={words.frame.back} onBack={() => onDone(false)}>
        {decisions.map(([decision, label]) => (
          <Act key={decision} busy={busy} class="danger" onAct={() => decide(decision)}>
            {label}
          </Act>
        ))}
      </Choices>
    </Dialog>
  );
}

function FailedRefunds() {
  const store = useConsole();
  const { words, format } = store;
  const { payments, list } = words.console;
  const { http } = store.api;
  const pages = usePages('failed-refunds', (query) => dataOf(http.GET('/ops/failed-refunds', { params: { query } })));
  const settle = ({ purchaseId, amount }: FailedRefund, how: 'retry' | 'waive') =>
    store.act(`failed:${purchaseId}`, async () => {
      const question = (how === 'retry' ? payments.askRetry : payments.askWaive)(format.money(amount));
      if (!(await store.sure(question, payments[how]))) return;
      const body = how === 'retry' ? ({ retryFailed: true } as const) : ({ waiveFailed: true } as const);
      await http.POST('/purchases/{purchaseId}/refund', { params: { path: { purchaseId } }, body });
      store.say('good', how === 'retry' ? payments.again : payments.waived);
      await pages.again();
    });
  return (
    <section aria-labelledby="failed-title">
      <h2 id="failed-title">{payments.failed}</h2>
      <List pages={pages} none={payments.noFailed}>
        <Table
          caption={payments.failed}
          hidden
          items={pages.items}
          keyOf={({ purchaseId, createdAt, amount }) => `${purchaseId} ${createdAt} ${amount.amountMinor}`}
          columns={[
            { name: payments.purchase, cell: ({ purchaseId }) => <code>{purchaseId}</code> },
            { name: payments.amount, cell: ({ amount }) => format.money(amount), numeric: true },
            { name: payments.reason, cell: ({ failure }) => failure && <code>{failure.replaceAll('_', ' ')}</code> },
            { name: payments.since, cell: ({ updatedAt }) => format.time(updatedAt) },
            {
              name: list.action,
              cell: (refund) =>
                store.may('operator') && (
                  <span class="row">
                    {(['retry', 'waive'] as const).map((how) => (
                      <Act
                        key={how}
                        class="quiet slim"
                        busy={store.busy.has(`failed:${refund.purchaseId}`)}
                        onAct={() => void settle(refund, how)}
                      >
                        {payments[how]}
                      </Act>
                    ))}
                  </span>
                ),
            },
          ]}
        />
      </List>
    </section>
  );
}
