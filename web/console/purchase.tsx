/** One purchase of a sale, what was given back of it, and giving back: everything, an amount, or the price of some units. */
import { useState } from 'preact/hooks';
import { dataOf } from '#client/http.ts';
import { Badge, Name } from '../parts.tsx';
import type { FoundPurchase, FoundReservation, RefundRequest } from '../types.ts';
import { MoneyField, useAmount } from './fields.tsx';
import { LabelButton } from './labels.tsx';
import { Facts, Failed, Form, SelectField, Submit, Table, TextField, useConsole, Waiting, wholeOf } from './parts.tsx';
import { lookMs, useRead } from './reads.ts';

interface Props {
  saleId: string;
  purchaseId: string;
  customerId: string;
}

interface Known {
  readonly purchase: FoundPurchase;
  /** What it has paid for in this sale. */
  readonly reservations: readonly FoundReservation[];
  readonly refunds: readonly RefundItem[];
}

interface RefundItem {
  readonly at: string;
  readonly amountMinor: number;
  readonly state: 'pending' | 'refunded' | 'failed';
  readonly reason: string;
  readonly failure: string | null;
}

export function PurchasePage({ saleId, purchaseId, customerId }: Props) {
  const { api, words, format } = useConsole();
  const { purchase: text } = words.console;
  const { data, problem, again } = useRead(
    `purchase:${purchaseId}`,
    async (): Promise<Known | 'none'> => {
      const { http } = api;
      const limit = 100;
      const ofCustomer = { params: { path: { saleId }, query: { customerId, limit } } };
      const [purchases, reservations, story] = await Promise.all([
        dataOf(http.GET('/ops/sales/{saleId}/purchases', ofCustomer)),
        dataOf(http.GET('/ops/sales/{saleId}/reservations', ofCustomer)),
        dataOf(http.GET('/ops/customers/{customerId}', { params: { path: { customerId }, query: { limit } } })),
      ]);
      const purchase = purchases.items.find((item) => item.purchaseId === purchaseId);
      if (!purchase) return 'none';
      return {
        purchase,
        reservations: reservations.items.filter((item) => item.purchaseId === purchaseId),
        refunds: story.items
          .filter(({ kind, subjectId }) => kind === 'refund' && subjectId === purchaseId)
          .map(({ at, what }) => ({ at, ...(what as Omit<RefundItem, 'at'>) })),
      };
    },
    // A refund's end is seen without doing anything.
    lookMs,
  );
  const back = (
    <a class="to-list always" href={`#/sales/${saleId}/people`}>
      ← {text.back}
    </a>
  );
  if (!data || data === 'none') {
    return (
      <>
        {back}
        {data === 'none' ? (
          <p class="empty">{text.notFound}</p>
        ) : problem ? (
          <Failed onRetry={() => void again()} />
        ) : (
          <Waiting />
        )}
      </>
    );
  }
  const { purchase, refunds } = data;
  const { currency } = purchase;
  const amount = (amountMinor: number) => format.money({ amountMinor, currency });
  return (
    <>
      {back}
      <section class="card" aria-labelledby="purchase-title">
        <div class="row apart">
          <h2 id="purchase-title">{text.title}</h2>
          <Badge kind={purchase.state}>{words.console.purchaseStates[purchase.state]}</Badge>
        </div>
        <Facts
          wide
          facts={[
            {
              name: text.customer,
              value: (
                <>
                  <Name>{purchase.name ?? words.console.people.gone}</Name>
                  <span class="hint">
                    <bdi>{purchase.email ?? ''}</bdi>
                  </span>
                </>
              ),
            },
            { name: text.ordered, value: amount(purchase.amountMinor) },
            { name: text.captured, value: purchase.capturedMinor === null ? '–' : amount(purchase.capturedMinor) },
            { name: text.units, value: format.number(purchase.units) },
            { name: text.charge, value: purchase.externalId ? <code>{purchase.externalId}</code> : '–' },
            { name: words.console.people.number, value: <code>{purchaseId}</code> },
          ]}
        />
        <LabelButton kind="purchase" subjectId={purchaseId} />
        <h3>{text.refunds}</h3>
        {refunds.length === 0 ? (
          <p class="soft">{text.noRefunds}</p>
        ) : (
          <Table
            caption={text.refunds}
            hidden
            items={refunds}
            keyOf={({ at, amountMinor }) => `${at} ${amountMinor}`}
            columns={[
              { name: words.console.people.when, cell: ({ at }) => format.time(at) },
              { name: words.console.people.amount, cell: ({ amountMinor }) => amount(amountMinor), numeric: true },
              {
                name: words.console.people.state,
                cell: ({ state }) => (
                  <Badge kind={state === 'failed' ? 'bad' : state === 'refunded' ? 'ok' : 'paused'}>
                    {text.refundState[state]}
                  </Badge>
                ),
              },
            ]}
          />
        )}
      </section>
      <RefundForm known={data} onDone={again} />
    </>
  );
}

const refundable: ReadonlySet<FoundPurchase['state']> = new Set(['captured', 'refunding', 'refund_failed', 'refunded']);

function RefundForm({ known, onDone }: { known: Known; onDone: () => Promise<void> }) {
  const store = useConsole();
  const { words, format } = store;
  const { purchase: text } = words.console;
  const { purchase, reservations, refunds } = known;
  const { purchaseId, currency, capturedMinor } = purchase;
  const [how, setHow] = useState<'all' | 'amount' | 'some'>('all');
  const [typed, setTyped] = useState('');
  const [units, setUnits] = useState<Record<string, string>>({});
  const [returns, setReturns] = useState(true);
  const [problems, setProblems] = useState<Record<string, string>>({});
  const amountOf = useAmount();
  const given = refunds.reduce((sum, { state, amountMinor }) => sum + (state === 'failed' ? 0 : amountMinor), 0);
  const left = Math.max(0, (capturedMinor ?? 0) - given);
  if (!store.may('operator') || capturedMinor === null || !refundable.has(purchase.state)) return null;
  const bought = reservations.filter(({ state }) => state === 'purchased');
  const who = purchase.name ?? purchase.email ?? words.console.people.gone;

  function request(): { body?: RefundRequest; question: string } | undefined {
    if (how === 'all') return { question: text.askAll(who) };
    if (how === 'amount') {
      const amount = amountOf(typed, currency, left);
      setProblems(amount.problem === undefined ? {} : { amount: amount.problem });
      if (amount.problem !== undefined) return undefined;
      const { amountMinor } = amount;
      return { body: { amountMinor }, question: text.ask(format.money({ amountMinor, currency }), who) };
    }
    const found: Record<string, string> = {};
    const items: { reservationId: string; units: number }[] = [];
    for (const { reservationId, units: most } of bought) {
      const whole = wholeOf(units[reservationId] ?? '0', { least: 0, most }, words, format);
      if (whole.problem !== undefined) found[reservationId] = whole.problem;
      else if (whole.value > 0) items.push({ reservationId, units: whole.value });
    }
    const [first] = bought;
    if (items.length === 0 && first && Object.keys(found).length === 0) found[first.reservationId] = text.chooseUnits;
    setProblems(found);
    if (Object.keys(found).length > 0) return undefined;
    const count = items.reduce((sum, item) => sum + item.units, 0);
    const question = text.ask(words.console.story.units(format.number(count), format.isOne(count)), who);
    return { body: { items, cancel: returns ? items : [] }, question };
  }

  function submit(): void {
    const wanted = request();
    if (!wanted) return;
    void store.act(
      'refund',
      async () => {
        if (!(await store.sure(wanted.question, text.giveBack))) return;
        const { body } = wanted;
        const params = { path: { purchaseId } };
        await store.api.http.POST('/purchases/{purchaseId}/refund', { params, ...(body ? { body } : {}) });
        store.say('good', text.refundOrdered);
        await onDone();
      },
      { illegal_state: text.tooMuch },
    );
  }

  return (
    <section class="card" aria-labelledby="refund-title">
      <h2 id="refund-title">{text.giveBack}</h2>
      <Form class="form-grid" onSubmit={submit} label={text.giveBack}>
        <SelectField
          label={text.how}
          value={how}
          onValue={setHow}
          options={[
            ['all', text.all],
            ['amount', text.amount],
            ...(bought.length > 0 ? ([['some', text.some]] as const) : []),
          ]}
          hint={how === 'all' ? text.allHint : how === 'amount' ? text.amountHint : ''}
        />
        {how === 'amount' && (
          <MoneyField
            label={text.amount}
            value={typed}
            onValue={(value) => {
              setTyped(value);
              setProblems({});
            }}
            currency={currency}
            most={left}
            problem={problems.amount}
          />
        )}
        {how === 'some' &&
          bought.map(({ reservationId, units: most }) => (
            <TextField
              key={reservationId}
              label={`${text.unitsBack} (${reservationId.slice(-6)})`}
              numeric
              value={units[reservationId] ?? '0'}
              onValue={(value) => setUnits({ ...units, [reservationId]: value })}
              hint={text.of(format.number(most))}
              problem={problems[reservationId]}
            />
          ))}
        {how === 'some' && (
          <label class="choice">
            <input
              type="checkbox"
              checked={returns}
              onChange={({ currentTarget }) => setReturns(currentTarget.checked)}
            />
            {text.also}
          </label>
        )}
        <div class="row wide end">
          <Submit busy={store.busy.has('refund')} danger>
            {text.go}
          </Submit>
        </div>
      </Form>
    </section>
  );
}
