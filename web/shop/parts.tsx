/** Small pieces that every page of the shop is made of. */
import type { ComponentChildren, TargetedMouseEvent } from 'preact';
import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import { coverOf, coverRatio } from '../cover.ts';
import { Choices, Dialog } from '../parts.tsx';
import type { Product } from '../types.ts';
import { languageOf } from '../words.ts';
import type { Store } from './store.ts';

export const ShopContext = createContext<Store | undefined>(undefined);

/** The store of this page. */
export function useShop(): Store {
  const store = useContext(ShopContext);
  if (!store) throw new Error('drawn outside of the shop');
  return store;
}

/** A link to another place in the shop, without loading the page again. */
export function PlaceLink({ to, children, ...rest }: { to: string; children: ComponentChildren; class?: string }) {
  const shop = useShop();
  const follow = (event: TargetedMouseEvent<HTMLAnchorElement>) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    shop.go(to);
  };
  return (
    <a href={to} onClick={follow} {...rest}>
      {children}
    </a>
  );
}

/** Something could not be read: says so, and tries again when asked. */
export function Failed({ text, onRetry }: { text: string; onRetry: () => void }) {
  const { words } = useShop();
  return (
    <div class="empty" role="alert">
      <p>{text}</p>
      <button type="button" class="quiet" onClick={onRetry}>
        {words.frame.retry}
      </button>
    </div>
  );
}

/** Stands where something is being read. */
export function Waiting() {
  const { words } = useShop();
  return (
    <p class="empty waiting" role="status">
      {words.frame.loading}
    </p>
  );
}

/** A picture of a product where its sale is listed. */
export function Picture({ picture }: { picture: Product['pictures'][number] }) {
  const language = languageOf(useShop().locale) ?? 'en';
  return <img class="cover" src={picture.path} alt={picture.alt[language]} lang={language} loading="lazy" />;
}

/** The pictures of a product, the first one large. */
export function Pictures({ pictures }: { pictures: Product['pictures'] }) {
  const { locale } = useShop();
  const language = languageOf(locale) ?? 'en';
  return (
    <ul class="pictures shown">
      {pictures.map((picture, index) => (
        <li key={picture.pictureId}>
          <img src={picture.path} alt={picture.alt[language]} lang={language} loading={index ? 'lazy' : 'eager'} />
        </li>
      ))}
    </ul>
  );
}

/** The picture of a sale. */
export function Cover({ saleId, label }: { saleId: string; label?: string }) {
  const { ground, discs } = coverOf(saleId);
  const [width, height] = [400, Math.round(400 * coverRatio)];
  const picture = (
    <svg class="cover" viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="xMidYMid slice" aria-hidden="true">
      <rect width={width} height={height} fill={ground} />
      {discs.map(({ x, y, r, colour }) => (
        <circle key={`${x},${y}`} cx={x * width} cy={y * width} r={r * width} fill={colour} fill-opacity="0.85" />
      ))}
    </svg>
  );
  return label ? (
    <div role="img" aria-label={label}>
      {picture}
    </div>
  ) : (
    picture
  );
}

/** Asks before something that cannot be undone. */
export function Ask(props: { question: string; yes: string; onYes: () => void; onNo: () => void }) {
  const { question, yes, onYes, onNo } = props;
  const { words } = useShop();
  return (
    <Dialog label={question} class="ask" onClose={onNo}>
      <p>{question}</p>
      <Choices back={words.frame.back} onBack={onNo}>
        <button type="button" class="danger" onClick={onYes}>
          {yes}
        </button>
      </Choices>
    </Dialog>
  );
}

/** A number between two bounds, with a button for one less and one more. */
export function Stepper(props: {
  value: number;
  most: number;
  label: string;
  onValue: (value: number) => void;
  invalid?: boolean;
}) {
  const { value, most, label, onValue, invalid = false } = props;
  const { words } = useShop();
  const step = (by: number) => onValue(Math.min(most, Math.max(1, (Number.isFinite(value) ? value : 0) + by)));
  return (
    <div class="stepper">
      <button type="button" aria-label={words.form.less} onClick={() => step(-1)}>
        −
      </button>
      <input
        type="text"
        inputMode="numeric"
        aria-label={label}
        aria-invalid={invalid}
        value={Number.isNaN(value) ? '' : String(value)}
        onInput={(event) => onValue(Number.parseInt(event.currentTarget.value, 10))}
      />
      <button type="button" aria-label={words.form.more} onClick={() => step(1)}>
        +
      </button>
    </div>
  );
}
