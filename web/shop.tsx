/** Starts the shop: words first, then where everything is, then the page. Without either it says so, and tries again. */
import { render } from 'preact';
import { App } from './shop/app.tsx';
import { openStore } from './shop/store.ts';
import { chosenLocale, languageOf, loadWords } from './words.ts';

const root = document.getElementById('app') ?? document.body;

async function start(): Promise<void> {
  const locale = chosenLocale(localStorage, navigator.languages);
  document.documentElement.lang = locale;
  const words = await loadWords(languageOf(locale) ?? 'en');
  try {
    const shop = await openStore(words, locale, () => render(<App shop={shop} />, root));
    shop.start();
    shop.update();
  } catch {
    document.title = words.frame.title;
    const again = () => {
      removeEventListener('online', again);
      render(<p class="empty waiting">{words.frame.loading}</p>, root);
      void start();
    };
    addEventListener('online', again);
    render(
      <main>
        <h1>Holdfast</h1>
        <div class="empty" role="alert">
          <p>{words.failed.start}</p>
          <button type="button" onClick={again}>
            {words.frame.retry}
          </button>
        </div>
      </main>,
      root,
    );
  }
}

await start();
