/** API keys: with which the shop's own programs call, what each may do, and until when. Only admins see this. */
import { useState } from 'preact/hooks';
import { dataOf } from '#client/http.ts';
import { type Scope, scopes } from '#platform/security/scopes.ts';
import { Act, Badge, Name } from '../parts.tsx';
import type { ApiKeyView, ApiKeyWithSecret } from '../types.ts';
import { Failed, Form, ListEnd, Submit, Table, TextField, Title, useConsole, Waiting, wholeOf } from './parts.tsx';
import { type Pages, usePages } from './reads.ts';
import { SecretDialog } from './secret.tsx';

/** For how long a key may be valid, in days, and is unless something else is asked for. */
const days = { least: 1, most: 400 };
const usualDays = '90';
const daySeconds = 86_400;

export function KeysPage() {
  const store = useConsole();
  const { words } = store;
  const { keys: text } = words.console;
  const pages = usePages(store.may('admin') ? 'api-keys' : undefined, (query) =>
    dataOf(store.api.http.GET('/ops/api-keys', { params: { query } })),
  );
  const [shown, setShown] = useState<string>();
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
  /** Shows a key that has just been made. */
  const show = ({ key }: ApiKeyWithSecret) => setShown(key);
  return (
    <>
      <Title>{text.title}</Title>
      <p class="note">{text.hint}</p>
      <NewKey
        onMade={(made) => {
          show(made);
          void pages.again();
        }}
      />
      {pages.state === 'loading' ? (
        <Waiting />
      ) : pages.state === 'failed' ? (
        <Failed onRetry={() => void pages.again()} />
      ) : pages.items.length === 0 ? (
        <p class="empty">{text.none}</p>
      ) : (
        <Keys pages={pages} onRotated={show} />
      )}
      <ListEnd more={pages.more} reading={pages.reading} onMore={() => void pages.readMore()} />
      {shown && <SecretDialog title={text.key} hint={text.keyHint} secret={shown} onDone={() => setShown(undefined)} />}
    </>
  );
}

function NewKey({ onMade }: { onMade: (made: ApiKeyWithSecret) => void }) {
  const store = useConsole();
  const { words, format } = store;
  const { keys: text, field } = words.console;
  const [name, setName] = useState('');
  const [lasts, setLasts] = useState(usualDays);
  const [chosen, setChosen] = useState<readonly Scope[]>([]);
  const [problems, setProblems] = useState<{ name?: string; days?: string; scopes?: string }>({});
  const submit = () => {
    const expires = wholeOf(lasts, days, words, format);
    const found = {
      ...(name.trim() === '' ? { name: field.missing } : {}),
      ...(expires.problem === undefined ? {} : { days: expires.problem }),
      ...(chosen.length === 0 ? { scopes: text.noScopes } : {}),
    };
    setProblems(found);
    if (expires.problem !== undefined || Object.keys(found).length > 0) return;
    void store.act('key', async () => {
      const body = { name: name.trim(), scopes: [...chosen], expiresInDays: expires.value };
      onMade(await dataOf(store.api.http.POST('/ops/api-keys', { body })));
      setName('');
      setChosen([]);
    });
  };
  return (
    <section class="card" aria-labelledby="new-key">
      <h2 id="new-key">{text.create}</h2>
      <Form class="form-grid" onSubmit={submit} label={text.create}>
        <TextField
          label={text.name}
          value={name}
          onValue={setName}
          problem={problems.name}
          hint={text.nameHint}
          most={100}
        />
        <TextField label={text.days} value={lasts} onValue={setLasts} problem={problems.days} numeric />
        <fieldset class="wide plain columns">
          <legend>{text.scopes}</legend>
          {scopes.map((scope) => (
            <label key={scope} class="choice">
              <input
                type="checkbox"
                checked={chosen.includes(scope)}
                aria-invalid={problems.scopes !== undefined}
                onChange={({ currentTarget }) =>
                  setChosen(currentTarget.checked ? [...chosen, scope] : chosen.filter((other) => other !== scope))
                }
              />
              <span>
                <code>{scope}</code> {text.may[scope]}
              </span>
            </label>
          ))}
          {problems.scopes && <p class="problem">{problems.scopes}</p>}
        </fieldset>
        <div class="row wide end">
          <Submit busy={store.busy.has('key')}>{text.go}</Submit>
        </div>
      </Form>
    </section>
  );
}

const kinds = { active: 'ok', expired: 'closed-phase', revoked: 'bad' } as const;

function Keys({ pages, onRotated }: { pages: Pages<ApiKeyView>; onRotated: (key: ApiKeyWithSecret) => void }) {
  const store = useConsole();
  const { words, format } = store;
  const { keys: text, list } = words.console;
  const act = (keyId: string, work: () => Promise<void>) =>
    store.act(
      `key:${keyId}`,
      async () => {
        await work();
        await pages.again();
      },
      { illegal_state: text.over },
    );
  const rotate = ({ keyId, name }: ApiKeyView) =>
    act(keyId, async () => {
      const choice = await store.ask(text.askRotate(name), [
        { name: 'day', label: text.overlap },
        { name: 'now', label: text.atOnce, danger: true },
      ]);
      if (!choice) return;
      const body = { overlapSeconds: choice === 'day' ? daySeconds : 0 };
      const params = { path: { keyId } };
      onRotated(await dataOf(store.api.http.POST('/ops/api-keys/{keyId}/secret', { params, body })));
    });
  const revoke = ({ keyId, name, lastUsedAt }: ApiKeyView) =>
    act(keyId, async () => {
      const used = lastUsedAt === null ? text.unused : text.usedAt(format.time(lastUsedAt));
      if (!(await store.sure(text.askRevoke(name), text.revoke, [used]))) return;
      await store.api.http.DELETE('/ops/api-keys/{keyId}', { params: { path: { keyId } } });
      store.say('good', text.revoked);
    });
  return (
    <Table
      caption={text.title}
      hidden
      items={pages.items}
      keyOf={({ keyId }) => keyId}
      columns={[
        {
          name: text.name,
          cell: ({ name }) => (
            <strong>
              <Name>{name}</Name>
            </strong>
          ),
        },
        { name: text.scopes, cell: (key) => <code>{key.scopes.join(' ')}</code> },
        { name: text.state, cell: ({ state }) => <Badge kind={kinds[state]}>{text.states[state]}</Badge> },
        {
          name: text.until,
          cell: ({ expiresAt, revokedAt, previousSecretUntil }) => (
            <>
              {format.time(revokedAt ?? expiresAt)}
              {revokedAt === null && previousSecretUntil !== null && (
                <span class="soft small"> {text.both(format.time(previousSecretUntil))}</span>
              )}
            </>
          ),
        },
        { name: text.used, cell: ({ lastUsedAt }) => (lastUsedAt === null ? text.unused : format.time(lastUsedAt)) },
        {
          name: list.action,
          cell: (key) =>
            key.state === 'active' && (
              <span class="row">
                <Act class="quiet slim" busy={store.busy.has(`key:${key.keyId}`)} onAct={() => void rotate(key)}>
                  {text.rotate}
                </Act>
                <Act class="quiet slim" busy={store.busy.has(`key:${key.keyId}`)} onAct={() => void revoke(key)}>
                  {text.revoke}
                </Act>
              </span>
            ),
        },
      ]}
    />
  );
}
