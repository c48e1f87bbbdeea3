/** The event catalog and the rules of `serverless.yml` agree on who hears what. */
import { BusEvent, catalog, type EventName } from '#events/catalog.ts';
import { queueOf, readDeclared } from '#local/serverless-config.ts';
import { eventSource } from '#platform/environment/deps.ts';

const declared = await readDeclared();
const names = Object.keys(catalog) as EventName[];
const patterned = declared.rules.filter((rule) => rule.pattern);
const typesOf = (pattern: Record<string, unknown> = {}) => (pattern['detail-type'] ?? []) as string[];

const queueName = (logicalId: string) => queueOf(declared, logicalId).registryName.replace('queue/', '');

describe('rules', () => {
  test.each(patterned.map((rule) => [rule.logicalId, rule] as const))(
    '%s matches only events that exist',
    (_id, rule) => {
      const { source, 'detail-type': types, detail, ...rest } = rule.pattern as Record<string, unknown>;
      expect(source).toEqual([eventSource]);
      expect(rest).toEqual({});
      expect(rule.bus).toBeDefined();
      expect((types as string[]).length).toBeGreaterThan(0);
      for (const type of types as string[]) {
        expect(names).toContain(type);
        // What a pattern looks for in the detail must be there, or the rule never fires and nobody notices.
        const fields = Object.keys(catalog[type as EventName].detail.shape);
        for (const field of Object.keys((detail as object | undefined) ?? {})) expect(fields).toContain(field);
      }
    },
  );

  test.each(declared.rules.map((rule) => [rule.logicalId, rule] as const))(
    '%s sends to queues that a function consumes, and keeps what it cannot deliver',
    (_id, rule) => {
      expect(rule.enabled).toBe(true);
      expect(rule.targets.length).toBeGreaterThan(0);
      for (const target of rule.targets) {
        expect(target.deadLetters).toBe(queueOf(declared, target.queue).redrive?.deadLetters);
        const consumers = declared.functions.filter(({ mappings }) =>
          mappings.some(({ queue }) => queue === target.queue),
        );
        expect(consumers).toHaveLength(1);
      }
    },
  );

  test('that follow the clock are on the default bus, where alone EventBridge runs schedules', () => {
    for (const rule of declared.rules.filter(({ schedule }) => schedule)) expect(rule.bus).toBeUndefined();
  });
});

describe('the catalog', () => {
  test.each(names)('names the consumers of %s that the rules make', (name) => {
    const hearing = patterned
      .filter((rule) => typesOf(rule.pattern).includes(name))
      .flatMap((rule) => rule.targets.map((target) => queueName(target.queue)));
    expect([...new Set(hearing)].sort()).toEqual([...catalog[name].consumers].sort());
  });

  test('has every event in the frame that consumers read', () => {
    const framed = BusEvent.options.map((option) => option.shape['detail-type'].value);
    expect([...framed].sort()).toEqual([...names].sort());
  });

  test.each(names)('says what %s means, its version and who makes it', (name) => {
    const { description, version, producers } = catalog[name];
    expect(description.length).toBeGreaterThan(20);
    expect(version).toBeGreaterThanOrEqual(1);
    expect(producers.length).toBeGreaterThan(0);
  });
});
