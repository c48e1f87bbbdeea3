/**
 * Runs several functions in one process, in place of Lambda.
 *
 * Invariant: functions in one process share its environment and modules, so two functions with different values of a
 * variable are refused. Called by the worker and the HTTP host.
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { DeclaredFunction } from './serverless-config.ts';
import { projectRoot } from './state-folder.ts';

/** The module of a function (the TypeScript file, which Node loads directly) and the name of its export. */
export function handlerOf({ handler }: DeclaredFunction): { url: string; path: string; name: string } {
  const dot = handler.lastIndexOf('.');
  const path = handler.slice(0, dot);
  return { url: pathToFileURL(resolve(projectRoot, `${path}.ts`)).href, path, name: handler.slice(dot + 1) };
}

/**
 * Sets the variables that the functions declare. Those that the stack has set (the registry, endpoints) take precedence.
 */
export function applyEnvironment(functions: DeclaredFunction[]): void {
  const declared = new Map<string, string>();
  for (const { key, environment } of functions) {
    for (const [name, value] of Object.entries(environment)) {
      const other = declared.get(name);
      if (other !== undefined && other !== value) {
        throw new Error(
          `functions of one process need different values of ${name} (${key}: ${value}, another: ${other})`,
        );
      }
      declared.set(name, value);
    }
  }
  for (const [name, value] of declared) process.env[name] ??= value;
}
