/**
 * The access codes that somebody has come with: a link brings one, and the sale is found again without the link as long as the
 * browser keeps it.
 */

const storedAs = 'holdfast.codes';
/** How many are kept, the latest. */
const keptAtMost = 50;

type Codes = [saleId: string, code: string][];

export interface AccessCodes {
  /** Takes the code that an address brings for a sale, if it brings one. */
  take(saleId: string, query: string): void;
  of(saleId: string): string | undefined;
}

export function openCodes(store: Pick<Storage, 'getItem' | 'setItem'>): AccessCodes {
  const codes = new Map<string, string>(read(store));
  return {
    take(saleId, query) {
      const code = new URLSearchParams(query).get('code');
      if (!code || codes.get(saleId) === code) return;
      codes.delete(saleId);
      codes.set(saleId, code);
      try {
        store.setItem(storedAs, JSON.stringify([...codes].slice(-keptAtMost)));
      } catch {
        // A browser that keeps nothing has it for this visit.
      }
    },
    of: (saleId) => codes.get(saleId),
  };
}

function read(store: Pick<Storage, 'getItem'>): Codes {
  try {
    const stored: unknown = JSON.parse(store.getItem(storedAs) ?? '[]');
    return Array.isArray(stored) ? stored.filter(isPair) : [];
  } catch {
    return [];
  }
}

function isPair(value: unknown): value is Codes[number] {
  return Array.isArray(value) && value.length === 2 && value.every((part) => typeof part === 'string');
}
