/** Starts the console: words first, then where everything is, then the page. Without either it says so, and tries again. */
import { render } from 'preact';
import 'uplot/dist/uPlot.min.css';
import './console/console.css';
import { App } from './console/app.tsx';
import { openConsole } from './console/store.ts';
import { loadConsoleWords } from './console/words.ts';
import { chosenLocale, languageOf } from './words.ts';

const root = document.getElementById('app') ?? document.body;

async function start(): Promise<void> {
  const locale = chosenLocale(localStorage, navigator.languages);
  document.documentElement.lang = locale;
  const words = await loadConsoleWords(languageOf(locale) ?? 'en');
  document.title = words.console.title;
  try {
    const store = await openConsole(words, locale, () => render(<App store={store} />, root));
    store.start();
    store.update();
  } catch {
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
          <p>{words.console.closed.failed}</p>
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
