/**
 * Loaded before a model's process loads anything else: breakers become transparent, since their windows follow the
 * machine's clock and a model chooses failures itself; caches reserve nothing; the log is off.
 */
import { registerHooks } from 'node:module';

process.env.HOLDFAST_LOG_LEVEL = 'silent';

const standIns = new Map([
  ['opossum', new URL('./world/circuit.ts', import.meta.url).href],
  ['lru-cache', new URL('./world/cache.ts', import.meta.url).href],
]);

registerHooks({
  resolve(specifier, context, next) {
    const url = standIns.get(specifier);
    return url ? { url, format: 'module-typescript', shortCircuit: true } : next(specifier, context);
  },
});
