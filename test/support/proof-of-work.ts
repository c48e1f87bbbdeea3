/** Solves challenges, as a client does. */
export { solve } from '#load/proof-of-work.ts';
