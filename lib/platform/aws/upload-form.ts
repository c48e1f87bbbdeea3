/**
 * The form by which a browser brings one file to S3 ("POST policy", AWS Signature Version 4). The package of the SDK that signs such
 * forms wants an S3 client of its own version beside ours; what it does is this one signature.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-UsingHTTPPOST.html
 */
import { createHmac } from 'node:crypto';

/** What is posted as `multipart/form-data`: the fields in any order, then the file as `file`. */
export interface UploadForm {
  readonly url: string;
  readonly fields: Readonly<Record<string, string>>;
}

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

/** A form for one key, one media type and a size of 1 to `bytesAtMost` bytes, for some seconds. */
export function signedForm(
  url: string,
  file: { bucket: string; key: string; type: string; bytesAtMost: number; goodForSeconds: number },
  { accessKeyId, secretAccessKey, sessionToken }: Credentials,
  region: string,
  nowMs: number,
): UploadForm {
  const at = `${new Date(nowMs).toISOString().replace(/[-:]|\.\d+/g, '')}`;
  const day = at.slice(0, 8);
  const said = {
    key: file.key,
    'Content-Type': file.type,
    'x-amz-algorithm': 'AWS4-HMAC-SHA256',
    'x-amz-credential': `${accessKeyId}/${day}/${region}/s3/aws4_request`,
    'x-amz-date': at,
    ...(sessionToken ? { 'x-amz-security-token': sessionToken } : {}),
  };
  const conditions = [
    { bucket: file.bucket },
    ['content-length-range', 1, file.bytesAtMost],
    ...Object.entries(said).map(([name, value]) => ['eq', `$${name}`, value]),
  ];
  const expiration = new Date(nowMs + file.goodForSeconds * 1_000).toISOString();
  const policy = Buffer.from(JSON.stringify({ expiration, conditions })).toString('base64');
  const signature = signatureOf(policy, secretAccessKey, day, region);
  return { url, fields: { ...said, policy, 'x-amz-signature': signature } };
}

/** The signature of a policy in Base64. */
export function signatureOf(policy: string, secretAccessKey: string, day: string, region: string): string {
  const signed = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest();
  const key = [day, region, 's3', 'aws4_request'].reduce<string | Buffer>(signed, `AWS4${secretAccessKey}`);
  return signed(key, policy).toString('hex');
}
