/** Starts the shop. */
import { App } from './shop/app.tsx';
import { openStore } from './shop/store.ts';
import { startPage } from './start.tsx';
import { loadWords, type Words } from './words.ts';

await startPage<Words>({
  loadWords,
  title: (words) => words.frame.title,
  failed: (words) => words.failed.start,
  open: async (words, locale, draw) => {
    const shop = await openStore(words, locale, () => draw(<App shop={shop} />));
    return shop;
  },
});
