/** One customer's whole story, newest first. */
import { useState } from 'preact/hooks';
import { dataOf } from '#client/http.ts';
import { Problem } from '#client/problem.ts';
import { Act, Choices, Dialog, Name } from '../parts.tsx';
import type { Story } from '../types.ts';
import {
  Engine,
  Facts,
  Failed,
  Form,
  ListEnd,
  lines,
  nameIn,
  Submit,
  Table,
  TextField,
  Title,
  useConsole,
  Waiting,
} from './parts.tsx';
import { useRead } from './reads.ts';

type Item = Story['items'][number];

export function StoryPage({ customerId }: { customerId: string }) {
  const store = useConsole();
  const { api, words, format } = store;
  const { story, list } = words.console;
  const read = (query: { cursor?: string }) => {
    const params = { path: { customerId }, query: { limit: 50, ...query } };
    return dataOf(api.http.GET('/ops/customers/{customerId}', { params }));
  };
  const first = useRead(`story:${customerId}`, () => read({}));
  const [older, setOlder] = useState<{ items: Item[]; cursor: string | null }>();
  const [naming, setNaming] = useState(false);
  const { data, problem } = first;
  if (!data) {
    return (
      <>
        <Title>{story.title}</Title>
        {problem ? <Failed text={store.problemText(problem)} onRetry={() => void first.again()} /> : <Waiting />}
      </>
    );
  }
  const { customer } = data;
  const cursor = older ? older.cursor : data.nextCursor;
  const items = [...data.items, ...(older?.items ?? [])];
  const readOlder = () =>
    store.act('story', async () => {
      const page = await read({ cursor: cursor ?? '' });
      setOlder({ items: [...(older?.items ?? []), ...page.items], cursor: page.nextCursor });
    });
  return (
    <>
      <Title>
        {story.title}: <Name>{customer.name}</Name>
      </Title>
      <div class="row">
        <Act class="quiet" busy={false} onAct={() => history.back()}>
          ← {story.back}
        </Act>
        {store.may('operator') && (
          <Act class="quiet" busy={store.busy.has('external')} onAct={() => setNaming(true)}>
            {story.external}
          </Act>
        )}
      </div>
      <Facts
        wide
        facts={[
          { name: words.sign.email, value: <bdi>{customer.email}</bdi> },
          ...(customer.customerExternalId === null
            ? []
            : [{ name: words.console.people.member, value: <code>{customer.customerExternalId}</code> }]),
          { name: words.console.operators.role, value: words.console.role[customer.role] },
          { name: story.account, value: format.dated(customer.createdAt) },
          { name: words.console.operators.account, value: <code>{customer.customerId}</code> },
        ]}
      />
      {items.length === 0 ? (
        <p class="empty">{story.none}</p>
      ) : (
        <Table
          caption={story.title}
          hidden
          items={items}
          keyOf={({ at, kind, subjectId, what }) => `${at} ${kind} ${subjectId} ${JSON.stringify(what)}`}
          columns={[
            { name: words.console.people.when, cell: ({ at }) => format.time(at) },
            { name: story.what, cell: ({ kind }) => story.kind[kind] },
            { name: story.details, cell: (item) => <Details item={item} currency={currencyOf(item, items)} /> },
            { name: story.about, cell: ({ subjectId }) => subjectId && <code class="soft">{subjectId}</code> },
          ]}
        />
      )}
      <ListEnd
        more={cursor !== null}
        reading={store.busy.has('story')}
        onMore={() => void readOlder()}
        label={cursor === null ? list.more : story.older}
      />
      {naming && <ExternalId customer={customer} onDone={() => setNaming(false)} onSaved={first.again} />}
    </>
  );
}

/** Says how a system of the shop's own knows a customer. */
function ExternalId(props: { customer: Story['customer']; onDone: () => void; onSaved: () => Promise<void> }) {
  const { customer, onDone, onSaved } = props;
  const store = useConsole();
  const { words } = store;
  const { story, ask } = words.console;
  const [typed, setTyped] = useState(customer.customerExternalId ?? '');
  const [problem, setProblem] = useState<string>();
  const submit = () =>
    store.act('external', async () => {
      const externalId = typed.trim() === '' ? null : typed.trim();
      try {
        const params = { path: { customerId: customer.customerId } };
        await store.api.http.POST('/ops/customers/{customerId}/external-id', { params, body: { externalId } });
      } catch (refusal) {
        if (!(refusal instanceof Problem) || refusal.code !== 'external_id_taken') throw refusal;
        return setProblem(words.problems.external_id_taken);
      }
      store.say('good', story.externalSaved);
      onDone();
      await onSaved();
    });
  return (
    <Dialog labelledBy="external-title" class="ask" onClose={onDone}>
      <Form onSubmit={() => void submit()}>
        <h2 id="external-title">{story.externalTitle(customer.name)}</h2>
        <TextField
          label={story.externalId}
          value={typed}
          onValue={setTyped}
          hint={story.externalHint}
          problem={problem}
          most={255}
        />
        <Choices back={words.frame.back} onBack={onDone}>
          <Submit busy={store.busy.has('external')}>{ask.save}</Submit>
        </Choices>
      </Form>
    </Dialog>
  );
}

const textOf = (value: unknown) => (typeof value === 'string' ? value : '');
const isNumber = (value: unknown): value is number => typeof value === 'number';

/** The currency of a purchase or of a refund of it, if the purchase is among what is shown. */
function currencyOf({ subjectId }: Item, items: readonly Item[]): string | undefined {
  return items.map((item) => (item.subjectId === subjectId ? textOf(item.what.currency) : '')).find(Boolean);
}

/** What happened, in a line of words. */
function Details({ item: { kind, what }, currency }: { item: Item; currency: string | undefined }) {
  const store = useConsole();
  const { words, format } = store;
  const { story, purchase } = words.console;
  const sale = store.sales.get(textOf(what.saleId));
  const why = nameIn(words.console.reasons, textOf(what.reason));
  const named = (names: object, name: unknown) => nameIn(names, textOf(name));
  const money =
    isNumber(what.amountMinor) && currency !== undefined
      ? format.money({ amountMinor: what.amountMinor, currency })
      : undefined;
  const reference = textOf(what.reference);
  const byKey = what.keyId ? story.byKey(textOf(what.keyId)) : '';
  switch (kind) {
    case 'reservation':
      return (
        <>
          {lines(
            named(words.console.states, what.state),
            isNumber(what.quantity) && story.units(format.number(what.quantity), format.isOne(what.quantity)),
            why,
            reference,
            byKey,
          )}{' '}
          {sale && (
            <a href={`#/sales/${sale.saleId}/people`}>
              <Name>{sale.name}</Name>
            </a>
          )}
        </>
      );
    case 'purchase':
      return <>{lines(named(words.console.purchaseStates, what.state), money, why, reference, byKey)}</>;
    case 'refund':
      return <>{lines(named(purchase.refundState, what.state), money, why)}</>;
    case 'notice':
      return <>{lines(named(story.notices, what.notice), what.readAt ? story.read : story.unread)}</>;
    default:
      return <Engine name={textOf(what.act)} plain={named(words.console.acts.did, what.act)} />;
  }
}
