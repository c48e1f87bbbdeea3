/** Webhooks: where this shop's own systems are told of what happens, what they were sent, and sending again. */
import { useState } from 'preact/hooks';
import { dataOf } from '#client/http.ts';
import { Act, Badge, Dialog, Name } from '../parts.tsx';
import type { DeliveryView, DeliveryWithBody, EndpointView, EndpointWithSecret, RedeliveryView } from '../types.ts';
import { TimeField } from './fields.tsx';
import {
  Facts,
  Failed,
  Form,
  ListEnd,
  SelectField,
  Submit,
  Table,
  TextField,
  Title,
  useConsole,
  Waiting,
} from './parts.tsx';
import { lookMs, usePages, useRead } from './reads.ts';
import { SecretDialog } from './secret.tsx';
import { momentOf, typedFor } from './times.ts';

type EventName = EndpointView['events'][number];

/** Every type of event; the compiler wants all of them. */
const allEvents: Record<EventName, true> = {
  'reservations.changed': true,
  'reservations.reminded': true,
  'purchase.changed': true,
  'sale.changed': true,
  'sale.published': true,
};
const eventNames = Object.keys(allEvents) as EventName[];

export function WebhooksPage() {
  const store = useConsole();
  const { api, words, path } = store;
  const { hooks } = words.console;
  const [, page] = path;
  const list = useRead('endpoints', () => dataOf(api.http.GET('/webhook-endpoints')), 5_000);
  const [secret, setSecret] = useState<EndpointWithSecret>();
  const shown = page === 'new' ? undefined : list.data?.items.find(({ endpointId }) => endpointId === page);
  return (
    <>
      {page === 'new' && store.may('operator') ? (
        <EndpointForm
          onSaved={(made) => {
            setSecret(made);
            void list.again();
          }}
        />
      ) : shown ? (
        <Endpoint
          key={shown.endpointId}
          endpoint={shown}
          isEdited={path[2] === 'edit' && store.may('operator')}
          onChanged={list.again}
          onSecret={setSecret}
        />
      ) : (
        <>
          <Title>{hooks.title}</Title>
          <p class="note">{hooks.hint}</p>
          {store.may('operator') && (
            <a class="button start" href="#/webhooks/new">
              {hooks.create}
            </a>
          )}
          {!list.data ? (
            list.problem ? (
              <Failed onRetry={() => void list.again()} />
            ) : (
              <Waiting />
            )
          ) : list.data.items.length === 0 ? (
            <p class="empty">{hooks.none}</p>
          ) : (
            <ul class="list">
              {list.data.items.map((endpoint) => (
                <li key={endpoint.endpointId}>
                  <a class="pick" href={`#/webhooks/${endpoint.endpointId}`}>
                    <span class="row apart">
                      <strong>
                        <Name>{endpoint.url}</Name>
                      </strong>
                      <StateBadge endpoint={endpoint} />
                    </span>
                    {endpoint.description && (
                      <span class="soft small">
                        <Name>{endpoint.description}</Name>
                      </span>
                    )}
                  </a>
                </li>
              ))}
            </ul>
          )}
        </>
      )}
      {secret && (
        <SecretDialog
          title={hooks.secret}
          hint={hooks.secretHint}
          secret={secret.secret}
          onDone={() => setSecret(undefined)}
        />
      )}
    </>
  );
}

function StateBadge({ endpoint: { state, failingSince } }: { endpoint: EndpointView }) {
  const { hooks } = useConsole().words.console;
  const kind = state === 'active' ? (failingSince === null ? 'ok' : 'degraded') : state === 'paused' ? 'paused' : 'bad';
  return <Badge kind={kind}>{kind === 'degraded' ? hooks.failingNow : hooks.state[state]}</Badge>;
}

function EndpointForm(props: { endpoint?: EndpointView; onSaved: (made: EndpointWithSecret | undefined) => void }) {
  const { endpoint, onSaved } = props;
  const store = useConsole();
  const { words } = store;
  const { hooks, field, ask } = words.console;
  const [url, setUrl] = useState(endpoint?.url ?? 'https://');
  const [description, setDescription] = useState(endpoint?.description ?? '');
  const [events, setEvents] = useState<readonly EventName[]>(endpoint?.events ?? eventNames);
  const [problems, setProblems] = useState<{ url?: string; events?: string }>({});
  const submit = () => {
    const found = {
      ...(URL.canParse(url.trim()) && /^https:\/\/./.test(url.trim()) ? {} : { url: hooks.badUrl }),
      ...(events.length === 0 ? { events: hooks.noEvents } : {}),
    };
    setProblems(found);
    if (Object.keys(found).length > 0) return;
    const refused = `${hooks.url}: ${field.refused} ${hooks.urlHint}`;
    const body = { url: url.trim(), description: description.trim(), events: [...events] };
    void store.act(
      'endpoint',
      async () => {
        if (endpoint) {
          const params = { path: { endpointId: endpoint.endpointId } };
          await store.api.http.PATCH('/webhook-endpoints/{endpointId}', { params, body });
          store.say('good', ask.saved);
          onSaved(undefined);
          store.go(`webhooks/${endpoint.endpointId}`);
        } else {
          const made = await dataOf(store.api.http.POST('/webhook-endpoints', { body }));
          onSaved(made);
          store.go(`webhooks/${made.endpointId}`);
        }
      },
      { invalid_input: refused, unprocessable: refused },
    );
  };
  return (
    <section class="card">
      <Title>{endpoint ? hooks.edit : hooks.create}</Title>
      <Form onSubmit={submit} label={endpoint ? hooks.edit : hooks.create} class="form-grid">
        <TextField
          label={hooks.url}
          value={url}
          onValue={setUrl}
          problem={problems.url}
          hint={hooks.urlHint}
          wide
          mono
        />
        <TextField label={hooks.description} value={description} onValue={setDescription} most={200} wide />
        <fieldset class="wide plain">
          <legend>{hooks.events}</legend>
          {eventNames.map((name) => (
            <label key={name} class="choice">
              <input
                type="checkbox"
                checked={events.includes(name)}
                onChange={({ currentTarget }) =>
                  setEvents(currentTarget.checked ? [...events, name] : events.filter((event) => event !== name))
                }
              />
              <code>{name}</code>
            </label>
          ))}
          {problems.events && <p class="problem">{problems.events}</p>}
        </fieldset>
        <div class="row wide end">
          <a class="button quiet" href={endpoint ? `#/webhooks/${endpoint.endpointId}` : '#/webhooks'}>
            {ask.cancel}
          </a>
          <Submit busy={store.busy.has('endpoint')}>{endpoint ? ask.save : hooks.create}</Submit>
        </div>
      </Form>
    </section>
  );
}

interface EndpointProps {
  endpoint: EndpointView;
  isEdited: boolean;
  onChanged: () => Promise<void>;
  onSecret: (endpoint: EndpointWithSecret) => void;
}

function Endpoint({ endpoint, isEdited, onChanged, onSecret }: EndpointProps) {
  const store = useConsole();
  const { words, format } = store;
  const { hooks } = words.console;
  const { endpointId, state, failingSince } = endpoint;
  const { http } = store.api;
  const params = { path: { endpointId } };
  const busy = store.busy.has(`hook:${endpointId}`);
  const act = (work: () => Promise<void>) =>
    store.act(`hook:${endpointId}`, async () => {
      await work();
      await onChanged();
    });
  const setState = (to: 'active' | 'paused') =>
    act(async () => {
      await http.PATCH('/webhook-endpoints/{endpointId}', { params, body: { state: to } });
      store.say('good', words.console.ask.saved);
    });
  const remove = () =>
    act(async () => {
      if (!(await store.sure(hooks.askRemove(endpoint.url), hooks.remove))) return;
      await http.DELETE('/webhook-endpoints/{endpointId}', { params });
      store.say('good', hooks.removed);
      store.go('webhooks');
    });
  const rotate = () =>
    act(async () => {
      if (!(await store.sure(hooks.askRotate, hooks.rotate))) return;
      onSecret(await dataOf(http.POST('/webhook-endpoints/{endpointId}/secret', { params })));
    });
  const test = () =>
    act(async () => {
      await http.POST('/webhook-endpoints/{endpointId}/test', { params });
      store.say('good', hooks.tested);
    });
  if (isEdited) return <EndpointForm endpoint={endpoint} onSaved={() => void onChanged()} />;
  return (
    <>
      <a class="to-list always" href="#/webhooks">
        ← {hooks.back}
      </a>
      <div class="row apart">
        <Title>
          <Name>{endpoint.url}</Name>
        </Title>
        <StateBadge endpoint={endpoint} />
      </div>
      {state === 'switched_off' && <p class="problem">{hooks.off}</p>}
      {failingSince !== null && <p class="problem">{hooks.failing(format.time(failingSince))}</p>}
      {store.may('operator') && (
        <div class="row">
          <Act busy={busy} class="quiet" onAct={() => void setState(state === 'active' ? 'paused' : 'active')}>
            {state === 'active' ? hooks.pause : hooks.resume}
          </Act>
          <Act busy={busy} class="quiet" onAct={() => void test()}>
            {hooks.test}
          </Act>
          <a class="button quiet" href={`#/webhooks/${endpointId}/edit`}>
            {hooks.edit}
          </a>
          <Act busy={busy} class="quiet" onAct={() => void rotate()}>
            {hooks.rotate}
          </Act>
          <Act busy={busy} class="danger" onAct={() => void remove()}>
            {hooks.remove}
          </Act>
        </div>
      )}
      <Facts
        wide
        facts={[
          { name: hooks.events, value: <code>{endpoint.events.join(' ')}</code> },
          endpoint.description !== '' && { name: hooks.description, value: <Name>{endpoint.description}</Name> },
        ]}
      />
      {store.may('operator') && <Redeliver endpointId={endpointId} />}
      <Log endpointId={endpointId} />
    </>
  );
}

function Redeliver({ endpointId }: { endpointId: string }) {
  const store = useConsole();
  const { words, format, zone, api } = store;
  const { hooks, time } = words.console;
  const [since, setSince] = useState(() => typedFor(store.now() - 3_600_000, zone));
  const [scope, setScope] = useState<'failed' | 'all'>('failed');
  const [problem, setProblem] = useState<string>();
  const [run, setRun] = useState<RedeliveryView>();
  const { http } = api;
  const redelivery = { params: { path: { endpointId, redeliveryId: run?.redeliveryId ?? '' } } };
  const { data = run } = useRead(
    run && `redelivery:${run.redeliveryId}`,
    () => dataOf(http.GET('/webhook-endpoints/{endpointId}/redeliveries/{redeliveryId}', redelivery)),
    lookMs,
  );
  const submit = () => {
    const moment = momentOf(since, zone);
    setProblem('problem' in moment ? time[moment.problem] : undefined);
    if ('problem' in moment) return;
    const at = new Date(moment.ms).toISOString();
    void store.act('redeliver', async () => {
      if (!(await store.sure(hooks.askRedeliver(format.fullTime(at)), hooks.redeliverGo))) return;
      const call = { params: { path: { endpointId } }, body: { since: at, scope } };
      setRun(await dataOf(http.POST('/webhook-endpoints/{endpointId}/redeliveries', call)));
    });
  };
  return (
    <details class="card">
      <summary>{hooks.redeliver}</summary>
      <Form class="form-grid" onSubmit={submit} label={hooks.redeliver}>
        <TimeField label={hooks.since} value={since} onValue={setSince} problem={problem} />
        <SelectField
          label={hooks.scope}
          value={scope}
          onValue={setScope}
          options={(['failed', 'all'] as const).map((name) => [name, hooks.scopes[name]] as const)}
        />
        <div class="row wide end">
          <Submit busy={store.busy.has('redeliver')}>{hooks.redeliverGo}</Submit>
        </div>
      </Form>
      <p role="status">
        {data && (data.finishedAt === null ? hooks.redelivering : hooks.redelivered)(format.number(data.ordered))}
      </p>
    </details>
  );
}

function Log({ endpointId }: { endpointId: string }) {
  const store = useConsole();
  const { words, format, api } = store;
  const { hooks, people, list } = words.console;
  const [state, setState] = useState<'' | DeliveryView['state']>('');
  const { http } = api;
  const pages = usePages(`deliveries:${endpointId}:${state}`, (page) => {
    const query = { ...page, ...(state ? { state } : {}) };
    return dataOf(http.GET('/webhook-endpoints/{endpointId}/deliveries', { params: { path: { endpointId }, query } }));
  });
  const ofDelivery = (messageId: string) => ({ params: { path: { endpointId, messageId } } });
  const [shown, setShown] = useState<DeliveryWithBody>();
  const again = (messageId: string) =>
    store.act(`delivery:${messageId}`, async () => {
      await http.POST('/webhook-endpoints/{endpointId}/deliveries/{messageId}/redeliver', ofDelivery(messageId));
      store.say('good', hooks.ordered);
      await pages.again();
    });
  const look = (messageId: string) =>
    store.act(`delivery:${messageId}`, async () => {
      const delivery = http.GET('/webhook-endpoints/{endpointId}/deliveries/{messageId}', ofDelivery(messageId));
      setShown(await dataOf(delivery));
    });
  const kinds = { pending: 'paused', delivered: 'ok', failed: 'bad' } as const;
  return (
    <section aria-labelledby="log-title">
      <div class="row apart">
        <h2 id="log-title">{hooks.log}</h2>
        <button type="button" class="quiet slim" onClick={() => void pages.again()}>
          {list.again}
        </button>
      </div>
      <div class="form-grid">
        <SelectField
          label={people.state}
          value={state}
          onValue={setState}
          options={[
            ['', people.any] as const,
            ...(['pending', 'delivered', 'failed'] as const).map((name) => [name, hooks.delivery[name]] as const),
          ]}
        />
      </div>
      {pages.state === 'loading' ? (
        <Waiting />
      ) : pages.state === 'failed' ? (
        <Failed onRetry={() => void pages.again()} />
      ) : pages.items.length === 0 ? (
        <p class="empty">{hooks.noLog}</p>
      ) : (
        <Table
          caption={hooks.log}
          hidden
          items={pages.items}
          keyOf={({ messageId }) => messageId}
          columns={[
            { name: hooks.occurred, cell: ({ occurredAt }) => format.time(occurredAt) },
            {
              name: people.state,
              cell: (delivery) => <Badge kind={kinds[delivery.state]}>{hooks.delivery[delivery.state]}</Badge>,
            },
            { name: hooks.attempts, numeric: true, cell: ({ attempts }) => format.number(attempts) },
            {
              name: hooks.answer,
              cell: ({ lastStatus, lastError }) => (
                <code>{[lastStatus, lastError].filter((part) => part !== null).join(' ') || '–'}</code>
              ),
            },
            {
              name: list.action,
              cell: ({ messageId }) => (
                <span class="row">
                  <Act
                    class="quiet slim"
                    busy={store.busy.has(`delivery:${messageId}`)}
                    onAct={() => void look(messageId)}
                  >
                    {hooks.body}
                  </Act>
                  {store.may('operator') && (
                    <Act
                      class="quiet slim"
                      busy={store.busy.has(`delivery:${messageId}`)}
                      onAct={() => void again(messageId)}
                    >
                      {hooks.again}
                    </Act>
                  )}
                </span>
              ),
            },
          ]}
        />
      )}
      <ListEnd more={pages.more} reading={pages.reading} onMore={() => void pages.readMore()} />
      {shown && (
        <Dialog labelledBy="body-title" class="ask wide-dialog" onClose={() => setShown(undefined)}>
          <h2 id="body-title">{hooks.bodyTitle}</h2>
          <pre>
            <code>{shown.body ?? hooks.gone}</code>
          </pre>
          <div class="row end">
            <button type="button" onClick={() => setShown(undefined)}>
              {words.frame.close}
            </button>
          </div>
        </Dialog>
      )}
    </section>
  );
}
