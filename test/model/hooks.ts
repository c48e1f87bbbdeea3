/**
 * Loaded before a model's process loads anything else: breakers become transparent, since their windows follow the
 * machine's clock and a model chooses failures itself; the log is off.
 */
import { registerHooks } from 'node:module';

process.env.HOLDFAST_LOG_LEVEL = 'silent';

const standIn = new URL('./world/circuit.ts', import.meta.url).href;

registerHooks({
  resolve(specifier, context, next) {
    return specifier === 'opossum'
      ? { url: standIn, format: 'module-typescript', shortCircuit: true }
      : next(specifier, context);
  },
});
