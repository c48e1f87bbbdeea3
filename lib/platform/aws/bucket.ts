/**
 * A bucket in S3: forms by which somebody brings one file there, and what is done with files afterwards.
 *
 * Invariant: a form is good for one key, one media type, a bounded size and some minutes; S3 refuses everything else. Whoever
 * has a form needs no other permission.
 */
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { Fault } from '#platform/kernel/errors.ts';
import { callLimit, clientSettings } from './client-settings.ts';
import { signedForm, type UploadForm } from './upload-form.ts';

/** The beginning of a file. */
export interface FileStart {
  readonly bytes: Uint8Array;
  /** How many bytes the whole file has. */
  readonly size: number;
  /** Changes with the content. */
  readonly tag: string;
}

export interface Bucket {
  /** A form for a file of this type and of 1 to `bytesAtMost` bytes. */
  formFor(key: string, file: { type: string; bytesAtMost: number; goodForSeconds: number }): Promise<UploadForm>;
  /** The first bytes of a file; undefined if there is none. */
  start(key: string, bytes: number): Promise<FileStart | undefined>;
  /** Copies a file as it was when its start was read; false if it has changed or gone since. */
  copy(from: string, to: string, as: { tag: string; type: string; kept: string }): Promise<boolean>;
  /** Removes a file, if it is there. */
  remove(key: string): Promise<void>;
}

/** Opens a bucket by its address, where forms are posted, and its name (`?name=`). Nothing is called before it is used. */
export function openBucket(address: string): Bucket {
  const { origin, pathname, searchParams } = new URL(address);
  const name = searchParams.get('name') ?? '';
  const s3 = new S3Client(clientSettings);
  const place = (Key: string) => ({ Bucket: name, Key });

  return {
    formFor: (key, file) => signedForm(s3, `${origin}${pathname}`, { bucket: name, key, ...file }),
    async start(key, bytes) {
      const command = new GetObjectCommand({ ...place(key), Range: `bytes=0-${bytes - 1}` });
      const found = await answered(() => s3.send(command, callLimit()));
      if (!found?.Body) return undefined;
      const [, size] = /\/(\d+)$/.exec(found.ContentRange ?? '') ?? [];
      const start = await found.Body.transformToByteArray();
      return { bytes: start, size: Number(size ?? start.length), tag: found.ETag ?? '' };
    },
    async copy(from, to, { tag, type, kept }) {
      const command = new CopyObjectCommand({
        ...place(to),
        CopySource: `${name}/${from}`,
        CopySourceIfMatch: tag,
        MetadataDirective: 'REPLACE',
        ContentType: type,
        CacheControl: kept,
      });
      return (await answered(() => s3.send(command, callLimit()))) !== undefined;
    },
    async remove(key) {
      await answered(() => s3.send(new DeleteObjectCommand(place(key)), callLimit()));
    },
  };
}

/** What S3 answers; undefined if the file is not there, or not as it was. Throws a fault if S3 has none. */
async function answered<Answer>(call: () => Promise<Answer>): Promise<Answer | undefined> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof S3ServiceException)) throw error;
    const status = error.$metadata.httpStatusCode ?? 0;
    // 416: the file is empty.
    if (status === 404 || status === 412 || status === 416) return undefined;
    if (status >= 500 || status === 429)
      throw new Fault('store_unavailable', 'the bucket is unavailable', { cause: error });
    throw error;
  }
}
