/**
 * Keys of one secret, so that one can take the place of another without refusing what clients hold (`infra/key-rings.ts`): what is made
 * is made with the first, and what comes back is accepted if any of them made it.
 *
 * A secret is a text: one key, as it was generated, or a ring, `{"keys":["…"],"lasting":"…"}`. What is stored under a key cannot be made
 * again with another one, as the hash of an address of which nothing else is left; it has the `lasting` key, which no rotation
 * changes: the first that the secret had.
 */
import * as z from 'zod';
import { locate, type Registry } from '#platform/kernel/registry.ts';

export interface KeyRing {
  /** What new things are made with. */
  readonly current: string;
  /** Whose things are accepted, the current one's first. */
  readonly accepted: readonly string[];
  /** For what is compared with what was stored before: persons, salts of passwords. It opens and signs nothing. */
  readonly lasting: string;
}

const Key = z.string().min(1);
const Ring = z.object({ keys: z.tuple([Key], Key), lasting: Key });

/** The keys of a secret's text. Throws for a ring that cannot be read, without saying what is in it. */
export function readKeyRing(text: string): KeyRing {
  if (!text.startsWith('{')) return { current: text, accepted: [text], lasting: text };
  const { data } = Ring.safeParse(parsed(text));
  if (!data) throw new Error('a secret is no ring of keys');
  return { current: data.keys[0], accepted: data.keys, lasting: data.lasting };
}

/** The text of a ring. */
export function writeKeyRing({ accepted, lasting }: Pick<KeyRing, 'accepted' | 'lasting'>): string {
  return JSON.stringify({ keys: accepted, lasting });
}

/** The keys of device tokens, codes, links in mails and proofs of work; the lasting one tells persons apart. */
export function guardKeys(registry: Registry): KeyRing {
  return readKeyRing(locate(registry, 'secret/guard-key'));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // What JSON.parse says quotes the text.
    return undefined;
  }
}
