import { signatureOf, signedForm } from './upload-form.ts';

/** The example of https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-post-example.html, line breaks included. */
const policy = [
  '{ "expiration": "2015-12-30T12:00:00.000Z",',
  '  "conditions": [',
  '    {"bucket": "sigv4examplebucket"},',
  '    ["starts-with", "$key", "user/user1/"],',
  '    {"acl": "public-read"},',
  '    {"success_action_redirect": "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html"},',
  '    ["starts-with", "$Content-Type", "image/"],',
  '    {"x-amz-meta-uuid": "14365123651274"},',
  '    {"x-amz-server-side-encryption": "AES256"},',
  '    ["starts-with", "$x-amz-meta-tag", ""],',
  '',
  '    {"x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"},',
  '    {"x-amz-algorithm": "AWS4-HMAC-SHA256"},',
  '    {"x-amz-date": "20151229T000000Z" }',
  '  ]',
  '}',
].join('\r\n');
const secretAccessKey = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY';

test('a policy is signed as the documentation of S3 shows', () => {
  expect(signatureOf(Buffer.from(policy).toString('base64'), secretAccessKey, '20151229', 'us-east-1')).toBe(
    '8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e',
  );
});

test('a form names each of its fields in its policy, and when it ends', () => {
  const file = { bucket: 'pictures', key: 'incoming/1', type: 'image/png', bytesAtMost: 70, goodForSeconds: 600 };
  const credentials = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey, sessionToken: 'session' };
  const nowMs = Date.UTC(2026, 0, 31, 18, 0, 0, 123);
  const { url, fields } = signedForm('https://pictures.example.com/', file, credentials, 'us-east-1', nowMs);
  expect(url).toBe('https://pictures.example.com/');
  const { policy = '', 'x-amz-signature': signature, ...said } = fields;
  expect(said).toEqual({
    key: 'incoming/1',
    'Content-Type': 'image/png',
    'x-amz-algorithm': 'AWS4-HMAC-SHA256',
    'x-amz-credential': 'AKIAIOSFODNN7EXAMPLE/20260131/us-east-1/s3/aws4_request',
    'x-amz-date': '20260131T180000Z',
    'x-amz-security-token': 'session',
  });
  expect(JSON.parse(Buffer.from(policy, 'base64').toString())).toEqual({
    expiration: '2026-01-31T18:10:00.123Z',
    conditions: [
      { bucket: 'pictures' },
      ['content-length-range', 1, 70],
      ...Object.entries(said).map(([name, value]) => ['eq', `$${name}`, value]),
    ],
  });
  expect(signature).toBe(signatureOf(policy, secretAccessKey, '20260131', 'us-east-1'));
});
