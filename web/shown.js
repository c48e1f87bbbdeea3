/**
 * What has been shown already: the rule by which a page takes in what is pushed.
 *
 * Pushes may be lost, arrive twice or out of order. Each names its subject and the subject's version, so a page shows
 * each piece of news once and never one that is older than what it has shown (invariant I5).
 */

const order = (message) => [message.epoch ?? 0, message.version ?? 0];

/** What a message is about; messages about different things do not compete. */
export function subjectOf(message) {
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

/** Keeps the account of one page. */
export function createShown() {
  const newest = new Map();
  const seen = new Set();
  return {
    /** True if the message should be shown: it is news, and not older than what was shown of its subject. */
    admit(message) {
      const subject = subjectOf(message);
      if (subject === undefined) return true;
      const [epoch, version] = order(message);
      const [knownEpoch, knownVersion] = newest.get(subject) ?? [-1, -1];
      if (epoch < knownEpoch || (epoch === knownEpoch && version < knownVersion)) return false;
      const name = `${subject}:${epoch}:${version}:${message.kind ?? ''}:${message.notificationId ?? ''}`;
      if (seen.has(name)) return false;
      seen.add(name);
      newest.set(subject, [epoch, version]);
      return true;
    },
    /** Notes what was read from the API, so that older pushes on their way are dropped. */
    note(subject, version, epoch = 0) {
      const [knownEpoch, knownVersion] = newest.get(subject) ?? [-1, -1];
      if (epoch > knownEpoch || (epoch === knownEpoch && version > knownVersion)) newest.set(subject, [epoch, version]);
    },
  };
}
