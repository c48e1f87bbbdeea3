/**
 * Command-line arguments that all commands share.
 */
import { type Aws, awsFromEnvironment } from './stack.ts';

/**
 * Takes `--aws embedded|localstack` out of the arguments; without it `HOLDFAST_AWS` decides. `asked` is false when neither
 * says anything.
 * @throws one sentence when it asks for something else.
 */
export function takeAwsArgument(args: string[]): { aws: Aws; asked: boolean; rest: string[] } {
  const rest = [...args];
  const at = rest.findIndex((argument) => argument === '--aws' || argument.startsWith('--aws='));
  if (at < 0) return { aws: awsFromEnvironment(), asked: Boolean(process.env.HOLDFAST_AWS), rest };
  const [flag = ''] = rest.splice(at, 1);
  const value = flag.includes('=') ? flag.slice(flag.indexOf('=') + 1) : rest.splice(at, 1)[0];
  if (value !== 'embedded' && value !== 'localstack') throw new Error('--aws can be embedded or localstack.');
  return { aws: value, asked: true, rest };
}
