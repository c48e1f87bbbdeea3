import { defineConfig } from 'drizzle-kit';

/** Where `npm run migration` finds the tables, and where it writes the SQL that takes a database to them. */
export default defineConfig({ dialect: 'mysql', schema: './lib/*/*.table.ts', out: './lib/migrations' });
