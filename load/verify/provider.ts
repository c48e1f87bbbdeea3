/**
 * The payment provider's own books, as its API returns them to a holder of the API key.
 */

export interface Charge {
  id: string;
  idempotencyKey: string;
  amountMinor: number;
  currency: string;
  status: 'captured' | 'declined';
  /** ISO 8601. */
  createdAt?: string;
}

export interface Refund {
  id: string;
  chargeId: string;
  amountMinor: number;
  currency: string;
}

export interface Books {
  charges: Charge[];
  refunds: Refund[];
}

const timeoutMs = 10_000;

/** Reads the books from the first instance that answers; they share them. Throws if none does. */
export async function readBooks(providers: string[], apiKey: string): Promise<Books> {
  let failure: unknown = new Error('the stack has no payment provider');
  for (const provider of providers) {
    try {
      const response = await fetch(`${provider}/v1/ledger`, {
        headers: { authorization: `Bearer ${apiKey}` },
        signal: AbortSignal.timeout(timeoutMs),
      });
      if (response.ok) return (await response.json()) as Books;
      failure = new Error(`${provider} answered ${response.status}`);
    } catch (error) {
      failure = error;
    }
  }
  throw new Error('the books of the payment provider cannot be read', { cause: failure });
}
