// @ts-check
/**
 * The table of commands: what each npm script runs, what it understands, how long it takes and where its result lies.
 *
 * Invariants: `--help` and the reading of arguments come from this table alone, so they cannot disagree; an argument that
 * is not understood is answered by one sentence. bootstrap.mjs reads it before anything is installed, so it is plain
 * JavaScript for Node 20 and imports nothing but Node.
 */
import { parseArgs } from 'node:util';

/**
 * @typedef {object} Option
 * @property {'string' | 'boolean'} type
 * @property {string} does
 * @property {string} [value] How the value is called in `--help`.
 * @property {string} [default]
 * @property {boolean} [multiple]
 * @property {readonly string[]} [oneOf] The values that are understood.
 * @property {readonly [number, number]} [whole] The least and the greatest whole number that is understood.
 * @property {true} [positive] Any number above zero.
 */

/**
 * @typedef {object} Command
 * @property {string} does One sentence.
 * @property {string} takes How long it takes.
 * @property {string} result Where its result lies.
 * @property {string} [done] What is said at the end of tools that leave nothing behind; the result otherwise.
 * @property {string} [entry] The file that Node runs, or
 * @property {readonly (readonly string[])[]} [tools] the tools that run one after the other, with their arguments.
 * @property {Readonly<Record<string, Option>>} [options]
 * @property {{ value: string, does: string, oneOf?: readonly string[], required?: true }} [argument]
 * @property {string} [passesOn] The tool that gets every argument that is not understood here.
 */

const aws = /** @type {const} */ ({
  type: 'string',
  value: 'PARTS',
  oneOf: ['embedded', 'localstack'],
  does: 'what emulates SQS and EventBridge; default: HOLDFAST_AWS, or embedded if it is not set',
});
const seed = /** @type {const} */ ({
  type: 'string',
  value: 'S',
  default: '1',
  whole: [0, 2 ** 31 - 1],
  does: 'makes the same choices as another run with this seed',
});

export const commands = /** @satisfies {Record<string, Command>} */ (
  /** @type {const} */ ({
    start: {
      entry: 'local/start.ts',
      does: 'Starts all of Holdfast with sample data, goes on with what earlier runs kept, and stays up until Ctrl-C.',
      takes: 'about 20 seconds until it is up',
      result: '.local/stack.json has every address and credential, .local/logs the logs of all parts',
      options: {
        aws,
        workers: { type: 'string', value: 'N', default: '1', whole: [1, 64], does: 'worker processes' },
        fresh: { type: 'boolean', does: 'forgets what earlier runs have kept: accounts, sales, queues, books' },
        customers: {
          type: 'string',
          value: 'FILE',
          does: 'who may be a customer, as JSON: other issuers of tokens, and whether accounts are opened here',
        },
      },
    },
    demo: {
      entry: 'demo/main.ts',
      does: 'Plays a complete sale on a stack of its own and verifies what happened.',
      takes: 'one to two minutes on two cores',
      result: '.local/demo-report.json; the exit code is 0 only if every invariant was checked and holds',
      options: {
        customers: { type: 'string', value: 'N', default: '500', whole: [10, 20_000], does: 'customers' },
        reservations: {
          type: 'string',
          value: 'N',
          default: '5000',
          whole: [50, 1_000_000],
          does: 'requests in the rush',
        },
        sales: { type: 'string', value: 'N', default: '4', whole: [1, 12], does: 'sales that open together' },
        seed,
        aws,
      },
    },
    storefront: {
      entry: 'examples/storefront/main.ts',
      does: "Starts a shop of its own behind which there is a Holdfast, with the shop's own login, until Ctrl-C.",
      takes: 'about 20 seconds until it is up',
      result: 'the addresses are on the screen; it begins afresh each time, in .local/storefront',
    },
    test: {
      entry: 'test/run.ts',
      does: 'Runs the tests against databases, queues and a bus of its own.',
      takes: 'about 16 minutes on two cores; some 20 seconds plus the tests for a part: npm test -- test/race',
      result: 'the last line is "N passed, N failed"; with --coverage also coverage/lcov-report/index.html',
      options: {
        aws,
        'keep-pages': { type: 'boolean', does: 'writes what the tests of pages have shown into docs/pages.md' },
      },
      passesOn: 'Jest',
    },
    pictures: {
      entry: 'test/pages/main.ts',
      does: 'Takes pictures of the shop and the console in three sizes, two languages, and in the light and the dark, and of a whole launch.',
      takes: 'about six minutes on two cores; two with --launch',
      result: '.local/pictures has all of them, docs/pictures those that the documents show',
      options: {
        shown: { type: 'boolean', does: 'takes only those that the documents show' },
        sheets: {
          type: 'string',
          value: 'NAMES',
          does: 'takes pages of the shop in every state instead, without a stack, as sheets in .local/sheets: all, or those whose names begin so, separated by commas',
        },
        launch: { type: 'boolean', does: "takes only the series of the demo's sale on the launch board" },
      },
    },
    bench: {
      entry: 'bench/main.ts',
      does: 'Measures rivals, Holdfast and yardsticks in interleaved rounds, each run verified from SQL.',
      takes: 'about 25 minutes on two cores; at most 3 with --quick',
      result: '.local/bench-report.json and .local/bench-charts; a full run keeps report and charts in bench/results',
      options: {
        quick: { type: 'boolean', does: 'fewer rounds and rivals' },
        only: {
          type: 'string',
          value: 'SUITES',
          does: 'some of drain, queue, burst, scaling, accept, read, memory, or quiet, scale and webhooks (only if named), separated by commas',
        },
        sizes: { type: 'string', value: 'ROWS', does: 'for scale: how many reservations, separated by commas' },
        verbs: { type: 'string', value: 'NAMES', does: 'for scale: only these verbs, separated by commas' },
        keep: { type: 'boolean', does: 'for quiet, read, scale or webhooks alone: keeps the report in bench/results' },
        profile: { type: 'string', value: 'FOLDER', does: 'writes a CPU profile of each contender to this folder' },
      },
    },
    load: {
      entry: 'load/main.ts',
      does: 'Plays a load scenario with artillery on a stack of its own and verifies what happened.',
      takes: 'about 3 minutes for each scenario, 5 for bots',
      result: '.local/load-<scenario>.html with charts, and the same figures in .local/load-<scenario>.json',
      argument: {
        value: 'SCENARIO',
        does: 'the scenario to play',
        oneOf: ['browse', 'rush', 'retry-storm', 'window-opens', 'mixed-day', 'bots', 'all'],
        required: true,
      },
      options: {
        rate: { type: 'string', value: 'X', default: '1', positive: true, does: 'multiplies the arrivals' },
        time: { type: 'string', value: 'X', default: '1', positive: true, does: 'multiplies the duration' },
        'no-ceilings': { type: 'boolean', does: 'leaves out the search for the bottleneck' },
      },
    },
    chaos: {
      entry: 'test/chaos/main.ts',
      does: 'Plays the fault matrix: parts of a real stack fail under load, and nothing may be lost.',
      takes: '20 to 40 minutes on two cores; 10 with --quick, about a minute for one --fault, 25 to 40 for --controls',
      result: '.local/chaos-report.json; the exit code is 0 only if every row held and every control was noticed',
      options: {
        quick: { type: 'boolean', does: 'every row once, as short as possible' },
        whole: { type: 'boolean', does: 'every row, and crowds until 100,000 requests and 500 kills; the default' },
        fault: { type: 'string', value: 'NAME', multiple: true, does: 'one row, by name or number; may be repeated' },
        minutes: { type: 'string', value: 'M', positive: true, does: 'rows and crowds until the time is up' },
        controls: { type: 'boolean', does: 'rows on code with one safeguard removed, which they must notice' },
        control: { type: 'string', value: 'NAME', multiple: true, does: 'one of these; may be repeated' },
        placebo: { type: 'boolean', does: "the controls' rows with nothing removed; all must hold" },
        seed,
        keep: { type: 'boolean', does: 'writes the figures into docs/results, and the pages made of them' },
      },
    },
    model: {
      entry: 'test/model/main.ts',
      does: 'Runs the shipped decisions against in-memory services that fail in every way.',
      takes: 'about 15 minutes on two cores; 20 seconds with --quick',
      result: '.local/model-report.json; the exit code is 0 only if no invariant broke and every control was caught',
      options: {
        quick: { type: 'boolean', does: 'some of the small cases, and fewer requests' },
        requests: {
          type: 'string',
          value: 'N',
          default: '1000000',
          whole: [0, 1_000_000_000],
          does: 'requests in random episodes',
        },
        seed,
        case: { type: 'string', value: 'NAME', does: 'one small case, explored on every path' },
        episode: { type: 'string', value: 'S', whole: [0, Number.MAX_SAFE_INTEGER], does: 'one random episode again' },
        size: { type: 'string', value: 'N', whole: [1, 1_000_000], does: 'with so many requests' },
        controls: { type: 'boolean', does: 'code with one safeguard removed at a time; each must be caught' },
        control: { type: 'string', value: 'NAME', multiple: true, does: 'one of these; may be repeated' },
      },
    },
    fuzz: {
      entry: 'test/fuzz/main.ts',
      does: 'Holds the API to its OpenAPI document with invented requests, allowed and forbidden ones (Schemathesis, from PyPI).',
      takes: '17 to 22 minutes on two cores; 3 with --quick',
      result:
        'the counts on the screen, .local/fuzz the logs; the exit code is 0 only if every case was as the document says',
      options: {
        quick: { type: 'boolean', does: '5,000 cases instead of 100,000' },
        cases: { type: 'string', value: 'N', whole: [1, 10_000_000], does: 'how many cases at least' },
        minutes: { type: 'string', value: 'M', default: '120', positive: true, does: 'gives up after that time' },
        seed,
      },
    },
    migrate: {
      entry: 'local/migrate.ts',
      does: 'Applies the SQL files of lib/migrations to the database that MYSQL_URL names; for TLS add ?ssl=Amazon%20RDS to it.',
      takes: 'seconds on an empty database',
      result: 'the database is at the newest migration; running it again changes nothing',
      options: {
        account: { type: 'boolean', does: 'also the account of the functions, as JSON from standard input' },
      },
    },
    admin: {
      entry: 'local/admin.ts',
      does: 'Makes a registered account an admin, in the database that MYSQL_URL names, or in the stack that npm start runs.',
      takes: 'a second',
      result: 'the account is an admin, and the audit trail says so; running it again changes nothing else',
      options: {
        customer: { type: 'string', value: 'ID', does: 'of the account, as its owner reads it from GET /me' },
      },
    },
    migration: {
      tools: [['drizzle-kit', 'generate']],
      does: 'Writes the next SQL file from what changed in the tables (lib/*/*.table.ts).',
      takes: 'a second',
      result: 'a new file in lib/migrations, or none if no table changed; read it before you commit it',
      options: { name: { type: 'string', value: 'NAME', does: "the file's name after its number" } },
    },
    package: {
      tools: [['serverless', 'package']],
      does: 'Makes the CloudFormation template and the bundles for an account, without deploying anything.',
      takes: 'about half a minute',
      result: '.serverless/ has the template and a zip file for each function',
      options: {
        stage: {
          type: 'string',
          value: 'STAGE',
          default: 'dev',
          does: 'the stage whose sizes and names it has, such as prod',
        },
        region: { type: 'string', value: 'REGION', default: 'us-east-1', does: 'the region of the account' },
        param: { type: 'string', value: 'NAME=VALUE', multiple: true, does: "replaces one of the stage's parameters" },
      },
    },
    client: {
      entry: 'client/build.ts',
      does: 'Builds the package @holdfast/client: its types from the documents, then ES modules with declarations.',
      takes: 'about 15 seconds',
      result: 'client/dist; npm pack --workspace client makes the package of it',
    },
    lint: {
      tools: [
        ['biome', 'check', '.'],
        ['tsc', '--project', '.'],
        ['tsc', '--project', 'web'],
        ['knip', '--no-progress', '--no-config-hints'],
      ],
      does: 'Checks format, style, types, and that no file, export or dependency is unused.',
      takes: 'about 20 seconds',
      result: 'findings on the screen; the exit code is 0 only if there is none',
      done: 'nothing to report',
    },
    format: {
      tools: [['biome', 'check', '--write', '.']],
      does: 'Formats every file and applies the safe fixes of the linter.',
      takes: 'a second',
      result: 'the files themselves',
      done: 'every file is formatted',
    },
    hooks: {
      tools: [['lefthook', 'install']],
      does: 'Installs the pre-commit hook, which formats and lints what is staged (lefthook.yml).',
      takes: 'a second',
      result: '.git/hooks/pre-commit; npx lefthook uninstall removes it',
    },
  })
);

/** @typedef {keyof typeof commands} CommandName */

/** Thrown for wrong arguments; the message is one sentence for the person who typed them. */
export class WrongArguments extends Error {}

/** How a command is typed. */
const typed = (/** @type {string} */ name) => (['start', 'test'].includes(name) ? `npm ${name}` : `npm run ${name}`);

/** @param {string} name @returns {Command} */
function commandOf(name) {
  const command = /** @type {Record<string, Command>} */ (commands)[name];
  if (!command || !Object.hasOwn(commands, name)) {
    throw new WrongArguments(`There is no command "${name}"; there are ${Object.keys(commands).join(', ')}.`);
  }
  return command;
}

/** @param {Option} option */
function allowed({ oneOf, whole, positive }) {
  const number = (/** @type {number} */ value) => value.toLocaleString('en-US');
  if (oneOf) return oneOf.join(' or ');
  if (whole && whole[1] > 2 ** 30) return 'a whole number';
  if (whole) return `a whole number from ${number(whole[0])} to ${number(whole[1])}`;
  return positive ? 'a number above 0' : undefined;
}

/** What `--help` prints. @param {string} name */
export function helpOf(name) {
  const command = commandOf(name);
  const { does, takes, result, argument, passesOn } = command;
  const options = Object.entries(command.options ?? {});
  const rows = options.map(([flag, option]) => {
    const notes = [allowed(option), option.default === undefined ? undefined : `default ${option.default}`];
    const noted = notes.filter((note) => note !== undefined).join('; ');
    return [`--${flag}${option.value ? ` ${option.value}` : ''}`, `${option.does}${noted ? ` (${noted})` : ''}`];
  });
  if (argument) rows.unshift([argument.value, `${argument.does}: ${(argument.oneOf ?? []).join(', ')}`]);
  const width = Math.max(0, ...rows.map(([left = '']) => left.length));
  const usage = [
    typed(name),
    ...(rows.length > 0 || passesOn ? ['--'] : []),
    ...(argument ? [argument.value] : []),
    ...(options.length > 0 ? ['[options]'] : []),
    ...(passesOn ? [`[arguments of ${passesOn}]`] : []),
  ].join(' ');
  return [
    usage,
    '',
    does,
    ...(rows.length > 0 ? ['', ...rows.map(([left = '', right]) => `  ${left.padEnd(width)}  ${right}`)] : []),
    '',
    `Takes   ${takes}.`,
    `Result  ${result}.`,
    '',
    'The first command in a clone installs the dependencies, which takes about a minute more.',
    '',
  ].join('\n');
}

/** @param {string} name @param {string} flag @param {Option} option @param {unknown} value */
function check(name, flag, option, value) {
  const { oneOf, whole, positive } = option;
  for (const text of [value].flat()) {
    if (typeof text !== 'string') continue;
    const number = text.trim() === '' ? Number.NaN : Number(text);
    const understood = oneOf
      ? oneOf.includes(text)
      : whole
        ? /^\d+$/.test(text) && number >= whole[0] && number <= whole[1]
        : !positive || (number > 0 && Number.isFinite(number));
    if (!understood) throw new WrongArguments(`--${flag} must be ${allowed(option)}; ${hint(name)}`);
  }
}

const hint = (/** @type {string} */ name) => `see ${typed(name)} -- --help.`;

/**
 * Reads what stands behind a command. Arguments for its tool are in `rest`, in the order in which they were typed.
 * @param {string} name
 * @param {string[]} args
 * @returns {{ help: boolean, values: Record<string, unknown>, positionals: string[], rest: string[] }}
 * @throws {WrongArguments} when something is not understood.
 */
export function parseCommand(name, args) {
  const command = commandOf(name);
  const options = command.options ?? {};
  const before = args.includes('--') ? args.slice(0, args.indexOf('--')) : args;
  if (before.some((argument) => argument === '--help' || argument === '-h')) {
    return { help: true, values: {}, positionals: [], rest: [] };
  }
  /** @type {Record<string, unknown>} */
  const unset = {};
  for (const [flag, { type }] of Object.entries(options)) if (type === 'boolean') unset[flag] = false;
  const { values, positionals, tokens } = parseArgs({
    args,
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  /** @type {Set<number>} */
  const understood = new Set();
  for (const token of tokens) {
    if (token.kind === 'positional' && !command.argument && !command.passesOn) {
      throw new WrongArguments(`${typed(name)} takes no argument "${token.value}"; ${hint(name)}`);
    }
    if (token.kind !== 'option') continue;
    const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined;
    if (!option) {
      if (command.passesOn) continue;
      throw new WrongArguments(`${typed(name)} has no option ${token.rawName}; ${hint(name)}`);
    }
    if (option.type === 'boolean' && token.value !== undefined) {
      throw new WrongArguments(`--${token.name} takes no value; ${hint(name)}`);
    }
    const missing = !token.value || (!token.inlineValue && token.value.startsWith('-'));
    if (option.type === 'string' && missing) {
      throw new WrongArguments(`--${token.name} needs a value; ${hint(name)}`);
    }
    check(name, token.name, option, token.value);
    understood.add(token.index);
    if (option.type === 'string' && !token.inlineValue) understood.add(token.index + 1);
  }
  const rest = args.filter((_, index) => !understood.has(index));
  const { argument } = command;
  if (argument) {
    const [given, more] = positionals;
    if (more !== undefined) throw new WrongArguments(`${typed(name)} takes one ${argument.value}; ${hint(name)}`);
    if (given === undefined ? argument.required : argument.oneOf && !argument.oneOf.includes(given)) {
      throw new WrongArguments(
        `${typed(name)} needs a ${argument.value}: ${(argument.oneOf ?? []).join(', ')}; ${hint(name)}`,
      );
    }
  }
  return { help: false, values: { ...unset, ...values }, positionals, rest };
}
