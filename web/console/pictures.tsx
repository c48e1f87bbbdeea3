/** The pictures of a product: those it has, and bringing another. */
import { useRef, useState } from 'preact/hooks';
import { dataOf } from '#client/http.ts';
import { Act, Name } from '../parts.tsx';
import type { NewPicture, PictureUpload, Product } from '../types.ts';
import { languageOf } from '../words.ts';
import { Field, Form, Submit, TextField, useConsole } from './parts.tsx';

/** How long a file may take to come. */
const uploadMs = 120_000;
type Typed = { en: string; ko: string };
const nothing: Typed = { en: '', ko: '' };

export function Pictures({ product, onChanged }: { product: Product; onChanged: () => Promise<void> }) {
  const store = useConsole();
  const { words, locale } = store;
  const language = languageOf(locale) ?? 'en';
  const { pictures: text, field } = words.console;
  const input = useRef<HTMLInputElement>(null);
  const [alt, setAlt] = useState(nothing);
  const [problems, setProblems] = useState<{ file?: string; en?: string; ko?: string }>({});
  const { http } = store.api;
  const { productId } = product;

  function submit(): void {
    const file = input.current?.files?.[0];
    const missing = (value: string) => (value.trim() === '' ? field.missing : undefined);
    const found = { file: file ? undefined : text.noFile, en: missing(alt.en), ko: missing(alt.ko) };
    setProblems(found);
    if (!file || found.en || found.ko) return;
    // What the browser takes for another type is refused by the API.
    const type = file.type as NewPicture['type'];
    const announced = { type, bytes: file.size, alt: { en: alt.en.trim(), ko: alt.ko.trim() } };
    void store.act(
      'picture',
      async () => {
        const call = { params: { path: { productId } }, body: announced };
        const { pictureId, upload } = await dataOf(http.POST('/products/{productId}/pictures', call));
        await bring(upload, file);
        await http.POST('/products/{productId}/pictures/{pictureId}/shown', {
          params: { path: { productId, pictureId } },
        });
        store.say('good', text.added);
        setAlt(nothing);
        if (input.current) input.current.value = '';
        await onChanged();
      },
      { invalid_input: text.wrongFile, not_a_picture: text.wrongFile },
    );
  }

  function remove(picture: Product['pictures'][number]): void {
    void store.act('picture', async () => {
      if (!(await store.sure(text.askRemove(picture.alt[language]), text.remove))) return;
      const { pictureId } = picture;
      await http.DELETE('/products/{productId}/pictures/{pictureId}', { params: { path: { productId, pictureId } } });
      store.say('good', text.removed);
      await onChanged();
    });
  }

  return (
    <section class="card">
      <h2>{text.title}</h2>
      {product.pictures.length === 0 ? (
        <p class="empty">{text.none}</p>
      ) : (
        <ul class="pictures">
          {product.pictures.map((picture) => (
            <li key={picture.pictureId}>
              <img src={picture.path} alt={picture.alt[language]} loading="lazy" />
              <Name>{picture.alt[language]}</Name>
              <Act busy={store.busy.has('picture')} class="quiet slim" onAct={() => remove(picture)}>
                {text.remove}
              </Act>
            </li>
          ))}
        </ul>
      )}
      <Form class="form-grid" onSubmit={submit} label={text.add}>
        <Field label={text.file} hint={text.fileHint} problem={problems.file}>
          {(marks) => <input {...marks} ref={input} type="file" accept="image/jpeg,image/png,image/webp" />}
        </Field>
        <TextField
          label={text.altEn}
          value={alt.en}
          onValue={(en) => setAlt({ ...alt, en })}
          problem={problems.en}
          most={300}
        />
        <TextField
          label={text.altKo}
          value={alt.ko}
          onValue={(ko) => setAlt({ ...alt, ko })}
          problem={problems.ko}
          most={300}
        />
        <div class="row wide end">
          <Submit busy={store.busy.has('picture')}>{text.add}</Submit>
        </div>
      </Form>
    </section>
  );
}

/** Brings a file to where its form says. Throws if it does not arrive. */
async function bring({ url, fields }: PictureUpload['upload'], file: File): Promise<void> {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  body.append('file', file);
  const response = await fetch(url, { method: 'POST', body, signal: AbortSignal.timeout(uploadMs) });
  if (!response.ok) throw new Error(`the file was refused with ${response.status}`);
}
