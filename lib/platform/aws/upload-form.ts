/**
 * The form by which a browser brings one file to S3 ("POST policy"), made and signed by the package of the SDK.
 *
 * Invariant: the policy names the bucket and every field by its exact value, bounds the size and says when the form ends.
 */
import type { S3Client } from '@aws-sdk/client-s3';
import { createPresignedPost } from '@aws-sdk/s3-presigned-post';
import * as z from 'zod';
import { toIso } from '#platform/kernel/clock.ts';

/** What is posted as `multipart/form-data`: the fields in any order, then the file as `file`. */
export interface UploadForm {
  readonly url: string;
  readonly fields: Record<string, string>;
  /** When S3 stops taking it. */
  readonly expiresAt: string;
}

const Policy = z.object({ expiration: z.iso.datetime() });

/**
 * A form for one key, one media type and a size of 1 to `bytesAtMost` bytes, for some seconds by the clock of the client's other
 * signatures, which is the one that S3 compares. It is posted to `url`, where pages may send files, and not to what the client calls.
 */
export async function signedForm(
  s3: S3Client,
  url: string,
  file: { bucket: string; key: string; type: string; bytesAtMost: number; goodForSeconds: number },
): Promise<UploadForm> {
  const { fields } = await createPresignedPost(s3, {
    Bucket: file.bucket,
    Key: file.key,
    Fields: { 'Content-Type': file.type },
    Conditions: [['content-length-range', 1, file.bytesAtMost]],
    Expires: file.goodForSeconds,
  });
  const policy = Policy.parse(JSON.parse(Buffer.from(fields['Policy'] ?? '', 'base64').toString()));
  return { url, fields, expiresAt: toIso(Date.parse(policy.expiration)) };
}
