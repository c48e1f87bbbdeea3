import { newId } from '#test/support/ids.ts';
import { maxQuantity, ReserveCommand } from './reservation.shapes.ts';

const command = {
  reservationId: newId(),
  saleId: newId(),
  customerId: newId(),
  quantity: 2,
  atLeast: 1,
  ticket: 1_800_000_000_000_000,
  correlationId: 'click-1',
};

test('a command is read as it was sent, with or without optional fields, and with fields that a newer build adds', () => {
  const { ticket: _, correlationId: __, ...least } = command;
  expect(ReserveCommand.parse(JSON.parse(JSON.stringify(command)))).toEqual(command);
  expect(ReserveCommand.parse(JSON.parse(JSON.stringify(least)))).toEqual(least);
  expect(ReserveCommand.parse(JSON.parse(JSON.stringify({ ...command, giftWrap: true })))).toEqual(command);
});

test.each([
  ['reservationId', 'no id'],
  ['saleId', undefined],
  ['customerId', `${newId()} `],
  ['quantity', 0],
  ['quantity', maxQuantity + 1],
  ['quantity', '2'],
  ['atLeast', 1.5],
  ['atLeast', null],
  ['ticket', 0],
  ['ticket', null],
  ['ticket', 1e300],
  ['correlationId', 7],
])('a command whose %s is %j is not valid, and the error names the field', (field, value) => {
  const { error } = ReserveCommand.safeParse({ ...command, [field]: value });
  expect(new Set(error?.issues.map(({ path }) => path.join('.')))).toEqual(new Set([field]));
});

test.each([null, 'a text', 7, undefined])('%j is not a command', (value) => {
  expect(ReserveCommand.safeParse(value).success).toBe(false);
});
