/** Who has what in a sale: its reservations, purchases and customers, as lists to search and as files to take along. */
import { useState } from 'preact/hooks';
import { dataOf } from '#client/http.ts';
import type { Api, PageQuery } from '../api.ts';
import { Act, Badge, Choices, Dialog, Name } from '../parts.tsx';
import type { FoundCustomer, FoundPurchase, FoundReservation, ListName, ListQuery, Page } from '../types.ts';
import { TimeField } from './fields.tsx';
import { LabelButton } from './labels.tsx';
import {
  type Column,
  Failed,
  Form,
  ListEnd,
  nameIn,
  SelectField,
  Submit,
  Table,
  TextField,
  useConsole,
  Waiting,
} from './parts.tsx';
import { usePages } from './reads.ts';
import { momentOf, type TypedTime } from './times.ts';

interface Filters {
  list: ListName;
  state: NonNullable<ListQuery['state']> | '';
  email: string;
  customerExternalId: string;
  externalId: string;
  reference: string;
  from: TypedTime;
  to: TypedTime;
}

const nothing: Filters = {
  ...{ list: 'reservations', state: '', email: '', customerExternalId: '', externalId: '', reference: '' },
  ...{ from: { local: '' }, to: { local: '' } },
};

/** What is asked of the API. Undefined if a time is none. */
function queryOf({ state, from, to, ...texts }: Filters, zone: string): ListQuery | undefined {
  const query: ListQuery = state ? { state } : {};
  for (const name of ['email', 'customerExternalId', 'externalId', 'reference'] as const) {
    const value = texts[name].trim();
    if (value) query[name] = value;
  }
  for (const [name, typed] of [
    ['from', from],
    ['to', to],
  ] as const) {
    if (typed.local === '') continue;
    const moment = momentOf(typed, zone);
    if ('problem' in moment) return undefined;
    query[name] = new Date(moment.ms).toISOString();
  }
  return query;
}

export function PeoplePage({ saleId }: { saleId: string }) {
  const store = useConsole();
  const { words, zone, api } = store;
  const { people, ask, time } = words.console;
  const [typed, setTyped] = useState(nothing);
  const [sent, setSent] = useState<{ list: ListName; query: ListQuery }>({ list: 'reservations', query: {} });
  const [marked, setMarked] = useState(false);
  const set = (change: Partial<Filters>) => setTyped({ ...typed, ...change });
  const stateWords = typed.list === 'purchases' ? words.console.purchaseStates : words.console.states;
  const options = Object.entries(stateWords) as [NonNullable<ListQuery['state']>, string][];
  const query = queryOf(typed, zone);
  const problemOf = (value: TypedTime) => {
    if (!marked || value.local === '') return undefined;
    const moment = momentOf(value, zone);
    return 'problem' in moment ? time[moment.problem] : undefined;
  };
  const submit = () => {
    setMarked(true);
    if (query !== undefined) setSent({ list: typed.list, query });
  };
  return (
    <section class="people">
      <Form class="card form-grid" onSubmit={submit} label={words.console.tabs.people}>
        <SelectField
          label={people.kind}
          value={typed.list}
          onValue={(list) => set({ list, state: '' })}
          options={(['reservations', 'purchases', 'customers'] as const).map((list) => [list, people[list]] as const)}
        />
        <SelectField
          label={people.state}
          value={typed.state}
          onValue={(state) => set({ state })}
          options={[['', people.any] as const, ...options]}
        />
        <TextField label={people.email} value={typed.email} onValue={(email) => set({ email })} most={254} />
        <TextField
          label={people.member}
          value={typed.customerExternalId}
          onValue={(customerExternalId) => set({ customerExternalId })}
          most={255}
          mono
        />
        <TextField
          label={people.charge}
          value={typed.externalId}
          onValue={(externalId) => set({ externalId })}
          most={64}
          mono
        />
        <TextField
          label={people.reference}
          value={typed.reference}
          onValue={(reference) => set({ reference })}
          most={64}
          mono
        />
        <TimeField
          label={people.from}
          value={typed.from}
          onValue={(from) => set({ from })}
          problem={problemOf(typed.from)}
        />
        <TimeField label={people.before} value={typed.to} onValue={(to) => set({ to })} problem={problemOf(typed.to)} />
        <div class="row wide end">
          {store.may('operator') && (
            <Act
              class="quiet"
              busy={store.busy.has(`save:${typed.list}`)}
              onAct={() => {
                setMarked(true);
                if (query === undefined) return;
                const { list } = typed;
                void store.save(list, (next) =>
                  api.http.GET('/ops/sales/{saleId}/exports/{list}', {
                    params: { path: { saleId, list }, query: { ...query, ...next } },
                    parseAs: 'blob',
                  }),
                );
              }}
            >
              {ask.csv}
            </Act>
          )}
          <Submit busy={false}>{people.go}</Submit>
        </div>
      </Form>
      <Found key={JSON.stringify(sent)} saleId={saleId} list={sent.list} query={sent.query} />
    </section>
  );
}

type Item = FoundReservation | FoundPurchase | FoundCustomer;

/** Reads a page of a list. The form offers the states of that list alone. */
function readList(
  http: Api['http'],
  saleId: string,
  list: ListName,
  query: ListQuery & PageQuery,
): Promise<Page<Item>> {
  const call = { params: { path: { saleId }, query: query as typeof query & { state?: never } } };
  switch (list) {
    case 'reservations':
      return dataOf(http.GET('/ops/sales/{saleId}/reservations', call));
    case 'purchases':
      return dataOf(http.GET('/ops/sales/{saleId}/purchases', call));
    case 'customers':
      return dataOf(http.GET('/ops/sales/{saleId}/customers', call));
  }
}

function Found({ saleId, list, query }: { saleId: string; list: ListName; query: ListQuery }) {
  const { words, api } = useConsole();
  const name = `${saleId} ${list} ${JSON.stringify(query)}`;
  const pages = usePages(name, (page) => readList(api.http, saleId, list, { ...query, ...page }));
  const [granting, setGranting] = useState<FoundReservation>();
  const columns = useColumns(saleId, list, setGranting);
  if (pages.state === 'loading') return <Waiting />;
  if (pages.state === 'failed') return <FoundFailed problem={pages.problem} onRetry={() => void pages.again()} />;
  return (
    <>
      {pages.items.length === 0 ? (
        !pages.more && <p class="empty">{words.console.list.none}</p>
      ) : (
        <Table caption={words.console.people[list]} columns={columns} items={pages.items} keyOf={keyOf} />
      )}
      <ListEnd
        more={pages.more}
        reading={pages.reading}
        onMore={() => void pages.readMore()}
        label={words.console.list.further}
      />
      {granting && (
        <GrantDialog
          saleId={saleId}
          reservation={granting}
          onDone={(granted) => {
            setGranting(undefined);
            if (granted) void pages.again();
          }}
        />
      )}
    </>
  );
}

function FoundFailed({ problem, onRetry }: { problem: unknown; onRetry: () => void }) {
  const store = useConsole();
  return <Failed text={store.problemText(problem)} onRetry={onRetry} />;
}

const keyOf = (item: Item): string => {
  if ('reservationId' in item) return item.reservationId;
  return 'amountMinor' in item ? item.purchaseId : item.customerId;
};

/** The columns of a list. */
function useColumns(saleId: string, list: ListName, onGrant: (item: FoundReservation) => void): Column<Item>[] {
  const store = useConsole();
  const { words, format } = store;
  const { people, list: listWords } = words.console;
  const who: Column<Item> = { name: people.customer, cell: (item) => <Who item={item} /> };
  const isReservation = (item: Item): item is FoundReservation => 'reservationId' in item;
  const isPurchase = (item: Item): item is FoundPurchase => 'amountMinor' in item;
  const isCustomer = (item: Item): item is FoundCustomer => 'unitsHeld' in item;
  /** A column of items of one kind; a list has only those. */
  const of =
    <Kind extends Item>(is: (item: Item) => item is Kind) =>
    (
      name: string,
      cell: (item: Kind) => Column<Item>['cell'] extends (item: Item) => infer Content ? Content : never,
      numeric = false,
    ): Column<Item> => ({
      ...{ name, numeric },
      cell: (item) => (is(item) ? cell(item) : null),
    });
  const reason = (code: string | null) => code !== null && nameIn(words.console.reasons, code);
  const actions: Column<Item> = {
    name: listWords.action,
    cell: (item) => (
      <span class="row">
        <a class="button quiet slim" href={`#/customers/${item.customerId}`}>
          {people.story}
        </a>
        {isPurchase(item) && (
          <a class="button quiet slim" href={`#/sales/${saleId}/purchases/${item.purchaseId}/${item.customerId}`}>
            {store.may('operator') ? people.refund : people.look}
          </a>
        )}
        {isReservation(item) && <LabelButton kind="reservation" subjectId={item.reservationId} slim />}
        {isReservation(item) && item.state === 'waitlisted' && store.may('operator') && (
          <button type="button" class="quiet slim" onClick={() => onGrant(item)}>
            {people.grant}
          </button>
        )}
      </span>
    ),
  };
  const number = (id: string) => <code class="soft">{id}</code>;
  if (list === 'reservations') {
    const column = of(isReservation);
    return [
      who,
      column(people.state, ({ state }) => <Badge kind={state}>{words.console.states[state]}</Badge>),
      column(people.quantity, ({ quantity }) => format.number(quantity), true),
      column(people.units, ({ units }) => format.number(units), true),
      column(people.reason, ({ reason: code }) => reason(code)),
      column(people.reference, ({ reference }) => reference && <code>{reference}</code>),
      column(people.when, ({ acceptedAt }) => format.time(acceptedAt)),
      column(people.number, ({ reservationId }) => number(reservationId)),
      actions,
    ];
  }
  if (list === 'purchases') {
    const column = of(isPurchase);
    return [
      who,
      column(people.state, ({ state }) => <Badge kind={state}>{words.console.purchaseStates[state]}</Badge>),
      column(people.units, ({ units }) => format.number(units), true),
      column(people.amount, ({ amountMinor, currency }) => format.money({ amountMinor, currency }), true),
      column(people.charge, ({ externalId }) => externalId && <code>{externalId}</code>),
      column(people.reference, ({ reference }) => reference && <code>{reference}</code>),
      column(people.when, ({ createdAt }) => format.time(createdAt)),
      column(people.number, ({ purchaseId }) => number(purchaseId)),
      actions,
    ];
  }
  const column = of(isCustomer);
  return [
    who,
    column(people.held, ({ unitsHeld }) => format.number(unitsHeld), true),
    column(people.bought, ({ unitsBought }) => format.number(unitsBought), true),
    column(people.first, ({ firstAt }) => format.time(firstAt)),
    column(people.number, ({ customerId }) => number(customerId)),
    actions,
  ];
}

/** Whose it is, by name and address. */
function Who({ item }: { item: Pick<Item, 'name' | 'email' | 'customerExternalId'> }) {
  const { people } = useConsole().words.console;
  if (item.email === null) return <span class="soft">{people.gone}</span>;
  return (
    <>
      {item.name !== null && (
        <strong>
          <Name>{item.name}</Name>
        </strong>
      )}{' '}
      <bdi class="soft small">{item.email}</bdi>{' '}
      {item.customerExternalId !== null && <code class="soft small">{item.customerExternalId}</code>}
    </>
  );
}

/** Gives units to somebody who waits, with a reason. */
function GrantDialog(props: { saleId: string; reservation: FoundReservation; onDone: (granted: boolean) => void }) {
  const { saleId, reservation, onDone } = props;
  const store = useConsole();
  const { words, format } = store;
  const { people, field } = words.console;
  const [reason, setReason] = useState('');
  const [problem, setProblem] = useState<string>();
  const submit = () => {
    const wrong = reason.trim().length < 3 ? field.missing : undefined;
    setProblem(wrong);
    if (wrong) return;
    const { reservationId } = reservation;
    void store.act(
      'grant',
      async () => {
        const body = { reservationId, reason: reason.trim() };
        await store.api.http.POST('/sales/{saleId}/grants', { params: { path: { saleId } }, body });
        store.say('good', people.granted);
        onDone(true);
      },
      { illegal_state: people.grantLate },
    );
  };
  const who = reservation.name ?? reservation.email ?? people.gone;
  return (
    <Dialog labelledBy="grant-title" onClose={() => onDone(false)}>
      <Form onSubmit={submit}>
        <h2 id="grant-title">
          {people.grantTitle(format.number(reservation.quantity), who, format.isOne(reservation.quantity))}
        </h2>
        <p>{people.grantHint}</p>
        <TextField
          label={people.grantWhy}
          value={reason}
          onValue={setReason}
          hint={people.grantWhyHint}
          problem={problem}
          most={500}
        />
        <Choices back={words.frame.back} onBack={() => onDone(false)}>
          <Submit busy={store.busy.has('grant')}>{people.grantGo}</Submit>
        </Choices>
      </Form>
    </Dialog>
  );
}
