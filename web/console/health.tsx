/** Whether everything works: the parts, what queues gave up on, and comparing everything. */
import { useState } from 'preact/hooks';
import { dataOf } from '#client/http.ts';
import { Problem } from '#client/problem.ts';
import { Act, Badge } from '../parts.tsx';
import type { Health, Reconciliations } from '../types.ts';
import { Breakers } from './inside.tsx';
import { Engine, Failed, nameIn, Table, Title, useConsole, usePartName, Waiting } from './parts.tsx';
import { lookMs, useRead } from './reads.ts';

export function HealthPage() {
  return (
    <>
      <Title>{useConsole().words.console.health.title}</Title>
      <Parts />
      <Dead />
      <Reconcile />
    </>
  );
}

type Shown = Partial<Omit<Health, 'status'>> & { status: Health['status'] | 'down' };

function Parts() {
  const { api, words, format } = useConsole();
  const { health, inside } = words.console;
  const partName = usePartName();
  const { data, problem, again } = useRead(
    'health',
    async (): Promise<Shown> => {
      try {
        return await dataOf(api.http.GET('/health'));
      } catch (error) {
        // It answers even if reservations cannot be taken, and says what is missing.
        if (error instanceof Problem && error.status === 503) return { ...(error.body as object), status: 'down' };
        throw error;
      }
    },
    lookMs,
  );
  if (!data) return problem ? <Failed onRetry={() => void again()} /> : <Waiting />;
  const { status, parts = [], breakers = {} } = data;
  return (
    <>
      <p class={status === 'ok' ? 'state good' : 'state bad'} role="status">
        {health[status]}
      </p>
      <h2>{inside.breakers}</h2>
      <Breakers breakers={breakers} />
      <Table
        caption={health.parts}
        items={parts}
        keyOf={({ name }) => name}
        columns={[
          {
            name: health.part,
            cell: ({ name, required }) => (
              <>
                <Engine name={name} plain={partName(name)} />{' '}
                {required && <span class="soft small">{health.required}</span>}
              </>
            ),
          },
          {
            name: health.state,
            cell: ({ ok, problem: why }) => (
              <>
                <Badge kind={ok ? 'ok' : 'bad'}>{ok ? health.answers : health.silent}</Badge>{' '}
                {!ok && why && <code class="soft">{why}</code>}
              </>
            ),
          },
          { name: health.took, numeric: true, cell: ({ latencyMs }) => health.ms(format.number(latencyMs)) },
          {
            name: inside.waiting,
            numeric: true,
            cell: ({ waiting }) => (waiting === undefined ? '' : format.number(waiting)),
          },
          {
            name: inside.dead,
            numeric: true,
            cell: ({ deadLetters }) => (deadLetters === undefined ? '' : format.number(deadLetters)),
          },
        ]}
      />
    </>
  );
}

/** How many of each queue are shown. */
const shownOfEach = 100;

function Dead() {
  const store = useConsole();
  const { api, words, format } = store;
  const { health, list } = words.console;
  const { data, problem, again } = useRead('dead', () =>
    dataOf(api.http.GET('/ops/dead-letters', { params: { query: { limit: shownOfEach } } })),
  );
  const redrive = (queue: string, messageIds: string[] | 'all', count: number) =>
    store.act(`redrive:${queue}`, async () => {
      if (!(await store.sure(health.askBack(format.number(count), queue), health.back))) return;
      const body = { queue, messageIds };
      const { redriven, remaining } = await dataOf(api.http.POST('/ops/dead-letters/redrive', { body }));
      store.say('good', health.sentBack(format.number(redriven), format.number(remaining)));
      await again();
    });
  const queueName = (queue: string) => nameIn(words.console.inside.queueNames, queue);
  const full = data?.queues.filter(({ deadLetters }) => deadLetters > 0) ?? [];
  return (
    <section aria-labelledby="dead-title">
      <div class="row apart">
        <h2 id="dead-title">{health.dead}</h2>
        <button type="button" class="quiet slim" onClick={() => void again()}>
          {list.again}
        </button>
      </div>
      {!data ? (
        problem ? (
          <Failed onRetry={() => void again()} />
        ) : (
          <Waiting />
        )
      ) : data.items.length === 0 && full.length === 0 ? (
        <p class="empty">{health.noDead}</p>
      ) : (
        <>
          {full.map(({ queue, deadLetters }) => (
            <div key={queue} class="row">
              <Badge kind="bad">{`${queueName(queue)}: ${format.number(deadLetters)}`}</Badge>
              {store.may('operator') && (
                <Act
                  class="quiet slim"
                  busy={store.busy.has(`redrive:${queue}`)}
                  onAct={() => void redrive(queue, 'all', deadLetters)}
                >
                  {health.allBack}
                </Act>
              )}
            </div>
          ))}
          <p class="soft small">
            {health.shownOf(
              format.number(data.items.length),
              format.number(full.reduce((sum, { deadLetters }) => sum + deadLetters, 0)),
            )}
          </p>
          <Table
            caption={health.dead}
            hidden
            items={data.items}
            keyOf={({ queue, messageId }) => `${queue} ${messageId}`}
            columns={[
              {
                name: words.console.inside.queue,
                cell: ({ queue }) => <Engine name={queue} plain={queueName(queue)} />,
              },
              { name: health.sent, cell: ({ sentAt }) => format.time(sentAt) },
              {
                name: health.why,
                cell: ({ cause: { kind, detail } }) => (
                  <>
                    <strong>{health.cause[kind]}</strong> <code class="soft">{detail}</code>
                  </>
                ),
              },
              { name: health.message, cell: ({ body }) => <code class="clamp">{body.slice(0, 300)}</code> },
              {
                name: list.action,
                cell: ({ queue, messageId }) =>
                  store.may('operator') && (
                    <Act
                      class="quiet slim"
                      busy={store.busy.has(`redrive:${queue}`)}
                      onAct={() => void redrive(queue, [messageId], 1)}
                    >
                      {health.back}
                    </Act>
                  ),
              },
            ]}
          />
        </>
      )}
    </section>
  );
}

function Reconcile() {
  const store = useConsole();
  const { api, words, format } = store;
  const { health } = words.console;
  const [running, setRunning] = useState(false);
  const { data, problem, again } = useRead(
    'reconciliations',
    async () => {
      const runs = await dataOf(api.http.GET('/ops/reconciliations'));
      setRunning(runs.items.some(({ state }) => state !== 'done'));
      return runs;
    },
    running ? lookMs : undefined,
  );
  const begin = () =>
    store.act('reconcile', async () => {
      await api.http.POST('/ops/reconcile', { body: {} });
      setRunning(true);
      await again();
    });
  type Run = Reconciliations['items'][number];
  const resultOf = ({ state, sales, reservations, driftsFound, driftsRepaired }: Run) => {
    if (state !== 'done') return health.running(format.number(sales), format.number(reservations));
    return driftsFound === 0
      ? health.agrees
      : health.differences(format.number(driftsFound), format.number(driftsRepaired));
  };
  return (
    <section aria-labelledby="reconcile-title">
      <div class="row apart">
        <h2 id="reconcile-title">{health.reconcile}</h2>
        {store.may('operator') && (
          <Act class="quiet" busy={store.busy.has('reconcile')} onAct={() => void begin()}>
            {health.go}
          </Act>
        )}
      </div>
      <p class="note">{health.reconcileHint}</p>
      {!data ? (
        problem ? (
          <Failed onRetry={() => void again()} />
        ) : (
          <Waiting />
        )
      ) : data.items.length === 0 ? (
        <p class="empty">{health.noRuns}</p>
      ) : (
        <Table
          caption={health.runs}
          items={data.items}
          keyOf={({ reconciliationId }) => reconciliationId}
          columns={[
            { name: health.begun, cell: ({ startedAt }) => format.time(startedAt) },
            { name: health.result, cell: resultOf },
          ]}
        />
      )}
    </section>
  );
}
