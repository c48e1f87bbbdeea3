/**
 * The shapes of a sale: what an operator sends, and the public view.
 */

import * as z from 'zod';
import { labelFields } from '#labels/label.shapes.ts';
import type { ProductId, SaleId } from '#platform/kernel/ids.ts';
import { Amount, characters, Instant, idOf, line, notEmpty } from '#platform/kernel/shapes.ts';
import { providerNames } from '#platform/payments/provider-names.ts';
import { capHolders, salePhases, saleStatuses } from './sale.table.ts';

/** The largest allotment, including added stock. A larger one could overflow a row's counters when they are summed. */
export const maxUnits = 100_000_000;

const Units = z.number().int().min(0).max(maxUnits);

const terms = {
  name: line(1, 200),
  capPerCustomer: z.number().int().min(1).max(10_000),
  /** Whether only those may reserve who have shown that their address is theirs. */
  requiresContact: z.boolean(),
  /**
   * Who charges what is bought in it. It must be in use here and take the sale's currency. Null, or without it, the provider of
   * that currency. A change is for purchases requested from then on.
   */
  paymentProvider: z.enum(providerNames).nullable(),
  waitlistSize: z.number().int().min(0).max(10_000_000),
  /** How long a waitlisted customer has to buy units that were offered. */
  offerLifeSeconds: z.number().int().min(5).max(604_800),
  /**
   * How long an allocation may stay unpaid once the window is open; then its units go to the line. Without it, until the
   * window closes. A change is for allocations made from then on. Holders are reminded once before their time ends: a fifth
   * of it, or of an offer's life if that is shorter, and at most an hour.
   */
  payWithinSeconds: z.number().int().min(60).max(31_622_400),
  /**
   * No offer is made later than this before the window closes, so that each can be taken. It is shorter than the window; without
   * it, a tenth of the window and at most a minute.
   */
  offerCutoffSeconds: z.number().int().min(0).max(604_800),
  reserveOpensAt: Instant,
  reserveClosesAt: Instant,
  purchaseOpensAt: Instant,
  purchaseClosesAt: Instant,
};

/** What customers must show to find a sale, as an operator sets it: it can stand in an address as it is. */
const AccessCode = z.string().regex(/^[A-Za-z0-9_-]{8,64}$/, 'must be 8 to 64 letters, digits, - or _');

/** What a customer shows of a code: whatever it is, a wrong one is answered as if there were no sale. */
export const ShownCode = characters(1, 64).describe(
  'The access code of a sale that asks for one; with a wrong one, or none, it is answered as if there were no such sale',
);

/** Who can find a sale, and from when on. */
const publication = {
  publishAt: Instant.nullable().describe(
    'When it becomes public: not after reserveOpensAt; a time that has passed means now. Null for a draft, until it is published',
  ),
  requiresCode: z
    .boolean()
    .describe('Whether only those find it who show its access code; it is in no public list then'),
};

/** What an operator sends to create a sale. */
export const CreateSale = z
  .strictObject({
    productId: idOf<ProductId>(),
    allotment: Units.min(1),
    ...terms,
    requiresContact: terms.requiresContact.default(false),
    /**
     * Whom the cap counts by: each account, or each person, told apart by a verified contact or an external id. A person has one
     * account that may reserve; one that came to its contact or id after the sale was made may not. It does not change later.
     */
    capPer: z.enum(capHolders).default('customer'),
    paymentProvider: terms.paymentProvider.optional(),
    waitlistSize: terms.waitlistSize.default(0),
    offerLifeSeconds: terms.offerLifeSeconds.default(3_600),
    payWithinSeconds: terms.payWithinSeconds.optional(),
    offerCutoffSeconds: terms.offerCutoffSeconds.optional(),
    publishAt: publication.publishAt
      .optional()
      .describe('When it becomes public; at once if absent, and null for a draft'),
    requiresCode: publication.requiresCode.default(false),
    accessCode: AccessCode.optional().describe(
      'A code of your own, with requiresCode; a random one is made without it',
    ),
    ...labelFields,
  })
  .meta({ id: 'NewSale' });
export type CreateSale = z.output<typeof CreateSale>;

/** The token from a preview, for a move that is dangerous. */
export const Confirmation = characters(0, 100).optional();

/** A confirmation alone changes nothing. */
const namesSomething = ({ confirmation: _, ...change }: { confirmation?: unknown }) => Object.keys(change).length > 0;

/** What an operator may change later; absent fields stay. */
export const UpdateSale = notEmpty(
  z
    .strictObject({ ...terms, ...publication })
    .partial()
    .extend({
      accessCode: AccessCode.nullable()
        .optional()
        .describe('Another code, with which the old one ends: one of your own, or null for a random one'),
      confirmation: Confirmation,
    }),
)
  .refine(namesSomething, { message: 'name at least one field to change' })
  .meta({ id: 'SaleChange', minProperties: 1 });
export type UpdateSale = z.output<typeof UpdateSale>;

const { reserveOpensAt, reserveClosesAt, purchaseOpensAt, purchaseClosesAt } = terms;
/** A year: the furthest that a sale is moved in one step. */
const longestShiftSeconds = 31_622_400;

/** Where an operator moves a sale: to these times, or all that are still to come by the same number of seconds. */
export const RescheduleSale = z
  .strictObject({ reserveOpensAt, reserveClosesAt, purchaseOpensAt, purchaseClosesAt })
  .partial()
  .extend({
    shiftSeconds: z.number().int().min(-longestShiftSeconds).max(longestShiftSeconds).optional(),
    offerCutoffSeconds: terms.offerCutoffSeconds.optional(),
    dryRun: z.boolean().default(false),
    confirmation: Confirmation,
  })
  .refine(
    ({ shiftSeconds, offerCutoffSeconds: _, dryRun: __, confirmation: ___, ...times }) =>
      (shiftSeconds === undefined) !== (Object.keys(times).length === 0),
    { message: 'name either new times or shiftSeconds' },
  )
  .refine(({ shiftSeconds, offerCutoffSeconds }) => shiftSeconds === undefined || offerCutoffSeconds === undefined, {
    message: 'offerCutoffSeconds goes with new times, not with shiftSeconds',
  })
  .meta({ id: 'Reschedule' });
export type RescheduleSale = z.output<typeof RescheduleSale>;

/** Why a move of times needs a confirmation. */
export const moveDangers = ['closes_at_once', 'takes_time', 'short_window', 'ends_reserving'] as const;

/** Stock added to a sale, or with a negative number taken back. */
export const AdjustStock = z
  .strictObject({
    units: z
      .union([z.int().min(1).max(maxUnits), z.int().min(-maxUnits).max(-1)], {
        error: `must be a whole number other than 0, of at most ${maxUnits.toLocaleString('en')} units`,
      })
      .describe('How many to add, or below zero how many that nobody holds to take back'),
  })
  .meta({ id: 'StockAdjustment' });
export type AdjustStock = z.output<typeof AdjustStock>;

/**
 * The stock of a sale as of a commit. A higher epoch is newer (it rises when MySQL is restored from a backup), then a
 * higher version.
 */
export const StockLevel = z.object({
  saleId: idOf<SaleId>(),
  epoch: z.number().int(),
  version: z.number().int(),
  allotment: z.number().int(),
  available: z.number().int(),
  allocated: z.number().int(),
  sold: z.number().int(),
  waitlisted: z.number().int(),
});
export type StockLevel = z.infer<typeof StockLevel>;

/** Live stock as part of a sale. */
export const StockView = StockLevel.omit({ saleId: true }).meta({ id: 'Stock' });
export type StockView = z.infer<typeof StockView>;

/** A sale without its stock and phase: the part that only an operator changes. */
export const SaleTermsView = z.object({
  saleId: idOf<SaleId>(),
  productId: idOf<ProductId>(),
  name: z.string(),
  status: z.enum(saleStatuses),
  price: Amount,
  capPerCustomer: z.number().int(),
  /** Whom the cap counts by: each account, or each person by a verified contact or an external id. */
  capPer: z.enum(capHolders),
  /** Whether only those may reserve who have shown that their address is theirs. */
  requiresContact: z.boolean(),
  /** Who charges what is bought in it; null for the provider of its currency. */
  paymentProvider: z.enum(providerNames).nullable(),
  waitlistSize: z.number().int(),
  offerLifeSeconds: z.number().int(),
  payWithinSeconds: z.number().int().nullable(),
  offerCutoffSeconds: z.number().int(),
  pausedAt: z.iso.datetime().nullable().describe('Since when it is paused, whatever has been changed in the pause'),
  clockStandsAt: z.iso
    .datetime()
    .nullable()
    .describe(
      'Where its clock stands while it is paused: when the pause began, or when its times were set in it. Its times are shown as of then; resuming delays those to come by what has passed since. Null unless it is paused',
    ),
  reserveOpensAt: z.iso.datetime(),
  reserveClosesAt: z.iso.datetime(),
  purchaseOpensAt: z.iso.datetime(),
  purchaseClosesAt: z.iso.datetime(),
  publishAt: z.iso.datetime().nullable().describe('Since when it is public, or when it will be; null for a draft'),
  requiresCode: z.boolean().describe('Whether only those find it who show its access code'),
});
export type SaleTermsView = z.infer<typeof SaleTermsView>;

/** A sale as everyone sees it. */
export const SaleView = SaleTermsView.extend({
  /** By the clock at the time of the response. */
  phase: z.enum(salePhases),
  stock: StockView,
}).meta({ id: 'Sale' });
export type SaleView = z.infer<typeof SaleView>;

/** What a reschedule did, or as a preview would do. */
export const SaleRescheduled = z
  .object({
    dryRun: z.boolean(),
    /** The sale as it is now, or as it would be. */
    sale: SaleView,
    /**
     * What needs a confirmation: the sale would be closed at once, somebody has less time than they were told, or hardly any
     * time would be left to buy, to make offers, or to reserve.
     */
    dangers: z.array(z.enum(moveDangers)),
    concerned: z.object({
      /** Reservations that hold units which are not bought yet. */
      holding: z.number().int(),
      /** Those of them that have a deadline of their own. */
      offered: z.number().int(),
      waiting: z.number().int(),
      /** Those that hold units and have less time than they were told. */
      shortened: z.number().int(),
    }),
    /** Confirms this very move in the call that makes it; null if nothing would move. */
    confirmation: z.string().nullable(),
  })
  .meta({ id: 'Rescheduled' });
export type SaleRescheduled = z.infer<typeof SaleRescheduled>;
