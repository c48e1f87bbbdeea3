/** Settings: the language, and what is known of the account. */
import { LanguageSelect } from '../parts.tsx';
import { useShop } from './parts.tsx';

/** Chooses the language of everything. */
export function LanguageChoice() {
  const shop = useShop();
  return (
    <LanguageSelect
      words={shop.words.language}
      chosen={shop.chosenLanguage}
      onChoose={(language) => void shop.speak(language)}
    />
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
