/** What the shop notes on a product, a sale, a reservation or a purchase: its own name for it, and its own facts. */
import { useEffect, useState } from 'preact/hooks';
import { dataOf } from '#client/http.ts';
import { Problem } from '#client/problem.ts';
import { Choices, Dialog } from '../parts.tsx';
import type { LabelChange, LabelKind, LabelView } from '../types.ts';
import { Facts, Failed, Field, Form, Submit, TextField, useConsole, Waiting } from './parts.tsx';
import { useRead } from './reads.ts';

interface Props {
  kind: LabelKind;
  subjectId: string;
  /** A button among those of a row. */
  slim?: boolean;
}

/** Opens the label of something. */
export function LabelButton({ slim = false, ...props }: Props) {
  const { labels } = useConsole().words.console;
  const [open, setOpen] = useState(false);
  return (
    <>
      <button type="button" class={slim ? 'quiet slim' : 'quiet start'} onClick={() => setOpen(true)}>
        {labels.open}
      </button>
      {open && <LabelDialog {...props} onDone={() => setOpen(false)} />}
    </>
  );
}

type Label = Pick<LabelView, 'reference' | 'metadata'>;

function LabelDialog({ kind, subjectId, onDone }: Props & { onDone: () => void }) {
  const store = useConsole();
  const { labels } = store.words.console;
  const { data, problem, again } = useRead(`label:${subjectId}`, async (): Promise<Label> => {
    const query = { kind, subjectId, limit: 1 };
    const { items } = await dataOf(store.api.http.GET('/ops/labels', { params: { query } }));
    return items[0] ?? { reference: null, metadata: {} };
  });
  return (
    <Dialog labelledBy="label-title" class="ask" onClose={onDone}>
      <h2 id="label-title">{labels.title}</h2>
      {!data ? (
        problem ? (
          <Failed onRetry={() => void again()} />
        ) : (
          <Waiting />
        )
      ) : (
        <LabelForm kind={kind} subjectId={subjectId} known={data} onDone={onDone} />
      )}
    </Dialog>
  );
}

const textOf = (metadata: Label['metadata']) =>
  Object.entries(metadata)
    .map(([key, value]) => `${key}: ${value}`)
    .join('\n');

/** The facts of some lines, or nothing if a line is none. */
function factsOf(text: string): Record<string, string> | undefined {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const facts = lines.map((line) => /^\s*([A-Za-z][A-Za-z0-9_.-]{0,39})\s*:\s*(.*\S)\s*$/.exec(line));
  if (facts.includes(null)) return undefined;
  return Object.fromEntries(facts.map((fact) => [fact?.[1] ?? '', fact?.[2] ?? '']));
}

/** What has to be asked so that a label becomes another; undefined if it is the same. */
function changeOf(known: Label, reference: string | null, facts: Record<string, string>): LabelChange | undefined {
  const keys = new Set([...Object.keys(known.metadata), ...Object.keys(facts)]);
  const changed = [...keys].filter((key) => known.metadata[key] !== facts[key]).map((key) => [key, facts[key] ?? null]);
  if (reference === known.reference && changed.length === 0) return undefined;
  return {
    ...(reference === known.reference ? {} : { reference }),
    ...(changed.length === 0 ? {} : { metadata: Object.fromEntries(changed) }),
  };
}

function LabelForm({ kind, subjectId, known, onDone }: Props & { known: Label; onDone: () => void }) {
  const store = useConsole();
  const { words } = store;
  const { labels, people, ask, field, form } = words.console;
  const [reference, setReference] = useState(known.reference ?? '');
  const [text, setText] = useState(textOf(known.metadata));
  const [problems, setProblems] = useState<{ reference?: string; metadata?: string }>({});
  useEffect(() => {
    setReference(known.reference ?? '');
    setText(textOf(known.metadata));
  }, [known]);
  const back = words.frame.back;
  if (!store.may('operator')) {
    const facts = Object.entries(known.metadata).map(([key, value]) => ({ name: key, value: <bdi>{value}</bdi> }));
    return (
      <>
        <Facts wide facts={[{ name: people.reference, value: known.reference ?? '–' }, ...facts]} />
        <Choices back={back} onBack={onDone}>
          {null}
        </Choices>
      </>
    );
  }
  const submit = () => {
    const facts = factsOf(text);
    setProblems(facts ? {} : { metadata: labels.badFact });
    if (!facts) return;
    const body = changeOf(known, reference.trim() || null, facts);
    if (!body) {
      store.say('good', form.nothing);
      return onDone();
    }
    void store.act('label', async () => {
      try {
        const params = { path: { kind, subjectId } };
        await store.api.http.PATCH('/ops/labels/{kind}/{subjectId}', { params, body });
      } catch (refusal) {
        if (!(refusal instanceof Problem)) throw refusal;
        if (refusal.code === 'reference_taken') return setProblems({ reference: words.problems.reference_taken });
        const named = (refusal.body.fields ?? []).map(({ field: name }) => [name.split('.')[0], field.refused]);
        if (named.length === 0) throw refusal;
        return setProblems(Object.fromEntries(named));
      }
      store.say('good', ask.saved);
      onDone();
    });
  };
  return (
    <Form onSubmit={submit}>
      <TextField
        label={people.reference}
        value={reference}
        onValue={setReference}
        hint={labels.referenceHint}
        problem={problems.reference}
        most={64}
      />
      <Field label={labels.facts} hint={labels.factsHint} problem={problems.metadata}>
        {(marks) => (
          <textarea
            {...marks}
            rows={4}
            dir="auto"
            value={text}
            onInput={({ currentTarget }) => setText(currentTarget.value)}
          />
        )}
      </Field>
      <Choices back={back} onBack={onDone}>
        <Submit busy={store.busy.has('label')}>{ask.save}</Submit>
      </Choices>
    </Form>
  );
}
