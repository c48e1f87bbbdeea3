/** What operators did: all of it, or what concerns one thing. */
import { useState } from 'preact/hooks';
import { dataOf } from '#client/http.ts';
import { Act, Name } from '../parts.tsx';
import type { ActsQuery } from '../types.ts';
import {
  Engine,
  Failed,
  Form,
  ListEnd,
  nameIn,
  Submit,
  Table,
  TextField,
  Title,
  useConsole,
  Waiting,
} from './parts.tsx';
import { usePages } from './reads.ts';

export function ActsPage() {
  const store = useConsole();
  const { acts, ask } = store.words.console;
  const [typed, setTyped] = useState({ subjectId: '', operatorId: '' });
  const [sent, setSent] = useState<ActsQuery>({});
  const submit = () => {
    const [subjectId, operatorId] = [typed.subjectId.trim(), typed.operatorId.trim()];
    setSent({ ...(subjectId ? { subjectId } : {}), ...(operatorId ? { operatorId } : {}) });
  };
  return (
    <>
      <Title>{acts.title}</Title>
      <p class="note">{acts.hint}</p>
      <Form class="card form-grid" onSubmit={submit} label={acts.filter}>
        <TextField
          label={acts.subject}
          value={typed.subjectId}
          onValue={(subjectId) => setTyped({ ...typed, subjectId })}
          mono
        />
        <TextField
          label={acts.operator}
          value={typed.operatorId}
          onValue={(operatorId) => setTyped({ ...typed, operatorId })}
          mono
        />
        <div class="row wide end">
          <Submit busy={false}>{acts.filter}</Submit>
          {store.may('operator') && (
            <Act
              class="quiet"
              busy={store.busy.has('save:acts')}
              onAct={() =>
                void store.save('acts', (query) =>
                  store.api.http.GET('/ops/acts/export', { params: { query }, parseAs: 'blob' }),
                )
              }
            >
              {ask.csv}
            </Act>
          )}
        </div>
      </Form>
      <List query={sent} />
    </>
  );
}

/** What was done about one thing. */
export function ActsOf({ subjectId }: { subjectId: string }) {
  return <List query={{ subjectId }} />;
}

function List({ query }: { query: ActsQuery }) {
  const store = useConsole();
  const { words, format } = store;
  const { acts } = words.console;
  const pages = usePages(JSON.stringify(query), (page) =>
    dataOf(store.api.http.GET('/ops/acts', { params: { query: { ...query, ...page } } })),
  );
  if (pages.state === 'loading') return <Waiting />;
  if (pages.state === 'failed') {
    return <Failed text={store.problemText(pages.problem)} onRetry={() => void pages.again()} />;
  }
  const id = (value: string | null) => value !== null && <code class="soft">{value}</code>;
  const about = (value: string | null) => {
    const sale = store.sales.get(value ?? '');
    if (!sale) return id(value);
    return (
      <a href={`#/sales/${sale.saleId}`}>
        <Name>{sale.name}</Name>
      </a>
    );
  };
  return (
    <>
      {pages.items.length === 0 ? (
        <p class="empty">{acts.none}</p>
      ) : (
        <Table
          caption={acts.title}
          hidden
          items={pages.items}
          keyOf={({ actId }) => actId}
          columns={[
            { name: acts.when, cell: ({ at }) => format.time(at) },
            { name: acts.what, cell: ({ act }) => <Engine name={act} plain={nameIn(acts.did, act)} /> },
            { name: acts.about, cell: ({ subjectId }) => about(subjectId) },
            { name: acts.who, cell: ({ operatorId }) => (operatorId === null ? acts.command : id(operatorId)) },
            {
              name: acts.details,
              cell: ({ asked, before, after }) => (
                <details class="more">
                  <summary>{acts.details}</summary>
                  <Part name={acts.asked} value={asked} />
                  <Part name={acts.before} value={before} />
                  <Part name={acts.after} value={after} />
                </details>
              ),
            },
          ]}
        />
      )}
      <ListEnd more={pages.more} reading={pages.reading} onMore={() => void pages.readMore()} />
    </>
  );
}

function Part({ name, value }: { name: string; value: object | null }) {
  if (value === null || Object.keys(value).length === 0) return null;
  return (
    <>
      <strong class="small">{name}</strong>
      <pre>
        <code>{JSON.stringify(value, null, 1)}</code>
      </pre>
    </>
  );
}
