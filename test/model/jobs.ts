/** What `main.ts` asks of the processes that do the work, and what they answer. */
import type { Plan } from './plan.ts';

export type Job =
  /** Explores a small case. */
  | { readonly kind: 'case'; readonly name: string; readonly limitMs: number }
  /** Goes some ways of a small case, each by a seed. */
  | { readonly kind: 'ways'; readonly name: string; readonly seed: number; readonly ways: number }
  /** Runs the episodes of some seeds, each with as many requests as it says. */
  | { readonly kind: 'episodes'; readonly episodes: readonly { readonly seed: number; readonly requests: number }[] }
  /** Looks for any violation: in these cases, then in episodes from a seed on. For controls. */
  | {
      readonly kind: 'hunt';
      readonly cases: readonly string[];
      readonly sizes: readonly number[];
      readonly seed: number;
      readonly limitMs: number;
    };

export interface Failure {
  readonly invariant: string;
  readonly detail: string;
  /** How to see it again. */
  readonly again: string;
  readonly plan?: Plan;
  readonly trace: readonly string[];
}

export interface CaseDone {
  readonly kind: 'case';
  readonly name: string;
  readonly about: string;
  readonly states: number;
  readonly runs: number;
  readonly deepest: number;
  readonly complete: boolean;
  readonly seconds: number;
  readonly failure: Failure | undefined;
}

export interface WaysDone {
  readonly kind: 'ways';
  readonly name: string;
  readonly ways: number;
  readonly failure: Failure | undefined;
}

export interface EpisodesDone {
  readonly kind: 'episodes';
  readonly episodes: number;
  readonly requests: number;
  readonly steps: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly outcomes: Readonly<Record<string, number>>;
  readonly failure: Failure | undefined;
}

export interface HuntDone {
  readonly kind: 'hunt';
  readonly seconds: number;
  readonly failure: Failure | undefined;
}

export type Done = CaseDone | WaysDone | EpisodesDone | HuntDone | { readonly kind: 'failed'; readonly error: string };
