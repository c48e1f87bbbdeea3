/** The shapes of labels: what a shop notes on a product, a sale, a reservation or a purchase. */
import * as z from 'zod';
import { line, notEmpty, stated, text } from '#platform/kernel/shapes.ts';
import { labelKinds } from './label.table.ts';

/** The most keys in metadata, and the most bytes that it takes as JSON in UTF-8. */
export const maxMetadataKeys = 20;
export const maxMetadataBytes = 2_048;

/** Two names are taken by JavaScript, so no JSON that is read here may have them. */
const Key = z
  .string()
  .regex(
    /^(?!(?:constructor|prototype)$)[A-Za-z][A-Za-z0-9_.-]{0,39}$/,
    'must be a letter, then up to 39 letters, digits, dots, dashes and underscores, and not constructor or prototype',
  );
const maxValueCharacters = 500;

/** The shop's own name for something, such as an order number. */
export const Reference = line(1, 64);

/** Whether metadata is small enough to be stored, sent through queues, and told in webhooks. */
export const isSmall = (metadata: object): boolean => Buffer.byteLength(JSON.stringify(metadata)) <= maxMetadataBytes;

const ofFewKeys = <Shape extends z.ZodRecord>(shape: Shape) =>
  shape
    .refine((value) => Object.keys(value).length <= maxMetadataKeys, {
      message: `must have at most ${maxMetadataKeys} keys`,
      params: stated,
    })
    .meta({ maxProperties: maxMetadataKeys });

/** The shop's own facts about something: keys and values that mean nothing here. */
export const Metadata = ofFewKeys(z.record(Key, text(maxValueCharacters, 1)))
  .refine(isSmall, { message: `must take at most ${maxMetadataBytes} bytes as JSON` })
  .meta({ id: 'Metadata' });

/** What a request that makes something may note on it. */
export const labelFields = {
  reference: Reference.optional().describe('Your own name for it, by which it can be looked up'),
  metadata: Metadata.optional().describe('Your own facts about it'),
};

/** What a request notes; both may be missing. */
export interface Noted {
  readonly reference?: string | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

/** A change of a label: absent fields and keys stay. */
export const LabelChange = notEmpty(
  z.strictObject({
    reference: Reference.nullable().optional().describe('Null takes it away'),
    metadata: ofFewKeys(z.record(Key, text(maxValueCharacters).nullable()))
      .nullable()
      .optional()
      .describe('The keys named are set, or taken away by null or an empty text; null takes all away'),
  }),
).meta({ id: 'LabelChange' });
export type LabelChange = z.output<typeof LabelChange>;

/** A label as it is stored and as a queue carries it. */
export const Label = z.object({
  reference: z.string().max(64).nullable(),
  metadata: z.record(z.string(), z.string()).readonly(),
});
export type Label = z.output<typeof Label>;

/** How an answer or a webhook says it. */
export const shownLabel = {
  reference: z.string().nullable().describe('The shop’s own name for it'),
  metadata: z.record(z.string(), z.string()).describe('The shop’s own facts about it'),
};

export const LabelKind = z.enum(labelKinds);
