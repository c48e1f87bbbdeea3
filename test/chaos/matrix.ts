/** The whole fault matrix, in the order of its numbers. */
import type { Fault } from './fault.ts';
import { workerFaults } from './faults/worker.ts';

export const matrix: Fault[] = [...workerFaults].sort((one, other) => one.number - other.number);
