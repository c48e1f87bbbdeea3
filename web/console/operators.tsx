/** Who has which role; only admins see this. */
import { useState } from 'preact/hooks';
import { dataOf } from '#client/http.ts';
import type { Role } from '#platform/security/roles.ts';
import { Act, Name } from '../parts.tsx';
import { Failed, Form, ListEnd, SelectField, Submit, Table, TextField, Title, useConsole, Waiting } from './parts.tsx';
import { usePages } from './reads.ts';

const given = ['viewer', 'operator', 'admin'] as const satisfies Role[];

export function OperatorsPage() {
  const store = useConsole();
  const { words } = store;
  const { operators: text, role: roleWords, list } = words.console;
  const { http } = store.api;
  const pages = usePages(store.may('admin') ? 'operators' : undefined, (query) =>
    dataOf(http.GET('/ops/operators', { params: { query } })),
  );
  const [account, setAccount] = useState('');
  const [role, setRole] = useState<(typeof given)[number]>('viewer');
  const [problem, setProblem] = useState<string>();
  if (!store.may('admin')) {
    return (
      <>
        <Title>{text.title}</Title>
        <p class="empty" role="alert">
          {words.console.closed.forbidden}
        </p>
      </>
    );
  }
  const change = (customerId: string, to: Role, question: string) =>
    store.act(
      `role:${customerId}`,
      async () => {
        if (!(await store.sure(question, to === 'customer' ? text.take : text.go))) return;
        await http.POST('/ops/operators', { body: { customerId, role: to } });
        store.say('good', text.done);
        setAccount('');
        await pages.again();
      },
      { illegal_state: text.last, not_found: text.unknown, unprocessable: text.unknown },
    );
  const submit = () => {
    const customerId = account.trim().toLowerCase();
    const wrong = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(customerId) ? undefined : text.badAccount;
    setProblem(wrong);
    if (wrong) return;
    const known = pages.items.find((item) => item.customerId === customerId);
    void change(customerId, role, text.ask(known?.name ?? customerId, roleWords[role]));
  };
  return (
    <>
      <Title>{text.title}</Title>
      <section class="card" aria-labelledby="give-title">
        <h2 id="give-title">{text.give}</h2>
        <p class="note">{text.hint}</p>
        <Form class="form-grid" onSubmit={submit} label={text.give}>
          <TextField label={text.account} value={account} onValue={setAccount} problem={problem} mono most={40} />
          <SelectField
            label={text.role}
            value={role}
            onValue={setRole}
            options={given.map((name) => [name, roleWords[name]] as const)}
            hint={roleWords.may[role]}
          />
          <div class="row wide end">
            <Submit busy={false}>{text.go}</Submit>
          </div>
        </Form>
      </section>
      {pages.state === 'loading' ? (
        <Waiting />
      ) : pages.state === 'failed' ? (
        <Failed onRetry={() => void pages.again()} />
      ) : pages.items.length === 0 ? (
        <p class="empty">{text.none}</p>
      ) : (
        <Table
          caption={text.title}
          items={pages.items}
          keyOf={({ customerId }) => customerId}
          columns={[
            {
              name: text.who,
              cell: ({ name, email }) => (
                <>
                  <strong>
                    <Name>{name}</Name>
                  </strong>{' '}
                  <bdi class="soft small">{email}</bdi>
                </>
              ),
            },
            { name: text.role, cell: (one) => `${roleWords[one.role]}: ${roleWords.may[one.role]}` },
            { name: text.account, cell: ({ customerId }) => <code>{customerId}</code> },
            {
              name: list.action,
              cell: ({ customerId, name }) => (
                <Act
                  class="quiet slim"
                  busy={store.busy.has(`role:${customerId}`)}
                  onAct={() => void change(customerId, 'customer', text.askTake(name))}
                >
                  {text.take}
                </Act>
              ),
            },
          ]}
        />
      )}
      <ListEnd more={pages.more} reading={pages.reading} onMore={() => void pages.readMore()} />
    </>
  );
}
