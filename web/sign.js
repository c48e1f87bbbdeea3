/**
 * Signing in and signing up, in the dialog that both pages have.
 */
import { isAtLeast } from '#platform/security/roles.ts';
import { act, byId } from './ui.js';

/** Makes the dialog work. `mayRegister` offers an account to those who have none. */
export function setUpSigning(api, { mayRegister }) {
  const dialog = byId('sign-dialog');
  const form = byId('sign-form');
  let registering = false;

  function show(wantsAccount) {
    registering = wantsAccount;
    byId('sign-title').textContent = registering ? 'Create an account' : 'Sign in';
    byId('sign-go').textContent = registering ? 'Create account' : 'Sign in';
    byId('sign-other').textContent = registering ? 'I have an account' : 'I have no account yet';
    byId('sign-other').hidden = !mayRegister;
    byId('name-field').hidden = !registering;
    form.elements.name.required = registering;
    form.elements.password.autocomplete = registering ? 'new-password' : 'current-password';
    byId('sign-problem').hidden = true;
  }

  byId('sign-other').addEventListener('click', () => show(!registering));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const { name, email, password } = Object.fromEntries(new FormData(form));
    act(byId('sign-go'), async () => {
      try {
        await (registering ? api.register(name, email, password) : api.signIn(email, password));
        form.reset();
        dialog.close();
      } catch (problem) {
        byId('sign-problem').textContent = problem.message;
        byId('sign-problem').hidden = false;
      }
    });
  });

  return {
    ask() {
      show(false);
      dialog.showModal();
    },
  };
}

/** Whether this account runs sales: it has a role beyond a customer's. */
export const runsSales = (account) => isAtLeast(account?.role ?? 'customer', 'viewer');
