/** Fields for what people write in their own way: times of a zone, and money. */
import { amountOf } from './amounts.ts';
import { useConsole, useOwnId, useWords } from './parts.tsx';
import { momentOf, momentsOf, offsetName, type TypedTime, utcTime } from './times.ts';

/** A time, with its zone and the same in UTC beside it. Which of two it is, is asked where the clocks are put back. */
export function TimeField(props: {
  label: string;
  value: TypedTime;
  onValue: (value: TypedTime) => void;
  problem?: string | undefined;
}) {
  const { label, value, onValue } = props;
  const { zone } = useConsole();
  const words = useWords().time;
  const id = useOwnId();
  const typed = momentOf(value, zone);
  const both = momentsOf(value.local, zone) ?? [];
  const [first, second] = both;
  const asksBack = 'problem' in typed && typed.problem !== 'missing' ? words[typed.problem] : undefined;
  const problem = props.problem ?? asksBack;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        type="datetime-local"
        step={1}
        value={value.local}
        aria-invalid={problem !== undefined}
        aria-describedby={`${id}-hint`}
        onInput={({ currentTarget }) => onValue({ local: currentTarget.value })}
      />
      {second !== undefined && first !== undefined && (
        <fieldset class="which">
          <legend class="visually-hidden">{words.ambiguous}</legend>
          {([first, second] as const).map((ms, which) => (
            <label key={ms} class="choice">
              <input
                type="radio"
                name={id}
                checked={value.which === which}
                onChange={() => onValue({ ...value, which: which === 0 ? 0 : 1 })}
              />
              {(which === 0 ? words.first : words.second)(offsetName(ms, zone), utcTime(ms))}
            </label>
          ))}
        </fieldset>
      )}
      <span id={`${id}-hint`} class={problem ? 'problem' : 'soft small'}>
        {problem ?? (
          <>
            {words.zone(zone, offsetName('ms' in typed ? typed.ms : Date.now(), zone))}
            {'ms' in typed && (
              <>
                <br />
                {words.utc(utcTime(typed.ms))}
              </>
            )}
          </>
        )}
      </span>
    </div>
  );
}

/** What a typed amount is, or what is wrong with it, in words. */
export function useAmount(): (
  text: string,
  currency: string,
  most?: number,
) => { amountMinor: number; problem?: undefined } | { problem: string } {
  const { words, config, format } = useConsole();
  const { money } = words.console;
  return (text, currency, most) => {
    const amount = amountOf(text, currency, most);
    if ('amountMinor' in amount) return amount;
    if (amount.problem === 'digits') {
      return { problem: money.digits(String(config.minorDigits?.[currency] ?? 2), currency) };
    }
    if (amount.problem === 'tooLarge' && most !== undefined) {
      return { problem: money.tooMuch(format.money({ amountMinor: most, currency })) };
    }
    return { problem: money[amount.problem] };
  };
}

/** An amount in a currency, with what was understood beside it. */
export function MoneyField(props: {
  label: string;
  value: string;
  currency: string;
  onValue: (value: string) => void;
  problem?: string | undefined;
  most?: number;
}) {
  const { label, value, currency, onValue, most } = props;
  const { format, words } = useConsole();
  const id = useOwnId();
  const amount = amountOf(value, currency, most);
  const { problem } = props;
  return (
    <div class="field">
      <label for={id}>
        {label} <span>({currency})</span>
      </label>
      <input
        id={id}
        type="text"
        inputMode="decimal"
        autocomplete="off"
        value={value}
        aria-invalid={problem !== undefined}
        aria-describedby={`${id}-hint`}
        onInput={({ currentTarget }) => onValue(currentTarget.value)}
      />
      <span id={`${id}-hint`} class={problem ? 'problem' : 'soft small'}>
        {problem ??
          ('amountMinor' in amount
            ? words.console.money.understood(format.money({ amountMinor: amount.amountMinor, currency }))
            : '')}
      </span>
    </div>
  );
}
