/** The frame of the console, and the page that the address names. */
import { useEffect, useState } from 'preact/hooks';
import { Badge, Choices, Dialog, LanguageSelect, Mark, Name } from '../parts.tsx';
import { ActsPage } from './acts.tsx';
import { HealthPage } from './health.tsx';
import { KeysPage } from './keys.tsx';
import { OperatorsPage } from './operators.tsx';
import { ConsoleContext, Failed, Form, Submit, Title, useConsole, Waiting } from './parts.tsx';
import { PaymentsPage } from './payments.tsx';
import { ProductsPage } from './products.tsx';
import { SalesPage } from './sales.tsx';
import type { Console } from './store.ts';
import { StoryPage } from './story.tsx';
import { offsetName } from './times.ts';
import { WebhooksPage } from './webhooks.tsx';

export function App({ store }: { store: Console }) {
  const { words } = store;
  return (
    <ConsoleContext.Provider value={store}>
      {/* Not a link: the address says where the reader is, and must not become that of the content. */}
      <button type="button" class="skip" onClick={() => document.getElementById('main')?.focus()}>
        {words.frame.skip}
      </button>
      <Header />
      <main id="main" tabIndex={-1} class="console">
        {!store.online && (
          <p class="problem" role="alert">
            {words.frame.offline}
          </p>
        )}
        {store.may('viewer') ? <Areas /> : <Closed />}
      </main>
      <Asked />
      <Announced />
    </ConsoleContext.Provider>
  );
}

function Header() {
  const store = useConsole();
  const { words, me, config } = store;
  return (
    <header class="top">
      <div class="top-inner">
        <a class="brand" href="#/">
          <Mark /> <span class="brand-name">Holdfast</span> <small>{words.console.name}</small>
        </a>
        {store.may('viewer') && (
          <span role="status">
            <Badge kind={store.link}>{words.frame.link[store.link]}</Badge>
          </span>
        )}
        <span class="grow" />
        <a class="button quiet" href="/">
          {words.console.shop}
        </a>
        {config.docs && (
          <a class="button quiet" href={config.docs} target="_blank" rel="noopener">
            {words.console.api}
          </a>
        )}
        {me && (
          <>
            <span class="who soft small">
              <bdi dir="auto">{me.name}</bdi>, {words.console.role[me.role]}
            </span>
            <button type="button" class="quiet" onClick={() => store.signOut()}>
              {words.frame.signOut}
            </button>
          </>
        )}
      </div>
    </header>
  );
}

const areas = ['sales', 'products', 'payments', 'health', 'webhooks', 'operators', 'keys', 'acts', 'settings'] as const;
type Area = (typeof areas)[number];
/** What only admins are shown. */
const forAdmins: readonly Area[] = ['operators', 'keys'];

function Areas() {
  const store = useConsole();
  const { words, path } = store;
  const [first = 'sales'] = path;
  const area = areas.find((name) => name === first) ?? 'sales';
  const title = `${words.console.areas[area]} · ${words.console.title}`;
  useEffect(() => {
    document.title = title;
  }, [title]);
  return (
    <>
      <nav class="tabs areas" aria-label={words.console.areas.label}>
        {areas
          .filter((name) => !forAdmins.includes(name) || store.may('admin'))
          .map((name) => (
            <a key={name} href={`#/${name}`} aria-current={name === area ? 'page' : undefined}>
              {words.console.areas[name]}
            </a>
          ))}
      </nav>
      {!store.may('operator') && <p class="note">{words.console.role.only}</p>}
      {first === 'customers' ? <StoryPage customerId={path[1] ?? ''} /> : <AreaPage area={area} />}
      <p class="soft small zone">
        {words.console.time.ofAll(words.console.time.zone(store.zone, offsetName(store.now(), store.zone)))}
      </p>
    </>
  );
}

function AreaPage({ area }: { area: Area }) {
  switch (area) {
    case 'sales':
      return <SalesPage />;
    case 'products':
      return <ProductsPage />;
    case 'payments':
      return <PaymentsPage />;
    case 'health':
      return <HealthPage />;
    case 'webhooks':
      return <WebhooksPage />;
    case 'operators':
      return <OperatorsPage />;
    case 'keys':
      return <KeysPage />;
    case 'acts':
      return <ActsPage />;
    default:
      return <LanguagePage />;
  }
}

/** Whoever may not look at anything: not signed in, or a customer. */
function Closed() {
  const store = useConsole();
  const { words, me, opening } = store;
  return (
    <>
      <Title>{words.console.heading}</Title>
      {opening === 'opening' ? (
        <Waiting />
      ) : opening === 'failed' ? (
        <Failed text={words.console.closed.failed} onRetry={() => void store.open()} />
      ) : me ? (
        <p class="empty">{words.console.closed.customer}</p>
      ) : (
        <SignIn />
      )}
    </>
  );
}

function SignIn() {
  const store = useConsole();
  const { words } = store;
  const { sign } = words;
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const [problems, setProblems] = useState<{ email?: string; password?: string; refused?: string }>({});
  const submit = () => {
    const found = {
      ...(/^[^\s@]+@[^\s@]+$/.test(email.trim()) ? {} : { email: sign.badEmail }),
      ...(password === '' ? { password: sign.noPassword } : {}),
    };
    setProblems(found);
    if (Object.keys(found).length > 0) return;
    void store.act('sign-in', async () => {
      try {
        await store.api.signIn(email.trim(), password);
      } catch (problem) {
        setProblems({ refused: store.problemText(problem) });
      }
    });
  };
  return (
    <Form class="card narrow" onSubmit={submit} label={sign.in}>
      <p>{words.console.closed.out}</p>
      <div class="field">
        <label for="sign-email">{sign.email}</label>
        <input
          id="sign-email"
          type="email"
          autocomplete="username"
          value={email}
          aria-invalid={problems.email !== undefined}
          aria-describedby="sign-email-hint"
          onInput={({ currentTarget }) => setEmail(currentTarget.value)}
        />
        <span id="sign-email-hint" class="problem">
          {problems.email ?? ''}
        </span>
      </div>
      <div class="field">
        <label for="sign-password">{sign.password}</label>
        <input
          id="sign-password"
          type="password"
          autocomplete="current-password"
          value={password}
          aria-invalid={problems.password !== undefined}
          aria-describedby="sign-password-hint"
          onInput={({ currentTarget }) => setPassword(currentTarget.value)}
        />
        <span id="sign-password-hint" class="problem">
          {problems.password ?? ''}
        </span>
      </div>
      {problems.refused && (
        <p class="problem" role="alert">
          {problems.refused}
        </p>
      )}
      <Submit busy={store.busy.has('sign-in')}>{sign.goIn}</Submit>
    </Form>
  );
}

function LanguagePage() {
  const store = useConsole();
  const { words } = store;
  return (
    <>
      <Title>{words.language.label}</Title>
      <section class="card narrow">
        <LanguageSelect
          words={words.language}
          chosen={store.chosenLanguage}
          onChoose={(language) => void store.speak(language)}
        />
      </section>
    </>
  );
}

/** The question that is open. */
function Asked() {
  const { question, words } = useConsole();
  if (!question) return null;
  const { text, facts = [], choices, answer } = question;
  return (
    <Dialog key={text} label={text} class="ask" onClose={() => answer(undefined)}>
      <p>{text}</p>
      {facts.length > 0 && (
        <ul class="rules">
          {facts.map((fact) => (
            <li key={fact}>{fact}</li>
          ))}
        </ul>
      )}
      <Choices back={words.frame.back} onBack={() => answer(undefined)}>
        {choices.map(({ name, label, danger }) => (
          <button key={name} type="button" class={danger ? 'danger' : undefined} onClick={() => answer(name)}>
            {label}
          </button>
        ))}
      </Choices>
    </Dialog>
  );
}

/** The one thing that was said last. */
function Announced() {
  const store = useConsole();
  const { said, words } = store;
  return (
    <div class="said" aria-live={said?.kind === 'bad' ? 'assertive' : 'polite'}>
      {said && (
        <div class={`toast ${said.kind}`} key={said.id}>
          <p>
            <Name>{said.text}</Name>
          </p>
          <button type="button" class="toast-close" aria-label={words.frame.dismiss} onClick={() => store.dismiss()}>
            ×
          </button>
        </div>
      )}
    </div>
  );
}
