/**
 * Plants faults in shipped code while it is loaded, to show that a check notices them. The files themselves stay as they
 * are. Called by the model and by chaos, each in the processes that run the code.
 *
 * A fault names a module and what is to stand in the place of one of its functions, as ordinary code that the compiler
 * checks: renaming the module or the function renames it in the fault too, and a fault that no longer fits is a type
 * error. The function is replaced for all of its callers, those in its own module included.
 *
 * Invariant: a fault is planted exactly where it is meant to be. What does not exist, or cannot be replaced, is an error
 * when its module is loaded, and `plant` tells what was never loaded: a control must not silently become the shipped code.
 */
import { registerHooks } from 'node:module';
import { replaceFunctions } from './lua-functions.ts';

type AnyFunction = (...args: never[]) => unknown;

/** What may stand in the place of an export: of a function another one, made from it; of an object some new members. */
type Substitute<Export> = Export extends AnyFunction
  ? (real: Export) => Export
  : Export extends object
    ? Partial<Export>
    : never;

/** Substitutes for some exports of a module. Kept a plain mapped type, so that the compiler can follow a rename. */
type Substitutes<Module> = { readonly [Name in keyof Module]?: Substitute<Module[Name]> };

interface PlantedInModule {
  readonly kind: 'module';
  readonly module: () => Promise<object>;
  readonly substitutes: Readonly<Record<string, unknown>>;
}

interface PlantedInLua {
  readonly kind: 'lua';
  readonly script: string;
  readonly bodies: Readonly<Record<string, string>>;
}

export type Planted = PlantedInModule | PlantedInLua;

/**
 * A fault in a module, which is named by importing it; nothing is imported before it is planted. A function must be
 * declared with `function`, exported, and replaced by one that is made from it. Of a constant object, such as a set of SQL
 * conditions, some members get new values.
 */
export function inModule<Module extends object>(
  module: () => Promise<Module>,
  substitutes: Substitutes<Module>,
): Planted {
  return { kind: 'module', module, substitutes: { ...substitutes } };
}

/**
 * A fault in a Lua script, which is named by its path from the root of the project: some of the functions that it declares
 * at its top get other bodies.
 */
export function inLua(script: string, bodies: Readonly<Record<string, string>>): Planted {
  return { kind: 'lua', script, bodies };
}

const root = new URL('../../', import.meta.url);
const registryKey = 'holdfast.planted';

/** What a module's added lines call. */
interface Registry {
  replaceFunction(place: string, read: () => unknown, write: (substitute: unknown) => void): void;
  setMembers(place: string, read: () => unknown): void;
}

/** What is planted at each place, in order. */
type Substitutions = Map<string, unknown[]>;

/** Where something is planted, each place as a file and what is replaced there. Throws for a module that does not exist. */
export async function placesOf(all: readonly Planted[]): Promise<string[]> {
  const places: string[] = [];
  for (const planted of all) {
    if (planted.kind === 'lua') {
      places.push(...Object.keys(planted.bodies).map((name) => `${planted.script}: ${name}`));
    } else {
      const url = await addressOf(planted.module);
      places.push(...Object.keys(planted.substitutes).map((name) => placeIn(url, name)));
    }
  }
  return places;
}

const placeIn = (url: string, name: string) => `${url.slice(root.href.length)}: ${name}`;

/**
 * From now on modules and scripts are loaded with this in them; of two substitutes for one function the later is made from
 * the earlier. To be called before anything shipped is imported. `onPlanted` hears of each place when it has been reached.
 * Resolves to a function that lists the places that have not.
 */
export async function plant(
  all: readonly Planted[],
  onPlanted: (place: string) => void = () => undefined,
): Promise<() => string[]> {
  const missing = new Set(await placesOf(all));
  const reached = (place: string) => {
    if (missing.delete(place)) onPlanted(place);
  };
  const lua = all.filter((one) => one.kind === 'lua');
  const modules = all.filter((one) => one.kind === 'module');
  if (lua.length > 0) modules.push(scripts(lua, reached));

  const substitutions: Substitutions = new Map();
  const namesByUrl = new Map<string, Set<string>>();
  for (const { module, substitutes } of modules) {
    const url = await addressOf(module);
    for (const [name, substitute] of Object.entries(substitutes)) {
      const place = placeIn(url, name);
      substitutions.set(place, [...(substitutions.get(place) ?? []), substitute]);
      namesByUrl.set(url, (namesByUrl.get(url) ?? new Set()).add(name));
    }
  }
  Object.assign(globalThis, { [Symbol.for(registryKey)]: registry(substitutions, reached) });

  registerHooks({
    load(url, context, next) {
      const loaded = next(url, context);
      const names = namesByUrl.get(url);
      if (!names) return loaded;
      const { source } = loaded;
      const text = typeof source === 'string' ? source : new TextDecoder().decode(source ?? undefined);
      return { ...loaded, source: withSubstitutes(text, url, names, substitutions) };
    },
  });
  return () => [...missing];
}

/** Where the module is that a fault names. It is resolved, but not loaded. */
async function addressOf(module: () => Promise<object>): Promise<string> {
  let url: string | undefined;
  const hook = registerHooks({
    resolve(specifier, context, next) {
      url = next(specifier, context).url;
      throw new Error('resolved, and not to be loaded');
    },
  });
  const failure = await module().then(
    () => new Error('it was loaded already'),
    (error: unknown) => error,
  );
  hook.deregister();
  if (url?.startsWith(root.href)) return url;
  throw new Error('a fault names a module that cannot be resolved', { cause: failure });
}

/**
 * A module's source with one line before it and one after it. Function declarations are there from the beginning, so they
 * are replaced before the module's own code runs; objects are there at its end. The line numbers stay as they are.
 */
function withSubstitutes(
  source: string,
  url: string,
  names: ReadonlySet<string>,
  substitutions: Substitutions,
): string {
  let [head, tail] = ['', ''];
  for (const name of names) {
    const place = placeIn(url, name);
    const call = (verb: keyof Registry, args: string) =>
      `globalThis[Symbol.for('${registryKey}')].${verb}(${JSON.stringify(place)}, () => ${name}${args});`;
    if (typeof substitutions.get(place)?.[0] === 'function') {
      head += call('replaceFunction', `, (substitute) => { ${name} = substitute; }`);
    } else {
      tail += call('setMembers', '');
    }
  }
  return `${head}${source}\n${tail}\n`;
}

function registry(substitutions: Substitutions, reached: (place: string) => void): Registry {
  return {
    replaceFunction(place, read, write) {
      let substitute: unknown;
      try {
        substitute = read();
        if (typeof substitute !== 'function') throw new Error('not a function');
        for (const make of substitutions.get(place) ?? [])
          substitute = (make as (real: unknown) => unknown)(substitute);
        write(substitute);
      } catch (cause) {
        throw new Error(`${place} cannot be replaced: there must be a function declared by this name`, { cause });
      }
      reached(place);
    },
    setMembers(place, read) {
      let target: unknown;
      try {
        target = read();
      } catch (cause) {
        throw new Error(`${place} cannot be changed: there is no such constant`, { cause });
      }
      for (const members of substitutions.get(place) ?? []) {
        for (const [name, value] of Object.entries(members as object)) {
          if (typeof target !== 'object' || target === null || !(name in target))
            throw new Error(`${place} has no member ${name}`);
          (target as Record<string, unknown>)[name] = value;
        }
      }
      reached(place);
    },
  };
}

/** All scripts are read by one function of the shipped code; the faults in them are planted there. */
function scripts(faults: readonly PlantedInLua[], reached: (place: string) => void): PlantedInModule {
  const substitutes: Substitutes<typeof import('#platform/redis/redis.ts')> = {
    luaSource: (real) => (path) => {
      let source = real(path);
      for (const { script, bodies } of faults) {
        if (script !== path) continue;
        source = replaceFunctions(source, script, bodies);
        for (const name of Object.keys(bodies)) reached(`${script}: ${name}`);
      }
      return source;
    },
  };
  return { kind: 'module', module: () => import('#platform/redis/redis.ts'), substitutes: { ...substitutes } };
}
