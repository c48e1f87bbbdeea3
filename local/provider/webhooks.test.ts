/** Signatures: the example of the Standard Webhooks specification. */
import { expect, test } from '@jest/globals';
import { signWebhook } from './webhooks.ts';

test('a webhook is signed as Standard Webhooks signs its example', () => {
  const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
  const signature = signWebhook(secret, 'msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330, '{"test": 2432232314}');
  expect(signature).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
});
