/** Small pieces that the shop and the console are made of. They know neither. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { type Language, languageOf, languages, type Words } from './words.ts';

/** Text that people wrote: in its own direction, and broken wherever it must be. */
export function Name({ children }: { children: string }) {
  return (
    <bdi class="name" dir="auto">
      {children}
    </bdi>
  );
}

/** A button that rests while what it started is under way. */
export function Act(props: {
  busy: boolean;
  onAct: () => void;
  children: ComponentChildren;
  class?: string;
  label?: string;
  disabled?: boolean;
}) {
  const { busy, onAct, children, label, disabled = false } = props;
  // Not disabled while busy: a disabled button would lose the focus.
  return (
    <button
      type="button"
      class={props.class}
      aria-label={label}
      aria-busy={busy}
      aria-disabled={busy || undefined}
      disabled={disabled}
      onClick={() => busy || onAct()}
    >
      {children}
    </button>
  );
}

export function Badge({ kind, children }: { kind: string; children: string }) {
  return <span class={`badge ${kind}`}>{children}</span>;
}

/** A dialog of the browser: keeps the focus inside, closes with Escape. */
export function Dialog(props: {
  label?: string;
  labelledBy?: string;
  onClose: () => void;
  children: ComponentChildren;
  class?: string;
}) {
  const { label, labelledBy, onClose, children } = props;
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog ref={dialog} class={props.class} aria-label={label} aria-labelledby={labelledBy} onClose={onClose}>
      {children}
    </dialog>
  );
}

/** The end of a dialog: the way back, and then what can be done. */
export function Choices(props: { back: string; onBack: () => void; children: ComponentChildren }) {
  const { back, onBack, children } = props;
  return (
    <div class="row end">
      <button type="button" class="quiet" onClick={onBack}>
        {back}
      </button>
      {children}
    </div>
  );
}

/** Each language under its own name, in every language of the page. */
const languageNames: Record<Language, string> = { en: 'English', ko: '한국어' };

/** Chooses the language of everything; none is the browser's. */
export function LanguageSelect(props: {
  words: Words['language'];
  chosen: Language | undefined;
  onChoose: (language: Language | undefined) => void;
}) {
  const { words, chosen, onChoose } = props;
  return (
    <label class="field">
      {words.label}
      <select value={chosen ?? ''} onChange={({ currentTarget }) => onChoose(languageOf(currentTarget.value))}>
        <option value="">{words.browser}</option>
        {languages.map((language) => (
          <option key={language} value={language} lang={language}>
            {languageNames[language]}
          </option>
        ))}
      </select>
    </label>
  );
}

/** The mark of the house. */
export function Mark() {
  return (
    <svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
      <rect width="32" height="32" rx="8" fill="#0f5c5c" />
      <path d="M10 7v18M22 7v18M10 16h12" stroke="#f6efe2" stroke-width="3.4" stroke-linecap="round" fill="none" />
      <circle cx="16" cy="16" r="3.6" fill="#f0a34a" />
    </svg>
  );
}
