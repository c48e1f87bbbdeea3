/** The products: all of them to search, new ones, changes, and files. */
import { useRef, useState } from 'preact/hooks';
import { dataOf } from '#client/http.ts';
import { Problem } from '#client/problem.ts';
import { Name } from '../parts.tsx';
import type { Imported, NewProduct, Product, RowError } from '../types.ts';
import { languageOf } from '../words.ts';
import { typedAmount } from './amounts.ts';
import { MoneyField, useAmount } from './fields.tsx';
import { LabelButton } from './labels.tsx';
import {
  Failed,
  Field,
  Form,
  ListEnd,
  nameIn,
  SelectField,
  Submit,
  Table,
  TextField,
  Title,
  useConsole,
  Waiting,
} from './parts.tsx';
import { Pictures } from './pictures.tsx';
import { useProducts, useRead } from './reads.ts';

export function ProductsPage() {
  const store = useConsole();
  const [, page] = store.path;
  if (page === 'new' && store.may('operator')) return <ProductForm />;
  if (page === 'import' && store.may('operator')) return <ImportForm />;
  if (page && store.may('operator')) return <EditProduct key={page} productId={page} />;
  return <Products />;
}

/** How many are drawn at first, and more each time. */
const drawnAtOnce = 100;

function Products() {
  const store = useConsole();
  const { words, format } = store;
  const { products: text, list } = words.console;
  const [search, setSearch] = useState('');
  const [drawn, setDrawn] = useState(drawnAtOnce);
  const wanted = search.trim().toLocaleLowerCase();
  const pages = useProducts(wanted !== '');
  const found = pages.items.filter(({ name, sku }) => `${name} ${sku}`.toLocaleLowerCase().includes(wanted));
  const looking = wanted !== '' && pages.more;
  return (
    <>
      <Title>{text.title}</Title>
      {store.may('operator') && (
        <div class="row">
          <a class="button" href="#/products/new">
            {text.create}
          </a>
          <a class="button quiet" href="#/products/import">
            {text.import}
          </a>
        </div>
      )}
      <div class="form-grid">
        <TextField label={list.search} value={search} onValue={setSearch} placeholder={list.searchHint} />
      </div>
      {pages.state === 'loading' ? (
        <Waiting />
      ) : pages.state === 'failed' ? (
        <Failed onRetry={() => void pages.again()} />
      ) : (
        <>
          <p class="soft small" role="status">
            {looking
              ? list.looking(format.number(pages.items.length))
              : (pages.more ? list.shownOfMore : list.shown)(
                  format.number(Math.min(drawn, found.length)),
                  format.number(found.length),
                )}
          </p>
          {found.length === 0 ? (
            !looking && <p class="empty">{pages.items.length === 0 ? text.none : list.none}</p>
          ) : (
            <Table
              caption={text.title}
              hidden
              items={found.slice(0, drawn)}
              keyOf={({ productId }) => productId}
              columns={[
                { name: text.sku, cell: ({ sku }) => <code>{sku}</code> },
                { name: text.name, cell: ({ name }) => <Name>{name}</Name> },
                {
                  name: text.description,
                  cell: ({ description }) => (
                    <span class="soft clamp">
                      <Name>{description}</Name>
                    </span>
                  ),
                },
                { name: text.price, numeric: true, cell: ({ price }) => format.money(price) },
                ...(store.may('operator')
                  ? [
                      {
                        name: list.action,
                        cell: ({ productId }: Product) => (
                          <a class="button quiet slim" href={`#/products/${productId}`}>
                            {text.edit}
                          </a>
                        ),
                      },
                    ]
                  : []),
              ]}
            />
          )}
          <ListEnd
            more={found.length > drawn || pages.more}
            reading={pages.reading}
            onMore={() => {
              if (found.length > drawn) setDrawn(drawn + drawnAtOnce);
              else {
                setDrawn(drawn + drawnAtOnce);
                void pages.readMore();
              }
            }}
          />
        </>
      )}
    </>
  );
}

function EditProduct({ productId }: { productId: string }) {
  const { api, words } = useConsole();
  const { data, problem, again } = useRead(`product:${productId}`, () =>
    dataOf(api.http.GET('/products/{productId}', { params: { path: { productId } } })),
  );
  if (data) {
    return (
      <>
        <ProductForm product={data} />
        <Pictures product={data} onChanged={again} />
      </>
    );
  }
  return (
    <>
      <Title>{words.console.products.editTitle}</Title>
      {problem ? <Failed onRetry={() => void again()} /> : <Waiting />}
    </>
  );
}

type Name_ = 'sku' | 'name' | 'description' | 'price' | 'currency';

function ProductForm({ product }: { product?: Product }) {
  const store = useConsole();
  const { words } = store;
  const { products: text, field, money } = words.console;
  const [typed, setTyped] = useState<Record<Name_, string>>({
    sku: product?.sku ?? '',
    name: product?.name ?? '',
    description: product?.description ?? '',
    price: product ? typedAmount(product.price) : '',
    currency: product?.price.currency ?? 'EUR',
  });
  const [problems, setProblems] = useState<Partial<Record<Name_, string>>>({});
  const amountOf = useAmount();
  const set = (name: Name_) => (value: string) => {
    setTyped({ ...typed, [name]: value });
    setProblems({ ...problems, [name]: undefined });
  };
  const currency = typed.currency.trim().toUpperCase();

  function submit(): void {
    const found: typeof problems = {};
    const amount = amountOf(typed.price, currency);
    if (!product && !/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(typed.sku.trim())) found.sku = text.badSku;
    if (typed.name.trim() === '') found.name = field.missing;
    if (amount.problem === money.currency) found.currency = money.currency;
    else if (amount.problem !== undefined) found.price = amount.problem;
    setProblems(found);
    if (Object.keys(found).length > 0 || amount.problem !== undefined) return;
    // There is such a currency, or there were no amount in it.
    const price = { amountMinor: amount.amountMinor, currency: currency as NewProduct['price']['currency'] };
    const body = { name: typed.name.trim(), description: typed.description.trim(), price };
    const { http } = store.api;
    void store.act('product', async () => {
      try {
        const saved = product
          ? await dataOf(
              http.PATCH('/products/{productId}', { params: { path: { productId: product.productId } }, body }),
            )
          : await dataOf(http.POST('/products', { body: { sku: typed.sku.trim(), ...body } }));
        store.say('good', product ? words.console.ask.saved : text.created(saved.name));
        store.go('products');
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        if (problem.code === 'sku_taken') return setProblems({ sku: text.taken });
        const refused = (problem.body.fields ?? []).map(({ field: name }) => [name.split('.')[0], field.refused]);
        if (refused.length === 0) throw problem;
        setProblems(Object.fromEntries(refused));
      }
    });
  }

  return (
    <section class="card">
      <Title>{product ? text.editTitle : text.createTitle}</Title>
      <Form class="form-grid" onSubmit={submit} label={product ? text.editTitle : text.createTitle}>
        {product ? (
          <div class="row wide apart">
            <p>
              {text.sku}: <code>{product.sku}</code>
            </p>
            <LabelButton kind="product" subjectId={product.productId} slim />
          </div>
        ) : (
          <TextField
            label={text.sku}
            value={typed.sku}
            onValue={set('sku')}
            problem={problems.sku}
            hint={text.skuHint}
          />
        )}
        <TextField label={text.name} value={typed.name} onValue={set('name')} problem={problems.name} most={200} />
        <TextField
          label={text.currency}
          value={typed.currency}
          onValue={set('currency')}
          problem={problems.currency}
          most={3}
        />
        <MoneyField
          label={text.price}
          value={typed.price}
          onValue={set('price')}
          currency={currency || '…'}
          problem={problems.price}
        />
        <Field label={text.description} wide problem={problems.description} hint={product ? text.priceHint : undefined}>
          {(marks) => (
            <textarea
              {...marks}
              rows={3}
              dir="auto"
              maxLength={2_000}
              value={typed.description}
              onInput={({ currentTarget }) => set('description')(currentTarget.value)}
            />
          )}
        </Field>
        <div class="row wide end">
          <a class="button quiet" href="#/products">
            {words.console.ask.cancel}
          </a>
          <Submit busy={store.busy.has('product')}>{product ? words.console.ask.save : text.createTitle}</Submit>
        </div>
      </Form>
    </section>
  );
}

/** What came of the last file. */
type Outcome = { imported: Imported } | { rows: readonly RowError[]; problem: string };

function ImportForm() {
  const store = useConsole();
  const { words, format } = store;
  const { products: text } = words.console;
  const input = useRef<HTMLInputElement>(null);
  const [encoding, setEncoding] = useState<'utf-8' | 'cp949'>('utf-8');
  const [missing, setMissing] = useState(false);
  const [outcome, setOutcome] = useState<Outcome>();

  /** The server's sentence says most, to whoever reads its language; a row as a whole has no column. */
  const problemOf = ({ field, message }: RowError) =>
    languageOf(store.locale) === 'en' ? message : nameIn(text.wrong, field === '' ? 'row' : field);

  function submit(): void {
    const file = input.current?.files?.[0];
    setMissing(!file);
    // What was said of the last file is not of this one.
    setOutcome(undefined);
    if (!file) return;
    void store.act('import', async () => {
      try {
        const imported = store.api.http.POST('/products/import', {
          params: { query: { encoding } },
          headers: { 'content-type': 'application/octet-stream' },
          // A file goes as the bytes that it is, which are no text in every encoding.
          ...{ body: '', bodySerializer: () => file },
        });
        setOutcome({ imported: await dataOf(imported) });
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        const { rows } = problem.body;
        if (problem.code === 'payload_too_large') setOutcome({ rows: [], problem: text.tooLarge });
        else if (rows)
          setOutcome({ rows, problem: text.refused(format.number(rows.length), format.isOne(rows.length)) });
        else setOutcome({ rows: [], problem: store.problemText(problem) });
      }
    });
  }

  return (
    <section class="card">
      <Title>{text.import}</Title>
      <p>
        {text.columns} <code>sku,name,description,price_minor,currency</code>; {text.priceColumn('price')} {text.all}
      </p>
      <Form class="form-grid" onSubmit={submit} label={text.import}>
        <Field label={text.file} problem={missing ? text.noFile : undefined}>
          {(marks) => <input {...marks} ref={input} type="file" accept=".csv,text/csv" />}
        </Field>
        <SelectField
          label={text.encoding}
          value={encoding}
          onValue={setEncoding}
          options={[
            ['utf-8', text.utf8],
            ['cp949', text.cp949],
          ]}
        />
        <div class="row wide end">
          <a class="button quiet" href="#/products">
            {words.frame.back}
          </a>
          <Submit busy={store.busy.has('import')}>{text.go}</Submit>
        </div>
      </Form>
      <div role="status">
        {outcome &&
          ('imported' in outcome ? (
            <p class="note good">
              {text.imported(format.number(outcome.imported.created), format.number(outcome.imported.updated))}
            </p>
          ) : (
            <p class="problem">{outcome.problem}</p>
          ))}
      </div>
      {outcome && 'rows' in outcome && outcome.rows.length > 0 && (
        <Table
          caption={text.refusedRows}
          hidden
          items={outcome.rows}
          keyOf={({ row, field, message }) => `${row} ${field} ${message}`}
          columns={[
            { name: text.row, cell: ({ row }) => format.number(row) },
            { name: text.column, cell: ({ field }) => field && <code>{field}</code> },
            { name: text.problem, cell: problemOf },
          ]}
        />
      )}
    </section>
  );
}
