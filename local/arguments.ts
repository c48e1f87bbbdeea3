/**
 * The command line of this process, read by the table of commands (commands.mjs).
 */
import { type CommandName, type commands, helpOf, parseCommand, WrongArguments } from './commands.mjs';
import { type Aws, awsFromEnvironment } from './stack.ts';

type OptionsOf<Name extends CommandName> = (typeof commands)[Name] extends { options: infer Options }
  ? Options
  : Record<never, never>;

/** The type of an option's value: undefined if it has neither a value nor a default. */
type ValueOf<Option> = Option extends { type: 'boolean' }
  ? boolean
  : Option extends { multiple: true }
    ? string[] | undefined
    : Option extends { default: string }
      ? string
      : string | undefined;

export interface Arguments<Name extends CommandName> {
  readonly values: { readonly [Flag in keyof OptionsOf<Name>]: ValueOf<OptionsOf<Name>[Flag]> };
  readonly positionals: readonly string[];
  /** Arguments for the command's tool, in the order in which they were typed. */
  readonly rest: readonly string[];
}

/**
 * Reads the arguments of a command.
 * @throws WrongArguments, with a sentence for the person who typed them.
 */
export function readArguments<Name extends CommandName>(name: Name, args: readonly string[]): Arguments<Name> {
  // The table that gave the type is the one that the values were read and checked by.
  return parseCommand(name, [...args]) as Pick<Arguments<Name>, 'values' | 'positionals' | 'rest'>;
}

/** The arguments of this process. Answers `--help` and wrong arguments, and then ends the process. */
export function ownArguments<Name extends CommandName>(name: Name): Arguments<Name> {
  const args = process.argv.slice(2);
  try {
    if (parseCommand(name, args).help) {
      process.stdout.write(helpOf(name));
      process.exit(0);
    }
    return readArguments(name, args);
  } catch (error) {
    if (!(error instanceof WrongArguments)) throw error;
    return refuse(error.message);
  }
}

/** Ends this process with a sentence about an argument that names nothing. */
export function refuse(sentence: string): never {
  process.stderr.write(`${sentence}\n`);
  process.exit(1);
}

/** What `--aws` says, or HOLDFAST_AWS without it. `asked` is false when neither says anything. */
export function awsOf(value: string | undefined): { aws: Aws; asked: boolean } {
  if (value === 'embedded' || value === 'localstack') return { aws: value, asked: true };
  return { aws: awsFromEnvironment(), asked: Boolean(process.env.HOLDFAST_AWS) };
}
