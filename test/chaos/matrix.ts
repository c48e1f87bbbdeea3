/** The whole fault matrix, in the order of its numbers. */
import type { Fault } from './fault.ts';
import { eventFaults } from './faults/events.ts';
import { jobFaults } from './faults/jobs.ts';
import { machineFaults } from './faults/machine.ts';
import { mysqlFaults } from './faults/mysql.ts';
import { operatorFaults } from './faults/operators.ts';
import { paymentFaults } from './faults/payment.ts';
import { providerFaults } from './faults/providers.ts';
import { queueFaults } from './faults/queue.ts';
import { redisFaults } from './faults/redis.ts';
import { shopFaults } from './faults/shops.ts';
import { workerFaults } from './faults/worker.ts';

export const matrix: Fault[] = [
  ...workerFaults,
  ...redisFaults,
  ...mysqlFaults,
  ...queueFaults,
  ...eventFaults,
  ...paymentFaults,
  ...providerFaults,
  ...operatorFaults,
  ...jobFaults,
  ...shopFaults,
  ...machineFaults,
].sort((one, other) => one.number - other.number);
