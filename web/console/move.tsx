/** Moving a sale: a preview says what would happen to whom, and its confirmation makes that very move. */
import { useState } from 'preact/hooks';
import { dataOf } from '#client/http.ts';
import { Problem } from '#client/problem.ts';
import type { Reschedule, SaleView } from '../types.ts';
import { TimeField } from './fields.tsx';
import { Form, SelectField, Submit, TextField, useConsole, wholeOf } from './parts.tsx';
import { problemsOfTimes } from './sale-form.tsx';
import { type TypedTime, typedFor } from './times.ts';

const timeNames = ['reserveOpensAt', 'reserveClosesAt', 'purchaseOpensAt', 'purchaseClosesAt'] as const;
type TimeName = (typeof timeNames)[number];

/** A year, in minutes: the furthest that a sale is moved in one step. */
const mostMinutes = 527_040;

export function MoveForm({ sale }: { sale: SaleView }) {
  const store = useConsole();
  const { words, format, zone } = store;
  const { move, form, field } = words.console;
  const typed = (name: TimeName) => typedFor(Date.parse(sale[name]), zone);
  const [how, setHow] = useState<'by' | 'to'>('by');
  const [minutes, setMinutes] = useState('10');
  const [times, setTimes] = useState<Record<TimeName, TypedTime>>({
    reserveOpensAt: typed('reserveOpensAt'),
    reserveClosesAt: typed('reserveClosesAt'),
    purchaseOpensAt: typed('purchaseOpensAt'),
    purchaseClosesAt: typed('purchaseClosesAt'),
  });
  const [problems, setProblems] = useState<Partial<Record<TimeName | 'minutes', string>>>({});

  function request(): Reschedule | undefined {
    if (how === 'by') {
      const whole = wholeOf(minutes, { least: -mostMinutes, most: mostMinutes }, words, format);
      const problem = whole.problem !== undefined ? whole.problem : whole.value === 0 ? field.badNumber : undefined;
      setProblems(problem === undefined ? {} : { minutes: problem });
      return whole.value !== undefined && problem === undefined ? { shiftSeconds: whole.value * 60 } : undefined;
    }
    const found = problemsOfTimes(times, zone, words.console);
    setProblems(found.problems);
    if (Object.keys(found.problems).length > 0) return undefined;
    const changed = timeNames.filter((name) => found.ms[name] !== Math.floor(Date.parse(sale[name]) / 1_000) * 1_000);
    if (changed.length > 0) {
      return Object.fromEntries(changed.map((name) => [name, new Date(found.ms[name] ?? 0).toISOString()]));
    }
    store.say('good', form.nothing);
    return undefined;
  }

  function submit(): void {
    const wanted = request();
    if (!wanted) return;
    const params = { path: { saleId: sale.saleId } };
    const send = (body: Reschedule) => dataOf(store.api.http.POST('/sales/{saleId}/reschedule', { params, body }));
    void store.act('move', async () => {
      const preview = await send({ ...wanted, dryRun: true });
      if (preview.confirmation === null) return store.say('good', move.nothing);
      const { dangers, concerned } = preview;
      const facts = [
        ...timeNames
          .filter((name) => preview.sale[name] !== sale[name])
          .map((name) => `${form[name]}: ${format.fullTime(sale[name])} → ${format.fullTime(preview.sale[name])}`),
        move.told(format.number(concerned.holding), format.number(concerned.waiting)),
        concerned.shortened > 0 ? move.shortened(format.number(concerned.shortened)) : undefined,
        ...dangers.map((danger) => move.danger[danger]),
      ];
      const choice = { name: 'yes', label: move.go, danger: dangers.length > 0 };
      if ((await store.ask(move.ask(sale.name), [choice], facts)) !== 'yes') return;
      const { confirmation } = preview;
      try {
        store.take((await send({ ...wanted, confirmation })).sale);
      } catch (problem) {
        if (!(problem instanceof Problem) || problem.code !== 'confirmation_required') throw problem;
        return store.say('bad', move.again);
      }
      store.say('good', move.moved);
      store.go(`sales/${sale.saleId}`);
    });
  }

  return (
    <section class="card" aria-labelledby="move-title">
      <h2 id="move-title">{move.title}</h2>
      <Form class="form-grid" onSubmit={submit} label={move.title}>
        <SelectField
          label={move.how}
          value={how}
          onValue={setHow}
          options={[
            ['by', move.by],
            ['to', move.to],
          ]}
        />
        {how === 'by' ? (
          <TextField
            label={move.minutes}
            value={minutes}
            onValue={setMinutes}
            hint={move.minutesHint}
            problem={problems.minutes}
          />
        ) : (
          timeNames.map((name) => (
            <TimeField
              key={name}
              label={form[name]}
              value={times[name]}
              onValue={(value) => setTimes({ ...times, [name]: value })}
              problem={problems[name]}
            />
          ))
        )}
        <div class="row wide end">
          <Submit busy={store.busy.has('move')}>{move.preview}</Submit>
        </div>
      </Form>
    </section>
  );
}
