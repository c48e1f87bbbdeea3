/** Settings: the language, and one's account: whose the address is, reminders, the password, and where one is signed in. */
import { type ComponentChildren, Fragment } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Problem } from '#client/problem.ts';
import { Act, LanguageSelect } from '../parts.tsx';
import type { Me, OwnSession } from '../types.ts';
import { leastPassword, mayBeCode, TextField } from './fields.tsx';
import { Failed, useShop, Waiting } from './parts.tsx';

/** Chooses the language of everything. */
export function LanguageChoice() {
  const shop = useShop();
  return (
    <LanguageSelect
      words={shop.words.language}
      chosen={shop.chosenLanguage}
      onChoose={(language) => void shop.speak(language)}
    />
  );
}

export function SettingsPage() {
  const shop = useShop();
  const { words, me } = shop;
  const { settings } = words;
  return (
    <>
      <h1 tabIndex={-1}>{settings.title}</h1>
      <section class="card">
        <div class="narrow">
          <LanguageChoice />
        </div>
        <p class="soft">{settings.notices}</p>
        {me && <Reminders me={me} />}
      </section>
      <section class="card" aria-labelledby="account-title">
        <h2 id="account-title">{settings.account}</h2>
        {me ? <Account me={me} /> : <p class="soft">{settings.signIn}</p>}
      </section>
      {me && (
        <Fragment key={me.customerId}>
          {!me.isVerified && <Contact me={me} />}
          <Password />
          <Sessions />
        </Fragment>
      )}
    </>
  );
}

function Account({ me }: { me: Me }) {
  const shop = useShop();
  const { words } = shop;
  const { settings } = words;
  return (
    <>
      <dl class="facts words">
        <div class="fact">
          <dt>{words.sign.name}</dt>
          <dd dir="auto">{me.name}</dd>
        </div>
        <div class="fact">
          <dt>{settings.email}</dt>
          <dd>
            <bdi>{me.email}</bdi>{' '}
            <span class="soft small">{me.isVerified ? settings.verified : settings.notVerified}</span>
          </dd>
        </div>
        <div class="fact">
          <dt>{settings.zone}</dt>
          <dd>{Intl.DateTimeFormat().resolvedOptions().timeZone}</dd>
        </div>
        <div class="fact">
          <dt>{settings.number}</dt>
          <dd>
            <code class="mono">{me.customerId}</code>
          </dd>
        </div>
      </dl>
      <div>
        <button type="button" class="quiet" onClick={() => shop.signOut()}>
          {words.frame.signOut}
        </button>
      </div>
    </>
  );
}

function Reminders({ me }: { me: Me }) {
  const shop = useShop();
  const { settings } = shop.words;
  return (
    <label class="choice">
      <input
        type="checkbox"
        checked={me.reminders}
        onChange={({ currentTarget }) => void shop.setReminders(currentTarget.checked)}
      />
      {settings.reminders}
    </label>
  );
}

/** A form that says beside its fields what is wrong with them, and at its end what was refused. */
function Form(props: { title: string; id: string; onSubmit: () => void; children: ComponentChildren }) {
  const { title, id, onSubmit, children } = props;
  return (
    <section class="card" aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      <form
        class="narrow"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          const form = event.currentTarget;
          onSubmit();
          requestAnimationFrame(() => form.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus());
        }}
      >
        {children}
      </form>
    </section>
  );
}

/** Shows with a code from a mail that the address is one's own. */
function Contact({ me }: { me: Me }) {
  const shop = useShop();
  const { settings, sign, problems } = shop.words;
  const [isAsked, setAsked] = useState(false);
  const [code, setCode] = useState('');
  const [problem, setProblem] = useState<string>();
  const ask = () =>
    shop.attempt('contact', async () => {
      await shop.askForContactCode();
      setAsked(true);
    });
  const submit = () => {
    setProblem(mayBeCode(code) ? undefined : sign.badCode);
    if (!mayBeCode(code)) return;
    void shop.attempt('contact', async () => {
      try {
        await shop.verifyContact(code.trim());
      } catch (refusal) {
        if (!(refusal instanceof Problem) || refusal.code !== 'invalid_code') throw refusal;
        setProblem(problems.invalid_code);
      }
    });
  };
  return (
    <Form title={settings.verify} id="contact-title" onSubmit={submit}>
      <p class="soft">{settings.verifyHint}</p>
      <div class="row">
        <Act class="quiet" busy={shop.busy.has('contact')} onAct={() => void ask()}>
          {sign.sendCode}
        </Act>
      </div>
      <p role="status" class={isAsked ? 'note' : undefined}>
        {isAsked && settings.codeSent(me.email)}
      </p>
      <TextField
        {...{ id: 'contact-code', type: 'text', complete: 'one-time-code', most: 64 }}
        {...{ label: sign.code, hint: sign.codeHint, value: code, onValue: setCode, problem }}
      />
      <div class="row">
        <button type="submit" aria-busy={shop.busy.has('contact')}>
          {settings.confirm}
        </button>
      </div>
    </Form>
  );
}

function Password() {
  const shop = useShop();
  const { settings, sign } = shop.words;
  const [values, setValues] = useState({ old: '', next: '' });
  const [problems, setProblems] = useState<{ old?: string; next?: string }>({});
  const submit = () => {
    const found = {
      ...(values.old === '' ? { old: sign.noPassword } : {}),
      ...(values.next.length < leastPassword ? { next: sign.badPassword } : {}),
    };
    setProblems(found);
    if (Object.keys(found).length > 0) return;
    void shop.attempt('password', async () => {
      try {
        await shop.changePassword(values.old, values.next);
        setValues({ old: '', next: '' });
      } catch (refusal) {
        if (!(refusal instanceof Problem)) throw refusal;
        if (refusal.code === 'invalid_credentials') setProblems({ old: settings.wrongPassword });
        else if (refusal.body.fields) setProblems({ next: sign.guessablePassword });
        else throw refusal;
      }
    });
  };
  const common = { type: 'password', most: 128 } as const;
  return (
    <Form title={settings.password} id="password-title" onSubmit={submit}>
      <p class="soft">{settings.passwordHint}</p>
      <TextField
        {...{ ...common, id: 'password-old', complete: 'current-password', label: settings.oldPassword }}
        {...{ value: values.old, problem: problems.old, onValue: (old) => setValues({ ...values, old }) }}
      />
      <TextField
        {...{ ...common, id: 'password-new', complete: 'new-password', label: sign.newPassword }}
        {...{ value: values.next, problem: problems.next, onValue: (next) => setValues({ ...values, next }) }}
        hint={sign.passwordHint}
      />
      <div class="row">
        <button type="submit" aria-busy={shop.busy.has('password')}>
          {sign.setPassword}
        </button>
      </div>
    </Form>
  );
}

/** Where one is signed in, and signing out everywhere else. */
function Sessions() {
  const shop = useShop();
  const { words, format } = shop;
  const { settings } = words;
  const [sessions, setSessions] = useState<readonly OwnSession[] | 'failed'>();
  const read = async () => {
    try {
      setSessions(await shop.readSessions());
    } catch {
      setSessions('failed');
    }
  };
  useEffect(() => void read(), []);
  const end = () =>
    shop.attempt('sessions', async () => {
      await shop.endOtherSessions();
      await read();
    });
  return (
    <section class="card" aria-labelledby="sessions-title">
      <h2 id="sessions-title">{settings.sessions}</h2>
      {sessions === undefined ? (
        <Waiting />
      ) : sessions === 'failed' ? (
        <Failed text={settings.noSessions} onRetry={() => void read()} />
      ) : (
        <>
          <ul class="rules">
            {sessions.map(({ sessionId, startedAt, usedAt, isCurrent }) => (
              <li key={sessionId}>
                {settings.session(format.time(startedAt), format.time(usedAt ?? startedAt))}
                {isCurrent && <strong> {settings.thisOne}</strong>}
              </li>
            ))}
          </ul>
          {sessions.length > 1 && (
            <div class="row">
              <Act class="quiet" busy={shop.busy.has('sessions')} onAct={() => void end()}>
                {settings.endOthers}
              </Act>
            </div>
          )}
        </>
      )}
    </section>
  );
}
