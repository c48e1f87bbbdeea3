// Artillery compiles TypeScript itself, into the sources' folder; Node does it better, so this module only points there.
export * from './processor.ts';
