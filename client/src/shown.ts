/**
 * What has been shown already: the rule by which a page takes in what is pushed.
 *
 * Pushes may be lost, arrive twice or out of order. Each names its subject and the subject's version, so a page shows
 * each piece of news once and never one that is older than what it has shown (invariant I5).
 */

/** A message as far as the rule looks at it. */
export interface Pushed {
  readonly type?: string;
  readonly saleId?: string;
  readonly purchaseId?: string;
  readonly reservationId?: string;
  readonly epoch?: number;
  readonly version?: number;
  readonly kind?: string;
  readonly notificationId?: string;
}

/** The account that one page keeps. */
export interface Shown {
  /** True if the message should be shown: it is news, and not older than what was shown of its subject. */
  admit(message: Pushed): boolean;
  /** Notes what was read from the API, so that older pushes on their way are dropped. */
  note(subject: string, version: number, epoch?: number): void;
}

/** What a message is about; messages about different things do not compete. */
export function subjectOf(message: Pushed): string | undefined {
  switch (message.type) {
    case 'stock':
    case 'sale':
      return `${message.type}:${message.saleId}`;
    case 'purchase':
      return `purchase:${message.purchaseId}`;
    case 'reservation':
    case 'reminder':
      return `reservation:${message.reservationId}`;
    default:
      return undefined;
  }
}

/** What was shown last of a subject: its version, and what was said of it at that version. */
interface Newest {
  readonly epoch: number;
  readonly version: number;
  readonly said: Set<string>;
}

/** Keeps the account of one page. */
export function createShown(): Shown {
  const newest = new Map<string, Newest>();

  /** What was said of a subject at a version; undefined if something newer was shown. */
  function saidAt(subject: string, epoch: number, version: number): Set<string> | undefined {
    const known = newest.get(subject);
    if (known && (epoch < known.epoch || (epoch === known.epoch && version < known.version))) return undefined;
    if (known?.epoch === epoch && known.version === version) return known.said;
    const said = new Set<string>();
    newest.set(subject, { epoch, version, said });
    return said;
  }

  return {
    admit(message) {
      const subject = subjectOf(message);
      if (subject === undefined) return true;
      const { epoch = 0, version = 0 } = message;
      const said = saidAt(subject, epoch, version);
      const name = `${message.kind ?? ''}:${message.notificationId ?? ''}`;
      if (!said || said.has(name)) return false;
      said.add(name);
      return true;
    },
    note: (subject, version, epoch = 0) => void saidAt(subject, epoch, version),
  };
}
