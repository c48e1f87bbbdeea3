import { createHmac } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { isAuthentic, secretOf, signedHeaders, webhookToleranceMs } from './webhook-signature.ts';

const secret = `whsec_${Buffer.from('a shared secret of some length').toString('base64')}`;
const nowMs = 1_700_000_000_000;
const rawBody = '{"type":"payment.captured","data":{"chargeId":"ch_1"}}';

/** Signs as the specification says, independently of the code under test. */
function signed({ id = 'msg_1', atMs = nowMs, key = secret, body = rawBody } = {}) {
  const timestamp = String(Math.floor(atMs / 1000));
  const bytes = Buffer.from(key.slice('whsec_'.length), 'base64');
  const signature = createHmac('sha256', bytes).update(`${id}.${timestamp}.${body}`).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` };
}

const accepted = (headers: Record<string, string | undefined>, body = rawBody) =>
  isAuthentic(secret, { headers, rawBody: body }, nowMs);

describe('webhook signatures', () => {
  it('the example of the Standard Webhooks specification passes', () => {
    const headers = {
      'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    };
    const example = { headers, rawBody: '{"test": 2432232314}' };
    expect(isAuthentic('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', example, 1_614_265_330_000)).toBe(true);
  });

  it('a genuine one passes, also among others and while secrets are replaced', () => {
    const headers = signed();
    expect(accepted(headers)).toBe(true);
    const several = { ...headers, 'webhook-signature': `v1,AAAA v1a,zzz ${headers['webhook-signature']}` };
    expect(accepted(several)).toBe(true);
    const old = `whsec_${Buffer.from('the one before').toString('base64')}`;
    expect(isAuthentic(`${old} ${secret}`, { headers, rawBody }, nowMs)).toBe(true);
  });

  it.each(['webhook-id', 'webhook-timestamp', 'webhook-signature'])('without %s it is refused', (name) => {
    expect(accepted({ ...signed(), [name]: undefined })).toBe(false);
    expect(accepted({ ...signed(), [name]: '' })).toBe(false);
  });

  it('an altered body, id or time is refused', () => {
    expect(accepted(signed(), `${rawBody} `)).toBe(false);
    expect(accepted({ ...signed(), 'webhook-id': 'msg_2' })).toBe(false);
    expect(accepted({ ...signed(), 'webhook-timestamp': String(nowMs / 1000 + 1) })).toBe(false);
  });

  it('a signature with another key, of another version, or of another form is refused', () => {
    const stranger = `whsec_${Buffer.from('a guess').toString('base64')}`;
    expect(accepted(signed({ key: stranger }))).toBe(false);
    const bare = signed()['webhook-signature'].slice('v1,'.length);
    for (const value of [bare, `v2,${bare}`, `v1,${bare.slice(4)}`, 'v1,', ' ', 'v1']) {
      expect(accepted({ ...signed(), 'webhook-signature': value })).toBe(false);
    }
  });

  it('older or newer than the tolerance is refused, within it accepted', () => {
    for (const sign of [-1, 1]) {
      expect(accepted(signed({ atMs: nowMs + sign * (webhookToleranceMs + 1_000) }))).toBe(false);
      expect(accepted(signed({ atMs: nowMs + sign * (webhookToleranceMs - 1_000) }))).toBe(true);
    }
  });

  it.each(['1e10', '-5', '1700000000.5', 'now', ' 1700000000', '99999999999999'])('the time %j is refused', (time) => {
    expect(accepted({ ...signed(), 'webhook-timestamp': time })).toBe(false);
  });
});

describe('our own webhooks', () => {
  const [one, other, third] = ['one', 'other', 'third'].map((name) => secretOf('a key', name)) as [
    string,
    string,
    string,
  ];

  it('are accepted by the reference library with each of the secrets, and with no other', () => {
    const headers = signedHeaders([one, other], 'msg_1', rawBody, Date.now());
    expect(new Webhook(one).verify(rawBody, headers)).toEqual(JSON.parse(rawBody));
    expect(new Webhook(other).verify(rawBody, headers)).toEqual(JSON.parse(rawBody));
    expect(() => new Webhook(third).verify(rawBody, headers)).toThrow('No matching signature');
    expect(() => new Webhook(one).verify(`${rawBody} `, headers)).toThrow('No matching signature');
  });

  it('have secrets of 32 bytes that depend on key and name', () => {
    expect(Buffer.from(one.slice('whsec_'.length), 'base64')).toHaveLength(32);
    expect(secretOf('a key', 'one')).toBe(one);
    expect(new Set([one, other, secretOf('another key', 'one')]).size).toBe(3);
  });
});
