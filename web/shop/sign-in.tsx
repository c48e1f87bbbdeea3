/** Signing in, signing up, and a new password by mail. What was asked for before is said, and sent afterwards. */
import { useState } from 'preact/hooks';
import { Problem } from '#client/problem.ts';
import { Dialog } from '../parts.tsx';
import { type FieldProps, leastPassword, mayBeCode, TextField } from './fields.tsx';
import { useShop } from './parts.tsx';

type Field = 'name' | 'email' | 'code' | 'password';
/** What somebody is about: signing in or up, asking for a code, or setting a password with it. */
type Mode = 'in' | 'up' | 'forgot' | 'reset';

const fieldsOf: Record<Mode, readonly Field[]> = {
  in: ['email', 'password'],
  up: ['name', 'email', 'password'],
  forgot: ['email'],
  reset: ['email', 'code', 'password'],
};

export function SignIn() {
  const shop = useShop();
  const { words, format, signing } = shop;
  const { sign } = words;
  const [mode, setMode] = useState<Mode>('in');
  const [values, setValues] = useState<Record<Field, string>>({ name: '', email: '', code: '', password: '' });
  const [problems, setProblems] = useState<Partial<Record<Field, string>>>({});
  const [refused, setRefused] = useState('');
  const [busy, setBusy] = useState(false);
  if (!signing) return null;
  const turnTo = (next: Mode) => {
    setMode(next);
    setProblems({});
    setRefused('');
    setValues({ ...values, password: '' });
  };
  const close = () => {
    turnTo('in');
    shop.signing = undefined;
    shop.update();
  };
  const { wish } = signing;
  const isNewPassword = mode === 'up' || mode === 'reset';

  const wrong: Record<Field, () => string | false> = {
    name: () => values.name.trim() === '' && sign.badName,
    email: () => !/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(values.email.trim()) && sign.badEmail,
    code: () => !mayBeCode(values.code) && sign.badCode,
    password: () =>
      isNewPassword
        ? values.password.length < leastPassword && sign.badPassword
        : values.password === '' && sign.noPassword,
  };

  async function carryOut(): Promise<void> {
    const { name, password, code } = values;
    const email = values.email.trim();
    if (mode === 'up') await shop.register(name.trim(), email, password);
    else if (mode === 'forgot') {
      await shop.askForPasswordCode(email);
      return turnTo('reset');
    } else {
      if (mode === 'reset') await shop.resetPassword(code.trim(), password);
      // The code is used: what may fail now is only signing in.
      setMode('in');
      await shop.signIn(email, password);
    }
    setValues({ name: '', email: '', code: '', password: '' });
  }

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    if (busy) return;
    const found: typeof problems = {};
    for (const field of fieldsOf[mode]) {
      const problem = wrong[field]();
      if (problem) found[field] = problem;
    }
    setProblems(found);
    setRefused('');
    const [first] = Object.keys(found);
    if (first) return document.getElementById(`sign-${first}`)?.focus();
    setBusy(true);
    try {
      await carryOut();
    } catch (problem) {
      // The shape was checked before it was sent; what the server still refuses of a password is that it is easily guessed.
      const refusedPassword = problem instanceof Problem && problem.body.fields?.some((of) => of.field === 'password');
      if (isNewPassword && refusedPassword) setProblems({ password: sign.guessablePassword });
      else if (problem instanceof Problem && problem.code === 'invalid_code') {
        setProblems({ code: words.problems.invalid_code });
      } else setRefused(shop.problemText(problem));
    } finally {
      setBusy(false);
    }
  }

  const fields: Record<Field, Pick<FieldProps, 'type' | 'complete' | 'most' | 'label' | 'hint'>> = {
    name: { type: 'text', complete: 'name', most: 100, label: sign.name },
    email: { type: 'email', complete: 'email', most: 254, label: sign.email },
    code: { type: 'text', complete: 'one-time-code', most: 64, label: sign.code, hint: sign.codeHint },
    password: {
      ...{ type: 'password', most: 128, complete: isNewPassword ? 'new-password' : 'current-password' },
      label: mode === 'reset' ? sign.newPassword : sign.password,
      hint: isNewPassword ? sign.passwordHint : undefined,
    },
  };
  const title = { in: sign.in, up: sign.up, forgot: sign.forgotTitle, reset: sign.newPassword }[mode];
  const go = { in: sign.goIn, up: sign.goUp, forgot: sign.sendCode, reset: sign.setPassword }[mode];
  const hasOwnAccounts = shop.config.ownAccounts !== false;
  const others: [Mode, string][] = !hasOwnAccounts
    ? []
    : mode === 'in'
      ? [
          ['up', sign.none],
          ['forgot', sign.forgot],
        ]
      : mode === 'forgot'
        ? [
            ['in', sign.in],
            ['reset', sign.haveCode],
          ]
        : [['in', mode === 'up' ? sign.have : sign.in]];
  return (
    <Dialog labelledBy="sign-title" onClose={close}>
      <form onSubmit={(event) => void submit(event)} noValidate>
        <h2 id="sign-title">{title}</h2>
        {wish && (
          <p class="note">
            {sign.afterwards(
              words.reservation.name(
                format.number(wish.quantity),
                shop.sales.get(wish.saleId)?.name ?? words.reservation.someSale,
              ),
            )}
          </p>
        )}
        {!hasOwnAccounts && <p class="note">{words.problems.own_accounts_off}</p>}
        {mode === 'reset' && (
          <p class="note" role="status">
            {sign.codeSent}
          </p>
        )}
        {fieldsOf[mode].map((name) => (
          <TextField
            key={name}
            {...fields[name]}
            id={`sign-${name}`}
            value={values[name]}
            problem={problems[name]}
            onValue={(value) => setValues({ ...values, [name]: value })}
          />
        ))}
        {refused && (
          <p class="problem" role="alert">
            {refused}
          </p>
        )}
        <button type="submit" aria-busy={busy}>
          {go}
        </button>
        <div class="row apart">
          {others.map(([to, label]) => (
            <button key={to} type="button" class="quiet slim" onClick={() => turnTo(to)}>
              {label}
            </button>
          ))}
          <button type="button" class="quiet slim" onClick={close}>
            {words.frame.close}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
