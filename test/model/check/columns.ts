/** The columns of a table's rows, by name. */
import { fromBytes, type Id } from '#platform/kernel/ids.ts';
import type { Row, Table, Value } from '../world/mysql.ts';

/** Reads columns of a table's rows by name. */
export class Columns {
  readonly #table: Table;

  constructor(table: Table) {
    this.#table = table;
  }

  value(row: Row, column: string): Value {
    return row[this.#table.column(column)] ?? null;
  }

  number(row: Row, column: string): number {
    return Number(this.value(row, column));
  }

  text(row: Row, column: string): string {
    return String(this.value(row, column));
  }

  /** An id as the API writes it. */
  id(row: Row, column: string): Id<never> {
    return fromBytes(Buffer.from(this.text(row, column), 'latin1'));
  }
}
