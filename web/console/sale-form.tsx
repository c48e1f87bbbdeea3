/** Creating a sale, and editing its terms. What is wrong stands beside its field. */
import { useState } from 'preact/hooks';
import { dataOf } from '#client/http.ts';
import type { NewSale, SaleChange, SaleView } from '../types.ts';
import { TimeField } from './fields.tsx';
import { Form, SelectField, Submit, TextField, Title, useConsole, Waiting, wholeOf } from './parts.tsx';
import { useProducts } from './reads.ts';
import { momentOf, type TypedTime, typedFor } from './times.ts';

const timeNames = ['reserveOpensAt', 'reserveClosesAt', 'purchaseOpensAt', 'purchaseClosesAt'] as const;
type TimeName = (typeof timeNames)[number];
type Times = Record<TimeName, TypedTime>;

/** When a new sale becomes public. */
const publishing = ['now', 'at', 'draft'] as const;
type Publish = (typeof publishing)[number];

/** Minutes from now of the four times. */
const presets = {
  soon: [0.5, 2, 2, 5],
  today: [10, 70, 80, 200],
  tomorrow: [1_440, 2_880, 2_900, 4_340],
} as const;
type Preset = keyof typeof presets;

/** The times of a preset as of now, on whole steps, so that a field does not change under one's eyes all the time. */
function timesFrom(preset: Preset, nowMs: number, zone: string): Times {
  const stepMs = preset === 'soon' ? 10_000 : 60_000;
  const beginMs = Math.ceil(nowMs / stepMs) * stepMs;
  const at = (index: number) => typedFor(beginMs + (presets[preset][index] ?? 0) * 60_000, zone);
  return { reserveOpensAt: at(0), reserveClosesAt: at(1), purchaseOpensAt: at(2), purchaseClosesAt: at(3) };
}

/** What is wrong with times, by name; those that are asked back are said by their fields. */
export function problemsOfTimes(
  times: Times,
  zone: string,
  words: ReturnType<typeof useConsole>['words']['console'],
): { ms: Partial<Record<TimeName, number>>; problems: Partial<Record<TimeName, string>> } {
  const ms: Partial<Record<TimeName, number>> = {};
  const problems: Partial<Record<TimeName, string>> = {};
  for (const name of timeNames) {
    const moment = momentOf(times[name], zone);
    if ('ms' in moment) ms[name] = moment.ms;
    else problems[name] = words.time[moment.problem];
  }
  const { reserveOpensAt, reserveClosesAt, purchaseOpensAt, purchaseClosesAt } = ms;
  const later = (one: number | undefined, other: number | undefined) =>
    one === undefined || other === undefined || one < other;
  if (!later(reserveOpensAt, reserveClosesAt)) problems.reserveClosesAt = words.field.order;
  if (purchaseOpensAt !== undefined && reserveOpensAt !== undefined && purchaseOpensAt < reserveOpensAt) {
    problems.purchaseOpensAt = words.field.beforeClose;
  }
  if (!later(purchaseOpensAt, purchaseClosesAt)) problems.purchaseClosesAt = words.field.order;
  if (purchaseClosesAt !== undefined && reserveClosesAt !== undefined && purchaseClosesAt < reserveClosesAt) {
    problems.purchaseClosesAt = words.field.order;
  }
  return { ms, problems };
}

const ranges = {
  allotment: { least: 1, most: 100_000_000 },
  capPerCustomer: { least: 1, most: 10_000 },
  waitlistSize: { least: 0, most: 10_000_000 },
} as const;
/** In minutes, with parts of them; in seconds, what the API takes. */
const lengths = {
  offerLifeSeconds: { least: 5, most: 604_800 },
  payWithinSeconds: { least: 60, most: 31_622_400 },
  offerCutoffSeconds: { least: 0, most: 604_800 },
} as const;

/** Whom the cap counts by. */
const capHolders = ['customer', 'contact', 'externalId'] as const satisfies SaleView['capPer'][];

type NumberName = keyof typeof ranges;
type LengthName = keyof typeof lengths;
/** The numbers that are typed, lengths in seconds. */
type Numbers = Partial<Record<NumberName | LengthName, number>>;
type Typed = Record<'name' | 'productId' | NumberName | LengthName, string>;

/** Who charges: a provider, or with the empty name the one of the currency. */
type Provider = NonNullable<SaleView['paymentProvider']> | '';
const providers: readonly Provider[] = ['', 'sandbox', 'stripe', 'toss'];

const minutesOf = (seconds: number | null) => (seconds === null ? '' : String(Number((seconds / 60).toFixed(3))));

export function SaleForm({ sale }: { sale?: SaleView }) {
  const store = useConsole();
  const { words, format, zone } = store;
  const { form, field, publication } = words.console;
  const [typed, setTyped] = useState<Typed>({
    name: sale?.name ?? '',
    productId: sale?.productId ?? '',
    allotment: '100',
    capPerCustomer: String(sale?.capPerCustomer ?? 4),
    waitlistSize: String(sale?.waitlistSize ?? 100),
    offerLifeSeconds: minutesOf(sale?.offerLifeSeconds ?? 3_600),
    payWithinSeconds: minutesOf(sale?.payWithinSeconds ?? null),
    offerCutoffSeconds: minutesOf(sale?.offerCutoffSeconds ?? null),
  });
  const [publish, setPublish] = useState<Publish>('now');
  const [publishAt, setPublishAt] = useState<TypedTime>();
  const [who, setWho] = useState<'everybody' | 'withCode'>('everybody');
  const [capPer, setCapPer] = useState<SaleView['capPer']>('customer');
  const [requiresContact, setRequiresContact] = useState(sale?.requiresContact ?? false);
  const [provider, setProvider] = useState<Provider>(sale?.paymentProvider ?? '');
  const [preset, setPreset] = useState<Preset | undefined>('today');
  const [own, setOwn] = useState<Times>();
  const [problems, setProblems] = useState<Partial<Record<keyof Typed | TimeName | 'publishAt', string>>>({});
  const times = preset === undefined && own ? own : timesFrom(preset ?? 'today', store.now(), zone);
  const set = (name: keyof Typed) => (value: string) => {
    setTyped({ ...typed, [name]: value });
    setProblems({ ...problems, [name]: undefined });
  };
  const setTime = (name: TimeName) => (value: TypedTime) => {
    setOwn({ ...times, [name]: value });
    setProblems({ ...problems, [name]: undefined });
    setPreset(undefined);
  };

  function submit(): void {
    const found: typeof problems = {};
    const values: Numbers = {};
    if (typed.name.trim() === '') found.name = field.missing;
    if (!sale && typed.productId === '') found.productId = field.missing;
    for (const name of Object.keys(ranges) as NumberName[]) {
      if (sale && name === 'allotment') continue;
      const whole = wholeOf(typed[name], ranges[name], words, format);
      if (whole.problem !== undefined) found[name] = whole.problem;
      else values[name] = whole.value;
    }
    for (const name of Object.keys(lengths) as LengthName[]) {
      // What may be left out is; what a sale has cannot be taken from it.
      if (typed[name].trim() === '' && name !== 'offerLifeSeconds' && !sale) continue;
      if (typed[name].trim() === '' && name === 'payWithinSeconds' && sale?.payWithinSeconds === null) continue;
      const seconds = Math.round(Number(typed[name].replace(',', '.')) * 60);
      const { least, most } = lengths[name];
      if (typed[name].trim() === '') found[name] = field.missing;
      else if (!(seconds >= least && seconds <= most)) {
        found[name] = field.between(format.number(Math.ceil(least / 60)), format.number(Math.floor(most / 60)));
      } else values[name] = seconds;
    }
    const when: ReturnType<typeof problemsOfTimes> = sale
      ? { ms: {}, problems: {} }
      : problemsOfTimes(times, zone, words.console);
    const published = momentOf(publishAt ?? times.reserveOpensAt, zone);
    if (!sale && publish === 'at') {
      if ('problem' in published) found.publishAt = words.console.time[published.problem];
      else if (published.ms > (when.ms.reserveOpensAt ?? published.ms)) found.publishAt = publication.tooLate;
    }
    setProblems({ ...found, ...when.problems });
    if (Object.keys({ ...found, ...when.problems }).length > 0) store.say('bad', form.check);
    else void (sale ? edit(sale, values) : create(values, when.ms));
  }

  async function create(values: Numbers, ms: Partial<Record<TimeName, number>>): Promise<void> {
    const at = Object.fromEntries(Object.entries(ms).map(([name, value]) => [name, new Date(value).toISOString()]));
    await store.act('sale-form', async () => {
      const moment = momentOf(publishAt ?? times.reserveOpensAt, zone);
      const named = { name: typed.name.trim(), paymentProvider: provider || null };
      const body = {
        ...{ productId: typed.productId, ...named, capPer, requiresContact, ...values, ...at },
        ...(publish === 'draft' ? { publishAt: null } : {}),
        ...(publish === 'at' && 'ms' in moment ? { publishAt: new Date(moment.ms).toISOString() } : {}),
        ...(who === 'withCode' ? { requiresCode: true } : {}),
      };
      // Nothing that a sale needs is missing, or nothing were sent.
      const created = await dataOf(store.api.http.POST('/sales', { body: body as NewSale }));
      store.take(created);
      store.say('good', form.created(created.name));
      store.go(`sales/${created.saleId}`);
    });
  }

  async function edit(known: SaleView, values: Numbers): Promise<void> {
    const before: Record<string, unknown> = { ...known };
    const named = { name: typed.name.trim(), paymentProvider: provider || null };
    const changed = Object.entries({ ...named, requiresContact, ...values }).filter(
      ([name, value]) => value !== before[name],
    );
    if (changed.length === 0) return store.say('good', form.nothing);
    await store.act('sale-form', async () => {
      const params = { path: { saleId: known.saleId } };
      const body: SaleChange = Object.fromEntries(changed);
      store.take(await dataOf(store.api.http.PATCH('/sales/{saleId}', { params, body })));
      store.say('good', words.console.ask.saved);
      store.go(`sales/${known.saleId}`);
    });
  }

  const text = (name: keyof Typed, label: string, hint?: string, numeric = true) => (
    <TextField
      label={label}
      value={typed[name]}
      onValue={set(name)}
      hint={hint}
      numeric={numeric}
      problem={problems[name]}
      {...(name === 'name' ? { most: 200 } : {})}
    />
  );
  return (
    <section class="card" aria-labelledby="sale-form-title">
      {sale ? (
        <h2 id="sale-form-title">{form.edit}</h2>
      ) : (
        <div id="sale-form-title">
          <Title>{form.create}</Title>
        </div>
      )}
      {sale && <p class="note">{form.editTimes}</p>}
      <Form class="form-grid" onSubmit={submit} label={sale ? form.edit : form.create}>
        {!sale && <ProductChoice value={typed.productId} onValue={set('productId')} problem={problems.productId} />}
        {text('name', form.name, undefined, false)}
        {!sale && text('allotment', form.allotment)}
        {text('capPerCustomer', form.cap)}
        {!sale && (
          <SelectField
            label={form.capPer}
            value={capPer}
            onValue={setCapPer}
            options={capHolders.map((name) => [name, form.holders[name]] as const)}
          />
        )}
        {text('waitlistSize', form.waitlist)}
        {text('offerLifeSeconds', form.offerLife)}
        {text('payWithinSeconds', form.payWithin, form.payWithinHint)}
        {text('offerCutoffSeconds', form.cutoff, form.cutoffHint)}
        <SelectField
          label={form.provider}
          hint={form.providerHint}
          value={provider}
          onValue={setProvider}
          options={providers.map((name) => [name, form.providers[name]] as const)}
        />
        <label class="choice wide">
          <input
            type="checkbox"
            checked={requiresContact}
            onChange={({ currentTarget }) => setRequiresContact(currentTarget.checked)}
          />
          {form.requiresContact}
        </label>
        {!sale && (
          <fieldset class="wide plain form-grid">
            <legend>{form.presets}</legend>
            <div class="row wide">
              {(Object.keys(presets) as Preset[]).map((name) => (
                <button
                  key={name}
                  type="button"
                  class="quiet slim"
                  aria-pressed={preset === name}
                  onClick={() => setPreset(name)}
                >
                  {form.preset[name]}
                </button>
              ))}
            </div>
            {timeNames.map((name) => (
              <TimeField
                key={name}
                label={form[name]}
                value={times[name]}
                onValue={setTime(name)}
                problem={problems[name]}
              />
            ))}
          </fieldset>
        )}
        {!sale && (
          <>
            <SelectField
              label={publication.state}
              value={publish}
              onValue={setPublish}
              options={publishing.map((name) => [name, publication.when[name]] as const)}
            />
            <SelectField
              label={publication.who}
              value={who}
              onValue={setWho}
              options={[
                ['everybody', publication.everybody],
                ['withCode', publication.withCode],
              ]}
            />
            {publish === 'at' && (
              <TimeField
                label={publication.time}
                value={publishAt ?? times.reserveOpensAt}
                onValue={setPublishAt}
                problem={problems.publishAt}
              />
            )}
          </>
        )}
        <div class="row wide end">
          <a class="button quiet" href={sale ? `#/sales/${sale.saleId}` : '#/sales'}>
            {words.console.ask.cancel}
          </a>
          <Submit busy={store.busy.has('sale-form')}>{sale ? words.console.ask.save : form.go}</Submit>
        </div>
      </Form>
    </section>
  );
}

/** How many products the choice shows; a search narrows them. */
const productsShown = 100;

function ProductChoice(props: { value: string; onValue: (value: string) => void; problem?: string | undefined }) {
  const { words, format } = useConsole();
  const { form, list } = words.console;
  const [search, setSearch] = useState('');
  const wanted = search.trim().toLocaleLowerCase();
  const products = useProducts(wanted !== '');
  if (products.state === 'loading') return <Waiting />;
  if (products.state === 'ready' && products.items.length === 0) return <p class="problem wide">{form.noProducts}</p>;
  const found = products.items.filter(
    ({ name, sku, productId }) => `${name} ${sku}`.toLocaleLowerCase().includes(wanted) || productId === props.value,
  );
  const count = products.more
    ? (wanted === '' ? list.first : list.looking)(format.number(products.items.length))
    : list.shown(format.number(Math.min(found.length, productsShown)), format.number(found.length));
  return (
    <div class="wide form-grid">
      <TextField label={form.productHint} value={search} onValue={setSearch} hint={count} />
      <SelectField
        label={form.product}
        value={props.value}
        onValue={props.onValue}
        problem={props.problem}
        options={[
          ['', list.choose] as const,
          ...found.slice(0, productsShown).map(({ productId, name, sku }) => [productId, `${name} (${sku})`] as const),
        ]}
      />
    </div>
  );
}
