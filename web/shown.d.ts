/** Types of shown.js, for the tests that hold the pages to invariant I5. */
export interface Shown {
  admit(message: object): boolean;
  note(subject: string, version: number, epoch?: number): void;
}
export function subjectOf(message: object): string | undefined;
export function createShown(): Shown;
