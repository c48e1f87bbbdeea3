/** Stands in for zod's languages: the one that our messages are in. */
export { default as en } from 'zod/v4/locales/en.js';
