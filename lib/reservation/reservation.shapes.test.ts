import { newId } from '#platform/kernel/ids.ts';
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

test('a command is read as it was sent, with or without what may be absent, and with what a newer build adds', () => {
  const { ticket: _, correlationId: __, ...least } = command;
  for (const sent of [command, least, { ...command, giftWrap: true }]) {
    expect(ReserveCommand.parse(JSON.parse(JSON.stringify(sent)))).toEqual(sent);
  }
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
])('a command whose %s is %j cannot be read, and says so', (field, value) => {
  const { success, error } = ReserveCommand.safeParse({ ...command, [field]: value });
  expect(success).toBe(false);
  expect(error?.issues.map(({ message }) => message)).toEqual([`${field} is missing or wrong`]);
});

test.each([null, 'a text', 7, undefined])('%j is not a command', (value) => {
  expect(ReserveCommand.safeParse(value).error?.issues[0]?.message).toBe('not a command');
});
