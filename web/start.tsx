/** Starts a page: words first, then where everything is, then what is drawn. Without either it says so, and tries again. */
import { type ComponentChild, render } from 'preact';
import { chosenLocale, type Language, languageOf, type Words } from './words.ts';

/** What a page is, for this to start it. */
export interface Page<W extends Words> {
  loadWords(language: Language): Promise<W>;
  /** What the browser calls it until it names the place. */
  title(words: W): string;
  /** What it says if it cannot start. */
  failed(words: W): string;
  /** Opens its store, which calls `draw` after each change. */
  open(words: W, locale: string, draw: (page: ComponentChild) => void): Promise<{ start(): void; update(): void }>;
}

/** Starts a page in the element `app`. */
export async function startPage<W extends Words>(page: Page<W>): Promise<void> {
  const root = document.getElementById('app') ?? document.body;
  const draw = (what: ComponentChild) => render(what, root);
  const locale = chosenLocale(localStorage, navigator.languages);
  document.documentElement.lang = locale;
  const words = await page.loadWords(languageOf(locale) ?? 'en');
  document.title = page.title(words);
  try {
    const store = await page.open(words, locale, draw);
    store.start();
    store.update();
  } catch {
    const again = () => {
      removeEventListener('online', again);
      draw(<p class="empty waiting">{words.frame.loading}</p>);
      void startPage(page);
    };
    addEventListener('online', again);
    draw(
      <main>
        <h1>Holdfast</h1>
        <div class="empty" role="alert">
          <p>{page.failed(words)}</p>
          <button type="button" onClick={again}>
            {words.frame.retry}
          </button>
        </div>
      </main>,
    );
  }
}
