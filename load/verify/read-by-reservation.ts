/**
 * One walk through three tables at once: each reservation with its stock movements and its notices.
 *
 * All three are read in the order of the same id, so nothing but the present page is held in memory.
 */
import type { MovementRow, NoticeRow, ReservationRow, Store } from './store.ts';

/** What the walk meets at one id. Without a row, the movements or notices speak of something else. */
export interface Stop {
  id: string;
  row: ReservationRow | undefined;
  movements: MovementRow[];
  notices: NoticeRow[];
}

/** Walks through everything in order of ids. */
export async function* walk(store: Store): AsyncGenerator<Stop> {
  const rows = new Cursor(store.reservations(), (row) => row.id);
  const movements = new Cursor(store.movements(), (row) => row.subjectId);
  const notices = new Cursor(store.notices(), (row) => row.subjectId);
  for (;;) {
    const heads = [await rows.head(), await movements.head(), await notices.head()].filter((id) => id !== undefined);
    const [id] = heads.sort();
    if (id === undefined) return;
    yield {
      id,
      row: (await rows.takeAll(id))[0],
      movements: await movements.takeAll(id),
      notices: await notices.takeAll(id),
    };
  }
}

/** A stream that can be looked at before it is taken from. */
class Cursor<Row> {
  readonly #stream: AsyncGenerator<Row>;
  readonly #idOf: (row: Row) => string;
  #next: IteratorResult<Row> | undefined;

  constructor(stream: AsyncGenerator<Row>, idOf: (row: Row) => string) {
    this.#stream = stream;
    this.#idOf = idOf;
  }

  /** The id that comes next; undefined at the end. */
  async head(): Promise<string | undefined> {
    this.#next ??= await this.#stream.next();
    return this.#next.done ? undefined : this.#idOf(this.#next.value);
  }

  /** Takes everything with this id, which must not lie behind. */
  async takeAll(id: string): Promise<Row[]> {
    const taken: Row[] = [];
    while ((await this.head()) === id) {
      if (this.#next && !this.#next.done) taken.push(this.#next.value);
      this.#next = undefined;
    }
    return taken;
  }
}
