import { S3Client } from '@aws-sdk/client-s3';
import { jest } from '@jest/globals';
import { signedForm } from './upload-form.ts';

const nowMs = Date.UTC(2026, 0, 31, 18, 0, 0, 123);
beforeAll(() => void jest.spyOn(Date, 'now').mockReturnValue(nowMs));
afterAll(() => jest.restoreAllMocks());

const url = 'https://pictures.example.com/';
const file = { bucket: 'pictures', key: 'incoming/1', type: 'image/png', bytesAtMost: 70, goodForSeconds: 600 };
const credentials = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  sessionToken: 'session',
};
const s3 = new S3Client({ region: 'us-east-1', endpoint: 'http://127.0.0.1:9', credentials });
const policyOf = (fields: Record<string, string>) =>
  JSON.parse(Buffer.from(fields['Policy'] ?? '', 'base64').toString());

test('a form names each of its fields in its policy, by the credentials of its client, and when it ends', async () => {
  const { fields, ...form } = await signedForm(s3, url, file);
  expect(form).toEqual({ url, expiresAt: '2026-01-31T18:10:00.000Z' });
  const { Policy, 'X-Amz-Signature': signature, ...said } = fields;
  expect(said).toEqual({
    bucket: 'pictures',
    key: 'incoming/1',
    'Content-Type': 'image/png',
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': 'AKIAIOSFODNN7EXAMPLE/20260131/us-east-1/s3/aws4_request',
    'X-Amz-Date': '20260131T180000Z',
    'X-Amz-Security-Token': 'session',
  });
  const { expiration, conditions } = policyOf(fields);
  expect(expiration).toBe('2026-01-31T18:10:00Z');
  expect(conditions).toHaveLength(1 + Object.keys(said).length);
  expect(conditions).toEqual(
    expect.arrayContaining([
      ['content-length-range', 1, 70],
      ...Object.entries(said).map(([name, value]) => ({ [name]: value })),
    ]),
  );
  expect(signature).toMatch(/^[0-9a-f]{64}$/);
});

test('no two files have one signature, nor two secrets', async () => {
  const other = new S3Client({ region: 'us-east-1', credentials: { ...credentials, secretAccessKey: 'another' } });
  const forms = await Promise.all([
    signedForm(s3, url, file),
    signedForm(s3, url, { ...file, key: 'incoming/2' }),
    signedForm(s3, url, { ...file, type: 'image/webp' }),
    signedForm(s3, url, { ...file, bytesAtMost: 71 }),
    signedForm(s3, url, { ...file, goodForSeconds: 601 }),
    signedForm(other, url, file),
  ]);
  expect(new Set(forms.map(({ fields }) => fields['X-Amz-Signature'])).size).toBe(forms.length);
});
