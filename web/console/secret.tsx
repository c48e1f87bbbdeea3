/** What is shown once and never again: the secret of an endpoint, or an API key. */
import { Dialog } from '../parts.tsx';
import { useConsole } from './parts.tsx';

export function SecretDialog(props: { title: string; hint: string; secret: string; onDone: () => void }) {
  const { title, hint, secret, onDone } = props;
  const store = useConsole();
  const { hooks } = store.words.console;
  return (
    <Dialog labelledBy="secret-title" class="ask" onClose={onDone}>
      <h2 id="secret-title">{title}</h2>
      <p>{hint}</p>
      <p>
        <code class="secret">{secret}</code>
      </p>
      <div class="row end">
        <button
          type="button"
          class="quiet"
          onClick={() =>
            void navigator.clipboard.writeText(secret).then(
              () => store.say('good', hooks.copied),
              () => undefined,
            )
          }
        >
          {hooks.copy}
        </button>
        <button type="button" onClick={onDone}>
          {store.words.frame.close}
        </button>
      </div>
    </Dialog>
  );
}
