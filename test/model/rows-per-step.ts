/**
 * How many reservations one step of a long job looks at in a model: few, so that a small sale has several steps. It
 * replaces the shipped number; each case and episode sets its own.
 */
import { inModule } from '../support/plant.ts';

/** The number now. */
export const pages = { rows: 500 };

/** To be planted in every process that runs a model. */
export const smallPages = [
  inModule(() => import('#launch/announce.ts'), { rowsPerStep: () => () => pages.rows }),
  inModule(() => import('#reservation/expire.ts'), { rowsPerPage: () => () => pages.rows }),
];
