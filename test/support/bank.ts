/** The customer's bank, as the sandbox provider has it: what a customer does on its page, and how the shop hears of it. */
import { Webhook } from 'standardwebhooks';
import type { RunningBed } from './running-bed.ts';

/** Confirms a payment on the bank's page, and tells the bed of it. */
export async function confirmAtBank(running: RunningBed, purchaseId: string, url: string): Promise<void> {
  const body = new URLSearchParams({ decision: 'confirm' });
  const confirmed = await fetch(url, { method: 'POST', body });
  if (confirmed.status !== 200) throw new Error(`the bank answered ${confirmed.status}`);
  await tellOfPayment(running, purchaseId, url);
}

/** Tells a bed that a payment was confirmed, as the provider's webhook would, by bytes that are signed as they are: the provider knows no bed. */
export async function tellOfPayment({ api, bed }: RunningBed, purchaseId: string, url: string): Promise<void> {
  const authorization = `Bearer ${bed.registry['secret/payment-api-key']}`;
  const asked = await fetch(new URL(`/v1/charges/${purchaseId}`, url), { headers: { authorization } });
  const charge = (await asked.json()) as { id: string };
  const data = { ...charge, chargeId: charge.id };
  const payload = JSON.stringify({ type: 'payment.captured', timestamp: new Date().toISOString(), data });
  const at = new Date();
  const headers = {
    'webhook-id': crypto.randomUUID(),
    'webhook-timestamp': `${Math.floor(at.getTime() / 1_000)}`,
  };
  const signature = new Webhook(`${bed.registry['secret/payment-webhook']}`).sign(headers['webhook-id'], at, payload);
  const told = await fetch(`${api}/webhooks/payments`, {
    method: 'POST',
    headers: { ...headers, 'webhook-signature': signature, 'content-type': 'application/json' },
    body: payload,
  });
  if (told.status !== 200) throw new Error(`the webhook was answered with ${told.status}`);
}
