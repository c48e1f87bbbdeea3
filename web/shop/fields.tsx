/** Fields of the shop's forms. What is wrong with one stands beside it. */

/** What a browser may fill in by itself. */
type Complete = 'name' | 'email' | 'new-password' | 'current-password' | 'one-time-code';

export interface FieldProps {
  id: string;
  label: string;
  type: 'text' | 'email' | 'password';
  complete: Complete;
  most: number;
  value: string;
  onValue: (value: string) => void;
  problem?: string | undefined;
  hint?: string | undefined;
}

export function TextField({ id, label, type, complete, most, value, onValue, problem, hint = '' }: FieldProps) {
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        // Preact knows each type of input by itself, and none that may be one of several.
        type={type as 'text'}
        autocomplete={complete}
        maxLength={most}
        value={value}
        aria-invalid={problem !== undefined}
        aria-describedby={`${id}-hint`}
        onInput={({ currentTarget }) => onValue(currentTarget.value)}
      />
      <span id={`${id}-hint`} class={problem ? 'problem' : 'soft small'}>
        {problem ?? hint}
      </span>
    </div>
  );
}

/** The shortest password of an account. */
export const leastPassword = 10;

/** Whether this may be a code of a mail, however it is typed: sixteen letters and digits. */
export const mayBeCode = (text: string): boolean => /^[0-9A-Za-z]{16}$/.test(text.replaceAll(/[\s-]/g, ''));
