/** What goes on inside of a sale, in plain words, with the engine's own beside them. */
import type { SaleOverview } from '../types.ts';
import { Engine, Facts, nameIn, Table, useConsole, usePartName } from './parts.tsx';

/** How many requests the gate refused. */
export const refusedOf = ({ gate }: Pick<SaleOverview, 'gate'>): number =>
  Object.values(gate.refused).reduce((sum, count) => sum + count, 0);

export function Inside({ overview }: { overview: SaleOverview }) {
  const { words, format } = useConsole();
  const { inside } = words.console;
  const { reservations, gate, mirror, drift, outbox, queues, breakers, jobs } = overview;
  const refused = refusedOf(overview);
  const reasons = Object.entries(gate.refused)
    .filter(([, count]) => count > 0)
    .map(([reason, count]) => `${inside.reasons[reason as keyof typeof inside.reasons]} ${format.number(count)}`);
  const seconds = (ms: number | null) => (ms === null ? '–' : inside.seconds(format.number(Math.round(ms / 100) / 10)));
  const differs = drift !== null && (drift.versions > 0 || drift.available !== 0);
  return (
    <>
      <h2>{inside.reservations}</h2>
      <Facts
        facts={Object.entries(reservations).map(([state, count]) => ({
          name: words.console.states[state as keyof typeof reservations],
          value: format.number(count),
        }))}
      />
      <h2>{inside.gate}</h2>
      <Facts
        facts={[
          { name: inside.admitted, value: format.number(gate.requests) },
          {
            name: inside.refused,
            value: format.number(refused),
            hint: refused === 0 ? undefined : reasons.join(', '),
          },
          { name: inside.deciding, value: format.number(gate.pendingUnits) },
          {
            name: inside.copy,
            value: !mirror
              ? inside.copyGone
              : differs
                ? inside.behind(format.number(drift.versions), format.number(drift.available))
                : inside.same,
            warn: !mirror || differs,
          },
          {
            name: inside.outbox,
            value:
              outbox.events === 0
                ? inside.outboxEmpty
                : inside.outboxWaits(format.number(outbox.events), format.number(Math.round(outbox.oldestMs / 1_000))),
          },
        ]}
      />
      <p class="note">{inside.refusedHint}</p>
      <Table
        caption={inside.queues}
        items={Object.entries(queues)}
        keyOf={([name]) => name}
        columns={[
          { name: inside.queue, cell: ([name]) => <Engine name={name} plain={nameIn(inside.queueNames, name)} /> },
          { name: inside.waiting, numeric: true, cell: ([, queue]) => format.number(queue.waiting) },
          { name: inside.inFlight, numeric: true, cell: ([, queue]) => format.number(queue.inFlight) },
          { name: inside.delayed, numeric: true, cell: ([, queue]) => format.number(queue.delayed) },
          { name: inside.oldest, numeric: true, cell: ([, queue]) => seconds(queue.oldestMessageMs) },
          { name: inside.dead, numeric: true, cell: ([, queue]) => format.number(queue.deadLetters) },
        ]}
      />
      <h2>{inside.breakers}</h2>
      <Breakers breakers={breakers} />
      {jobs.length > 0 && (
        <>
          <h2>{inside.jobs}</h2>
          <Facts
            facts={jobs.map(({ kind, startedAt, handled, finishedAt }) => ({
              name: `${inside.job[kind]}, ${format.time(startedAt)}`,
              value: (finishedAt === null ? inside.jobRuns : inside.jobDone)(format.number(handled)),
            }))}
          />
        </>
      )}
    </>
  );
}

/** Whether what everything needs can be reached. */
export function Breakers({ breakers }: { breakers: SaleOverview['breakers'] }) {
  const { inside } = useConsole().words.console;
  const partName = usePartName();
  return (
    <Facts
      facts={Object.entries(breakers).map(([name, state]) => ({
        ...{ name: partName(name), code: name },
        value: inside.breaker[state],
        warn: state !== 'closed',
      }))}
    />
  );
}
