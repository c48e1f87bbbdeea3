import { withCorrelation } from './log.ts';
import { embedded, measure } from './metrics.ts';

describe('a metric line', () => {
  test('names its numbers with their units under the stage', () => {
    expect(embedded({ Requests: 1, RequestMs: 12 }, { facts: { route: 'GET /me' } }, 'prod', 1_000)).toEqual({
      _aws: {
        Timestamp: 1_000,
        CloudWatchMetrics: [
          {
            Namespace: 'Holdfast',
            Dimensions: [['Stage']],
            Metrics: [
              { Name: 'Requests', Unit: 'Count' },
              { Name: 'RequestMs', Unit: 'Milliseconds' },
            ],
          },
        ],
      },
      Stage: 'prod',
      route: 'GET /me',
      Requests: 1,
      RequestMs: 12,
    });
  });

  test('of a queue has the queue as a dimension', () => {
    const line = embedded({ Messages: 500 }, { queue: 'reservations' }, 'prod', 1_000);
    expect(line).toMatchObject({
      _aws: { CloudWatchMetrics: [{ Dimensions: [['Stage', 'Queue']] }] },
      Queue: 'reservations',
      Messages: 500,
    });
  });

  test('carries the correlation id of the click, so that one can get from a number to its logs', () => {
    expect(withCorrelation('click-1234', () => embedded({ Requests: 1 }, {}, 'prod', 1_000))).toMatchObject({
      correlationId: 'click-1234',
    });
  });

  test('is not written unless metrics are enabled', () => {
    const { write } = process.stdout;
    let written = 0;
    process.stdout.write = () => {
      written++;
      return true;
    };
    measure({ Requests: 1 });
    process.stdout.write = write;
    expect(written).toBe(0);
  });
});
