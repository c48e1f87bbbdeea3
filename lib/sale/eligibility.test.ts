/** Who may reserve in a sale. */
import { newId } from '#test/support/ids.ts';
import { asksOf, isEntitled, lackedBy, standingOf } from './eligibility.ts';

const createdAtMs = Date.UTC(2030, 4, 1);
const saleId = newId(createdAtMs);
const lifeMs = 600_000;

test('a sale asks for what its terms say', () => {
  const asks = (capPer: 'customer' | 'contact' | 'externalId', requiresContact: boolean) =>
    asksOf({ capPer, requiresContact });
  expect([asks('customer', false), asks('customer', true)]).toEqual(['', 'v']);
  expect([asks('contact', false), asks('contact', true)]).toEqual(['c', 'c']);
  expect([asks('externalId', false), asks('externalId', true)]).toEqual(['x', 'y']);
});

test.each([
  ['nothing', {}, ''],
  ['a contact that nobody had before', { contactSinceMs: 0 }, 'vc'],
  ['a contact that was another’s until ten minutes before the sale', { contactSinceMs: createdAtMs - lifeMs }, 'vc'],
  [
    '… until a moment later: a token of the other account may still work',
    { contactSinceMs: createdAtMs - lifeMs + 1 },
    'v',
  ],
  ['a contact that came after the sale', { contactSinceMs: createdAtMs + 1 }, 'v'],
  ['an external id', { externalSinceMs: 0 }, 'x'],
  ['an external id that came after the sale', { externalSinceMs: createdAtMs }, ''],
  ['both', { contactSinceMs: createdAtMs, externalSinceMs: 0 }, 'vxy'],
])('who can show %s', (_what, shown, standing) => {
  expect(standingOf(shown, saleId)).toBe(standing);
});

test('each refusal says what is lacking', () => {
  expect(lackedBy({}, saleId, 'v')).toBe('contact_not_verified');
  expect(lackedBy({}, saleId, 'c')).toBe('contact_not_verified');
  expect(lackedBy({ externalSinceMs: 0 }, saleId, 'y')).toBe('contact_not_verified');
  expect(lackedBy({ contactSinceMs: 0 }, saleId, 'y')).toBe('external_id_missing');
  expect(lackedBy({ contactSinceMs: createdAtMs }, saleId, 'c')).toBe('person_known_elsewhere');
  expect(lackedBy({}, saleId, '')).toBeUndefined();
});

test('a command without a standing is good for sales that ask for nothing', () => {
  expect(isEntitled(undefined, { capPer: 'customer', requiresContact: false })).toBe(true);
  expect(isEntitled(undefined, { capPer: 'customer', requiresContact: true })).toBe(false);
  expect(isEntitled('v', { capPer: 'contact', requiresContact: false })).toBe(false);
  expect(isEntitled('vc', { capPer: 'contact', requiresContact: true })).toBe(true);
});
