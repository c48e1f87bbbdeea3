/** Starts the console. */
import 'uplot/dist/uPlot.min.css';
import './console/console.css';
import { App } from './console/app.tsx';
import { openConsole } from './console/store.ts';
import { type ConsoleWords, loadConsoleWords } from './console/words.ts';
import { startPage } from './start.tsx';

await startPage<ConsoleWords>({
  loadWords: loadConsoleWords,
  title: (words) => words.console.title,
  failed: (words) => words.console.closed.failed,
  open: async (words, locale, draw) => {
    const store = await openConsole(words, locale, () => draw(<App store={store} />));
    return store;
  },
});
