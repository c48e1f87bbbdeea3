/** The shipped migrations, as the model's MySQL reads them. */
import { readdirSync, readFileSync } from 'node:fs';

const folder = new URL('../../../lib/migrations/', import.meta.url);

/** All of them in the order in which they are applied, as one text. */
export function allMigrations(): string {
  const files = readdirSync(folder).filter((name) => name.endsWith('.sql'));
  return files
    .sort()
    .map((name) => readFileSync(new URL(name, folder), 'utf8'))
    .join('\n--> statement-breakpoint\n');
}
