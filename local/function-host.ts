/**
 * How a process of the local stack takes the place of Lambda for several functions at once.
 *
 * Invariant: functions that share a process share its environment and modules, so two functions that disagree about
 * a variable are refused instead of one of them being wrong. Called by the worker and the HTTP host.
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { DeclaredFunction } from './serverless-config.ts';
import { projectRoot } from './state-folder.ts';

/** The module of a function, as the TypeScript file Node loads by itself, and the name of its export. */
export function handlerOf({ handler }: DeclaredFunction): { url: string; path: string; name: string } {
  const dot = handler.lastIndexOf('.');
  const path = handler.slice(0, dot);
  return { url: pathToFileURL(resolve(projectRoot, `${path}.ts`)).href, path, name: handler.slice(dot + 1) };
}

/**
 * Gives this process the variables the functions declare. What the stack itself has set (the registry, endpoints)
 * stands above what is declared for an account.
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
