/** Signing in and signing up. What was asked for before is said, and sent afterwards. */
import { useState } from 'preact/hooks';
import { Problem } from '#client/problem.ts';
import { Dialog } from '../parts.tsx';
import { useShop } from './parts.tsx';

type Field = 'name' | 'email' | 'password';

export function SignIn() {
  const shop = useShop();
  const { words, format, signing } = shop;
  const { sign } = words;
  const [isNew, setNew] = useState(false);
  const [values, setValues] = useState<Record<Field, string>>({ name: '', email: '', password: '' });
  const [problems, setProblems] = useState<Partial<Record<Field, string>>>({});
  const [refused, setRefused] = useState('');
  const [busy, setBusy] = useState(false);
  if (!signing) return null;
  const close = () => {
    shop.signing = undefined;
    shop.update();
  };
  const { wish } = signing;

  function check(): Partial<Record<Field, string>> {
    const found: Partial<Record<Field, string>> = {};
    if (isNew && values.name.trim() === '') found.name = sign.badName;
    if (!/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(values.email.trim())) found.email = sign.badEmail;
    if (isNew && values.password.length < 10) found.password = sign.badPassword;
    if (!isNew && values.password === '') found.password = sign.noPassword;
    return found;
  }

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    if (busy) return;
    const found = check();
    setProblems(found);
    setRefused('');
    const [first] = Object.keys(found);
    if (first) return document.getElementById(`sign-${first}`)?.focus();
    setBusy(true);
    try {
      const { name, email, password } = values;
      await (isNew ? shop.register(name.trim(), email.trim(), password) : shop.signIn(email.trim(), password));
    } catch (problem) {
      // The shape was checked before it was sent; what the server still refuses of a password is that it is easily guessed.
      const refusedPassword = problem instanceof Problem && problem.body.fields?.some((of) => of.field === 'password');
      if (isNew && refusedPassword) setProblems({ password: sign.guessablePassword });
      else setRefused(shop.problemText(problem));
    } finally {
      setBusy(false);
    }
  }

  const field = (
    name: Field,
    type: 'text' | 'email' | 'password',
    complete: 'name' | 'email' | 'new-password' | 'current-password',
    hint?: string,
  ) => (
    <div class="field">
      <label for={`sign-${name}`}>{sign[name]}</label>
      <input
        id={`sign-${name}`}
        // Preact knows each type of input by itself, and none that may be one of several.
        type={type as 'text'}
        autocomplete={complete}
        maxLength={name === 'name' ? 100 : name === 'email' ? 254 : 128}
        value={values[name]}
        aria-invalid={problems[name] !== undefined}
        aria-describedby={`sign-${name}-hint`}
        onInput={({ currentTarget }) => setValues({ ...values, [name]: currentTarget.value })}
      />
      <span id={`sign-${name}-hint`} class={problems[name] ? 'problem' : 'soft small'}>
        {problems[name] ?? hint ?? ''}
      </span>
    </div>
  );

  const title = isNew ? sign.up : sign.in;
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
        {isNew && field('name', 'text', 'name')}
        {field('email', 'email', 'email')}
        {field(
          'password',
          'password',
          isNew ? 'new-password' : 'current-password',
          isNew ? sign.passwordHint : undefined,
        )}
        {refused && (
          <p class="problem" role="alert">
            {refused}
          </p>
        )}
        <button type="submit" aria-busy={busy}>
          {isNew ? sign.goUp : sign.goIn}
        </button>
        <div class="row apart">
          <button type="button" class="quiet slim" onClick={() => setNew(!isNew)}>
            {isNew ? sign.have : sign.none}
          </button>
          <button type="button" class="quiet slim" onClick={close}>
            {words.frame.close}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
