/** Who can find a sale and from when on: publishing it, taking it back, and the link of a private one. */
import { useState } from 'preact/hooks';
import { dataOf } from '#client/http.ts';
import { Act, Choices, Dialog } from '../parts.tsx';
import type { SaleChange, SaleOverview, SaleView } from '../types.ts';
import { TimeField } from './fields.tsx';
import { Facts, Form, Submit, useConsole } from './parts.tsx';
import { isPublic } from './store.ts';
import { momentOf, type TypedTime, typedFor } from './times.ts';

export function Publication({ sale, overview }: { sale: SaleView; overview: SaleOverview }) {
  const store = useConsole();
  const { words, format } = store;
  const { publication: text } = words.console;
  const [timing, setTiming] = useState(false);
  const { saleId, publishAt } = sale;
  const { accessCode } = overview;
  const isThere = isPublic(sale, store.now());
  const mayChange = store.may('operator') && sale.status !== 'cancelled';
  const busy = store.busy.has(`publish:${saleId}`);
  const { http } = store.api;
  const params = { path: { saleId } };
  const change = (body: SaleChange, said: string) =>
    store.act(`publish:${saleId}`, async () => {
      store.take(await dataOf(http.PATCH('/sales/{saleId}', { params, body })));
      store.say('good', said);
    });
  const publish = () =>
    store.act(`publish:${saleId}`, async () => {
      if (!(await store.sure(text.askPublish(sale.name), text.publish))) return;
      store.take(await dataOf(http.POST('/sales/{saleId}/publish', { params })));
      store.say('good', text.published);
    });
  const takeBack = () =>
    store.act(`publish:${saleId}`, async () => {
      if (!(await store.sure(text.askTakeBack(sale.name), text.takeBack))) return;
      store.take(await dataOf(http.PATCH('/sales/{saleId}', { params, body: { publishAt: null } })));
      store.say('good', text.takenBack);
    });
  const anew = async () => {
    if (await store.sure(text.askNewCode, text.newCode)) await change({ accessCode: null }, text.codeChanged);
  };
  const forAll = async () => {
    if (await store.sure(text.askForAll, text.forAll)) await change({ requiresCode: false }, text.openNow);
  };
  const link = `${location.origin}/sales/${saleId}${accessCode ? `?${new URLSearchParams({ code: accessCode })}` : ''}`;
  const copy = () =>
    store.act(`copy:${saleId}`, async () => {
      await navigator.clipboard.writeText(link);
      store.say('good', text.copied);
    });
  const since = publishAt === null ? text.draft : (isThere ? text.since : text.from)(format.fullTime(publishAt));
  const mayTakeBack = isThere && Date.parse(sale.reserveOpensAt) > store.now();
  return (
    <section class="card" aria-labelledby="publication-title">
      <h2 id="publication-title">{text.title}</h2>
      <Facts
        wide
        facts={[
          { name: text.state, value: since },
          { name: text.who, value: sale.requiresCode ? text.withCode : text.everybody },
        ]}
      />
      <p>
        <code>{link}</code>
      </p>
      <div class="row acts">
        <Act busy={store.busy.has(`copy:${saleId}`)} class="quiet" onAct={() => void copy()}>
          {text.copy}
        </Act>
        {mayChange && !isThere && (
          <>
            <Act busy={busy} onAct={() => void publish()}>
              {text.publish}
            </Act>
            <Act busy={false} class="quiet" onAct={() => setTiming(true)}>
              {text.publishAt}
            </Act>
          </>
        )}
        {mayChange && (mayTakeBack || (!isThere && publishAt !== null)) && (
          <Act busy={busy} class="quiet" onAct={() => void takeBack()}>
            {text.takeBack}
          </Act>
        )}
        {mayChange && sale.requiresCode && (
          <>
            <Act busy={busy} class="quiet" onAct={() => void anew()}>
              {text.newCode}
            </Act>
            <Act busy={busy} class="quiet" onAct={() => void forAll()}>
              {text.forAll}
            </Act>
          </>
        )}
        {mayChange && !sale.requiresCode && (
          <Act busy={busy} class="quiet" onAct={() => void change({ requiresCode: true }, text.codeChanged)}>
            {text.makePrivate}
          </Act>
        )}
      </div>
      {timing && (
        <TimeDialog
          sale={sale}
          label={text.time}
          onDone={() => setTiming(false)}
          onTime={async (at) => {
            await change({ publishAt: at }, text.timed);
            setTiming(false);
          }}
        />
      )}
    </section>
  );
}

function TimeDialog(props: {
  sale: SaleView;
  label: string;
  onDone: () => void;
  onTime: (at: string) => Promise<void>;
}) {
  const { sale, label, onDone, onTime } = props;
  const store = useConsole();
  const { words, zone } = store;
  const { publication: text, time: problems } = words.console;
  const [typed, setTyped] = useState<TypedTime>(typedFor(Date.parse(sale.publishAt ?? sale.reserveOpensAt), zone));
  const [problem, setProblem] = useState<string>();
  const submit = () => {
    const moment = momentOf(typed, zone);
    const opensMs = Date.parse(sale.reserveOpensAt);
    const wrong = 'problem' in moment ? problems[moment.problem] : moment.ms > opensMs ? text.tooLate : undefined;
    setProblem(wrong);
    if (wrong === undefined && 'ms' in moment) void onTime(new Date(moment.ms).toISOString());
  };
  return (
    <Dialog labelledBy="publish-at-title" onClose={onDone}>
      <Form onSubmit={submit}>
        <h2 id="publish-at-title">{text.publishAt}</h2>
        <TimeField label={label} value={typed} onValue={setTyped} problem={problem} />
        <Choices back={words.frame.back} onBack={onDone}>
          <Submit busy={store.busy.has(`publish:${sale.saleId}`)}>{text.publish}</Submit>
        </Choices>
      </Form>
    </Dialog>
  );
}
