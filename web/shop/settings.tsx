/** Settings: the language, and what is known of the account. */
import { type Language, languageOf } from '../words.ts';
import { useShop } from './parts.tsx';

/** Each language under its own name, whatever the page is written in. */
const names: Record<Language, string> = { en: 'English', ko: '한국어' };

/** Chooses the language of everything. */
export function LanguageChoice() {
  const shop = useShop();
  const { words } = shop;
  return (
    <label class="field">
      {words.language.label}
      <select
        value={shop.chosenLanguage ?? ''}
        onChange={({ currentTarget }) => void shop.speak(languageOf(currentTarget.value))}
      >
        <option value="">{words.language.browser}</option>
        {(Object.keys(names) as Language[]).map((language) => (
          <option key={language} value={language} lang={language}>
            {names[language]}
          </option>
        ))}
      </select>
    </label>
  );
}

export function SettingsPage() {
  const shop = useShop();
  const { words, me } = shop;
  const { settings } = words;
  return (
    <>
      <h1 tabIndex={-1}>{settings.title}</h1>
      <section class="card">
        <LanguageChoice />
        <p class="soft">{settings.notices}</p>
      </section>
      <section class="card" aria-labelledby="account-title">
        <h2 id="account-title">{settings.account}</h2>
        {me ? (
          <>
            <dl class="facts">
              <div class="fact">
                <dt>{words.sign.name}</dt>
                <dd dir="auto">{me.name}</dd>
              </div>
              <div class="fact">
                <dt>{settings.email}</dt>
                <dd>{me.email}</dd>
              </div>
              <div class="fact">
                <dt>{settings.zone}</dt>
                <dd>{Intl.DateTimeFormat().resolvedOptions().timeZone}</dd>
              </div>
              <div class="fact">
                <dt>{settings.number}</dt>
                <dd>
                  <code>{me.customerId}</code>
                </dd>
              </div>
            </dl>
            <div>
              <button type="button" class="quiet" onClick={() => shop.signOut()}>
                {words.frame.signOut}
              </button>
            </div>
          </>
        ) : (
          <p class="soft">{settings.signIn}</p>
        )}
      </section>
    </>
  );
}
