/** What a page reads for itself: one thing again and again, or a list page after page. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { dataOf } from '#client/http.ts';
import type { PageQuery } from '../api.ts';
import type { Page, Product, SaleOverview, SaleReport } from '../types.ts';
import { useConsole } from './parts.tsx';
import { withPart } from './report-sum.ts';

export interface Read<T> {
  readonly data: T | undefined;
  /** Why the latest attempt failed; what was read before stays. */
  readonly problem: unknown;
  again(): Promise<void>;
}

/**
 * Reads something, anew when its name changes, and every so often while the page is looked at. Without a name nothing is
 * read. An answer that a later one has overtaken is dropped.
 */
export function useRead<T>(name: string | undefined, read: () => Promise<T>, everyMs?: number): Read<T> {
  const [state, setState] = useState<{ name?: string | undefined; data?: T | undefined; problem?: unknown }>({});
  const current = useRef(name);
  current.current = name;
  const reader = useRef(read);
  reader.current = read;
  /** How many attempts were begun, how many of them are under way, and the latest that has been taken. */
  const turns = useRef({ begun: 0, open: 0, taken: 0 });
  const again = useCallback(async () => {
    const asked = current.current;
    if (asked === undefined) return;
    const turn = ++turns.current.begun;
    turns.current.open++;
    const isNews = () => {
      if (current.current !== asked || turn < turns.current.taken) return false;
      turns.current.taken = turn;
      return true;
    };
    try {
      const data = await reader.current();
      if (isNews()) setState({ name: asked, data });
    } catch (problem) {
      if (!isNews()) return;
      setState((before) => ({ name: asked, data: before.name === asked ? before.data : undefined, problem }));
    } finally {
      turns.current.open--;
    }
  }, []);
  useEffect(() => {
    void again();
    if (everyMs === undefined || name === undefined) return undefined;
    // What takes long is not asked for again while it is under way: its readers cost no more than it does.
    const isDue = () => document.visibilityState === 'visible' && turns.current.open === 0;
    const timer = setInterval(() => isDue() && void again(), everyMs);
    return () => clearInterval(timer);
  }, [name, everyMs]);
  const isCurrent = state.name === name;
  return { data: isCurrent ? state.data : undefined, problem: isCurrent ? state.problem : undefined, again };
}

/** How often what is not pushed is read, while it is looked at. */
export const lookMs = 2_000;

/** What a sale looks like from the inside. */
export function useOverview(saleId: string, everyMs?: number): Read<SaleOverview> {
  const { api } = useConsole();
  const params = { path: { saleId } };
  return useRead(`sale:${saleId}`, () => dataOf(api.http.GET('/ops/sales/{saleId}', { params })), everyMs);
}

/**
 * How a sale went so far, part after part; whole or not at all. `requests` is of how many requests the parts tell that have
 * come while it is read. A page that is left asks for no more of them.
 */
export function useReport(saleId: string, everyMs?: number): Read<SaleReport> & { readonly requests: number } {
  const { api } = useConsole();
  const [requests, setRequests] = useState(0);
  const isThere = useRef(true);
  useEffect(
    () => () => {
      isThere.current = false;
    },
    [],
  );
  const read = useRead(`report:${saleId}`, () => readParts(), everyMs);
  const readPart = (query: { cursor?: string }) =>
    dataOf(api.http.GET('/ops/sales/{saleId}/report', { params: { path: { saleId }, query } }));
  async function readParts(): Promise<SaleReport> {
    let whole = await readPart({});
    while (whole.nextCursor !== null && isThere.current) {
      setRequests(whole.turns.reduce((sum, turn) => sum + turn.requests, 0));
      whole = withPart(whole, await readPart({ cursor: whole.nextCursor }));
    }
    return whole;
  }
  return { ...read, requests };
}

export interface Pages<T> {
  readonly items: readonly T[];
  readonly state: 'loading' | 'ready' | 'failed';
  readonly problem: unknown;
  /** Whether there are more. */
  readonly more: boolean;
  readonly reading: boolean;
  readMore(): Promise<void>;
  again(): Promise<void>;
}

interface PagesState<T> {
  name: string | undefined;
  items: readonly T[];
  cursor: string | null;
  state: Pages<T>['state'];
  problem?: unknown;
}

/**
 * Reads a list page after page, anew when its name changes: the first by itself, the others when they are wanted, all of them
 * with `all`. Without a name nothing is read.
 */
export function usePages<T>(
  name: string | undefined,
  readPage: (query: PageQuery) => Promise<Page<T>>,
  { limit = 50, all = false } = {},
): Pages<T> {
  const empty = { name, items: [], cursor: null, state: 'loading' } as const;
  const [list, setList] = useState<PagesState<T>>(empty);
  const [reading, setReading] = useState(false);
  const current = useRef(name);
  current.current = name;

  async function read(cursor: string | null): Promise<void> {
    if (name === undefined) return;
    setReading(true);
    try {
      const page = await readPage({ limit, ...(cursor === null ? {} : { cursor }) });
      if (current.current !== name) return;
      setList((before) => ({
        ...{ name, cursor: page.nextCursor, state: 'ready' },
        items: cursor === null || before.name !== name ? page.items : [...before.items, ...page.items],
      }));
    } catch (problem) {
      if (current.current !== name) return;
      setList((before) => {
        const known = before.name === name ? before : empty;
        return { ...known, state: known.items.length > 0 ? 'ready' : 'failed', problem };
      });
    } finally {
      setReading(false);
    }
  }

  useEffect(() => void read(null), [name, limit]);
  const shown = list.name === name ? list : empty;
  const failed = 'problem' in shown && shown.problem !== undefined;
  useEffect(() => {
    if (all && shown.cursor !== null && !reading && !failed) void read(shown.cursor);
  }, [all, shown.cursor, reading, failed]);
  return {
    ...{ items: shown.items, state: shown.state, problem: failed ? shown.problem : undefined },
    ...{ more: shown.cursor !== null, reading },
    readMore: () => read(shown.cursor),
    again: () => read(null),
  };
}

/** Reads the products, newest first; with `all` every one of them. */
export function useProducts(all: boolean): Pages<Product> {
  const { http } = useConsole().api;
  return usePages('products', (query) => dataOf(http.GET('/products', { params: { query } })), { limit: 100, all });
}
