/**
 * What a label is, and what becomes of it. Pure.
 *
 * A label is the shop's: its operators give it, and its programs with their API keys, also while they act for a customer. Who comes
 * with an access token of a customer gives none, so that no browser can pose as the shop.
 */
import { hash } from 'node:crypto';
import { type Refusal, refuse } from '#platform/kernel/errors.ts';
import type { Caller } from '#platform/security/access-token.ts';
import {
  isSmall,
  type Label,
  type LabelChange,
  maxMetadataBytes,
  maxMetadataKeys,
  type Noted,
} from './label.shapes.ts';
import type { LabelKind } from './label.table.ts';

/** A label without anything on it. */
export const noLabel: Label = { reference: null, metadata: {} };

/** The label of a request; undefined if it notes nothing. */
export function labelOf({ reference, metadata = {} }: Noted): Label | undefined {
  if (reference === undefined && Object.keys(metadata).length === 0) return undefined;
  return { reference: reference ?? null, metadata };
}

/** A request without what it notes. */
export function withoutLabel<Request extends Noted>(request: Request): Omit<Request, keyof Noted> {
  const { reference: _, metadata: __, ...rest } = request;
  return rest;
}

/** A label with its reference alone. */
export function withoutMetadata({ reference }: Label): Label {
  return { reference, metadata: {} };
}

/** Refuses a customer's call that notes something, unless an API key makes it. */
export function refuseLabel({ keyId }: Pick<Caller, 'keyId'>, { reference, metadata }: Noted): Refusal | undefined {
  if (keyId !== undefined || (reference === undefined && metadata === undefined)) return undefined;
  return refuse('keys_only', 'A reference and metadata are the shop’s: only its API keys give them.');
}

/** Refuses a reference that another product or sale has. */
export function refuseReference(kind: LabelKind): Refusal {
  return refuse('reference_taken', `Another ${kind} has this reference.`);
}

/** A label after a change. Refused if it became too large. */
export function changed(label: Label, { reference, metadata }: LabelChange): Label | Refusal {
  const kept = metadata === null ? {} : { ...label.metadata, ...metadata };
  const left = Object.entries(kept).filter((entry): entry is [string, string] => !!entry[1]);
  const next = { reference: reference === undefined ? label.reference : reference, metadata: Object.fromEntries(left) };
  if (left.length > maxMetadataKeys || !isSmall(next.metadata)) {
    const message = `would have more than ${maxMetadataKeys} keys or ${maxMetadataBytes} bytes`;
    return refuse('unprocessable', `The metadata ${message}.`, { fields: [{ field: 'metadata', message }] });
  }
  return next;
}

/** Tells one label of a request from another, whatever the order of its keys. Empty without one. */
export function digestOf(label: Label | undefined): string {
  if (!label) return '';
  const entries = Object.entries(label.metadata).sort(([one], [other]) => (one < other ? -1 : 1));
  return hash('sha256', JSON.stringify([label.reference, entries])).slice(0, 2 * digestBytes);
}

const digestBytes = 16;
