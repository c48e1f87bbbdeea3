/** Small pieces that every page of the console is made of. */
import type { ComponentChildren } from 'preact';
import { createContext } from 'preact';
import { useContext, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { Act } from '../parts.tsx';
import type { Console } from './store.ts';

export const ConsoleContext = createContext<Console | undefined>(undefined);

/** The store of this page. */
export function useConsole(): Console {
  const store = useContext(ConsoleContext);
  if (!store) throw new Error('drawn outside of the console');
  return store;
}

/** The words of the console alone. */
export const useWords = (): Console['words']['console'] => useConsole().words.console;

/** A page's heading; whoever listens is taken to it. */
export function Title({ children }: { children: ComponentChildren }) {
  return <h1 tabIndex={-1}>{children}</h1>;
}

/** Something could not be read: says so, and tries again when asked. */
export function Failed({ onRetry, text }: { onRetry: () => void; text?: string | undefined }) {
  const { words } = useConsole();
  return (
    <div class="empty" role="alert">
      <p>{text ?? words.console.list.failed}</p>
      <button type="button" class="quiet" onClick={onRetry}>
        {words.frame.retry}
      </button>
    </div>
  );
}

/** Stands where something is being read; what takes long may say how far it has come. */
export function Waiting({ children }: { children?: ComponentChildren }) {
  const { words } = useConsole();
  return (
    <p class="empty waiting" role="status">
      {children || words.frame.loading}
    </p>
  );
}

export interface FactOf {
  readonly name: string;
  readonly value: ComponentChildren;
  readonly warn?: boolean | undefined;
  readonly hint?: string | undefined;
  /** What the engine calls it. */
  readonly code?: string;
}

/** Names with what they stand for. */
export function Facts({ facts, wide = false }: { facts: readonly (FactOf | undefined | false)[]; wide?: boolean }) {
  return (
    <dl class={wide ? 'facts roomy' : 'facts'}>
      {facts.map(
        (fact) =>
          fact && (
            <div key={fact.code ?? fact.name} class={fact.warn ? 'fact warn' : 'fact'}>
              <dt>{fact.code === undefined ? fact.name : <Engine name={fact.code} plain={fact.name} />}</dt>
              <dd>
                {fact.value}
                {fact.hint && <span class="hint">{fact.hint}</span>}
              </dd>
            </div>
          ),
      )}
    </dl>
  );
}

export interface Column<T> {
  readonly name: string;
  readonly cell: (item: T) => ComponentChildren;
  readonly numeric?: boolean;
}

/** How much room a column needs, in the page's own measure. */
const roomOfColumn = 8;

/** Whether a box is too narrow for this many columns. */
function useIsNarrow(box: { current: HTMLElement | null }, columns: number): boolean {
  const [isNarrow, setIsNarrow] = useState(false);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const needed = columns * roomOfColumn * Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
    const measure = () => element.clientWidth > 0 && setIsNarrow(element.clientWidth < needed);
    measure();
    const resized = new ResizeObserver(measure);
    resized.observe(element);
    return () => resized.disconnect();
  }, [columns]);
  return isNarrow;
}

const isNothing = (cell: ComponentChildren) =>
  cell === null || cell === undefined || cell === false || cell === '' || cell === true;

/**
 * A table; where there is not enough room for its columns, each row is a card whose lines have their names. A column in which
 * nothing stands is left out.
 */
export function Table<T>(props: {
  caption: string;
  columns: readonly Column<T>[];
  items: readonly T[];
  keyOf: (item: T) => string;
  hidden?: boolean;
}) {
  const { caption, items, keyOf, hidden = false } = props;
  const columns = props.columns.filter(({ cell }) => !items.every((item) => isNothing(cell(item))));
  const box = useRef<HTMLDivElement>(null);
  const isNarrow = useIsNarrow(box, columns.length);
  return (
    <div ref={box} class={isNarrow ? 'table cards-of-rows' : 'table'}>
      <table>
        <caption class={hidden ? 'visually-hidden' : undefined}>{caption}</caption>
        <thead>
          <tr>
            {columns.map(({ name, numeric }) => (
              <th key={name} scope="col" class={numeric ? 'number' : undefined}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {items.map((item) => (
            <tr key={keyOf(item)}>
              {columns.map(({ name, cell, numeric }) => (
                <td key={name} data-label={name} class={numeric ? 'number' : undefined}>
                  <div>{cell(item)}</div>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The end of a list: that there is more, or that there is not. */
export function ListEnd(props: { more: boolean; reading: boolean; onMore: () => void; label?: string }) {
  const words = useWords();
  if (!props.more) return null;
  return (
    <Act busy={props.reading} class="quiet" onAct={props.onMore}>
      {props.label ?? words.list.more}
    </Act>
  );
}

interface Marks {
  id: string;
  'aria-invalid': boolean;
  'aria-describedby': string;
}

/** An id that nothing else on the page has. Preact's own begin anew whenever the page is drawn from its root. */
export function useOwnId(): string {
  const [id] = useState(() => `id-${crypto.randomUUID()}`);
  return id;
}

/** A field with its name, its hint, and what is wrong with it. */
export function Field(props: {
  label: string;
  hint?: ComponentChildren;
  problem?: string | undefined;
  wide?: boolean;
  children: (marks: Marks) => ComponentChildren;
}) {
  const { label, hint, problem, wide, children } = props;
  const id = useOwnId();
  return (
    <div class={wide ? 'field wide' : 'field'}>
      <label for={id}>{label}</label>
      {children({ id, 'aria-invalid': problem !== undefined, 'aria-describedby': `${id}-hint` })}
      <span id={`${id}-hint`} class={problem ? 'problem' : 'soft small'}>
        {problem ?? hint ?? ''}
      </span>
    </div>
  );
}

interface TextProps {
  label: string;
  value: string;
  onValue: (value: string) => void;
  hint?: ComponentChildren;
  problem?: string | undefined;
  wide?: boolean;
  mono?: boolean;
  most?: number;
  numeric?: boolean;
  placeholder?: string;
}

/** A line of text, or a number. */
export function TextField(props: TextProps) {
  const { label, value, onValue, most, mono, numeric, placeholder } = props;
  return (
    <Field label={label} hint={props.hint} problem={props.problem} wide={props.wide ?? false}>
      {(marks) => (
        <input
          {...marks}
          type="text"
          dir="auto"
          autocomplete="off"
          class={mono ? 'mono' : undefined}
          inputMode={numeric ? 'numeric' : undefined}
          maxLength={most}
          placeholder={placeholder}
          value={value}
          onInput={({ currentTarget }) => onValue(currentTarget.value)}
        />
      )}
    </Field>
  );
}

/** One of several. */
export function SelectField<Value extends string>(props: {
  label: string;
  value: Value;
  options: readonly (readonly [Value, string])[];
  onValue: (value: Value) => void;
  problem?: string | undefined;
  hint?: string;
}) {
  const { label, value, options, onValue } = props;
  return (
    <Field label={label} problem={props.problem} hint={props.hint}>
      {(marks) => (
        <select
          {...marks}
          value={value}
          onChange={({ currentTarget }) => {
            const chosen = options.find(([option]) => option === currentTarget.value);
            if (chosen) onValue(chosen[0]);
          }}
        >
          {options.map(([option, name]) => (
            <option key={option} value={option}>
              {name}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** Sends a form; what is wrong with it is marked, and the first such field gets the focus. */
export function Form(props: { onSubmit: () => void; children: ComponentChildren; class?: string; label?: string }) {
  const { onSubmit, children, label } = props;
  return (
    <form
      class={props.class}
      aria-label={label}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        const form = event.currentTarget;
        onSubmit();
        requestAnimationFrame(() => form.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus());
      }}
    >
      {children}
    </form>
  );
}

/** What the numbers of a form may be. */
export interface Range {
  readonly least: number;
  readonly most: number;
}

/** A whole number that was typed, or why it is none. Thousands may be parted. */
export function wholeOf(
  text: string,
  { least, most }: Range,
  words: Console['words'],
  format: Console['format'],
): { value: number; problem?: undefined } | { problem: string; value?: undefined } {
  const { field } = words.console;
  const typed = text.replaceAll(/[\s,_]/g, '').replace('−', '-');
  if (typed === '') return { problem: field.missing };
  if (!/^-?\d+$/.test(typed)) return { problem: field.badNumber };
  const value = Number(typed);
  if (value >= least && value <= most) return { value };
  return { problem: field.between(format.number(least), format.number(most)) };
}

/** A button that sends the form it is in. */
export function Submit({ busy, children, danger }: { busy: boolean; children: ComponentChildren; danger?: boolean }) {
  return (
    <button type="submit" aria-busy={busy} class={danger ? 'danger' : undefined}>
      {children}
    </button>
  );
}

/** Pages of one thing, as links. */
export function Tabs(props: { label: string; tabs: readonly (readonly [string, string])[]; current: string }) {
  const { label, tabs, current } = props;
  return (
    <nav class="tabs" aria-label={label}>
      {tabs.map(([path, name]) => (
        <a key={path} href={`#/${path}`} aria-current={path === current ? 'page' : undefined}>
          {name}
        </a>
      ))}
    </nav>
  );
}

/** What is the case of each of these, in one line. */
export const lines = (...parts: readonly (string | undefined | false)[]): string =>
  parts.filter((part) => typeof part === 'string' && part !== '').join(' · ');

/** What something is called in a list of names; whatever has none there is called what it is. */
export const nameIn = (names: object, key: string): string =>
  Object.hasOwn(names, key) ? String(names[key as keyof typeof names]) : key;

/** One of the engine's own parts or queues: in plain words, with its name beside them. */
export function Engine({ name, plain }: { name: string; plain: string }) {
  if (plain === name) return <code>{name}</code>;
  return (
    <>
      {plain} <code class="soft">{name}</code>
    </>
  );
}

/** What a part of the engine is, in plain words: `redis`, `queue/mail`, `provider/2`, `payments:stripe`. */
export function usePartName(): (name: string) => string {
  const { parts, queueNames } = useWords().inside;
  return (name) => {
    const [kind = '', which = ''] = name.split(/[/:\s]/);
    switch (kind) {
      case 'queue':
        return parts.queue(nameIn(queueNames, which));
      case 'provider':
        return parts.provider(which);
      case 'mysql':
      case 'redis':
      case 'sqs':
      case 'bus':
      case 'eventbridge':
      case 'websocket':
      case 'payments':
      case 'issuer':
        return parts[kind];
      default:
        return name;
    }
  };
}
