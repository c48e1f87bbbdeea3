/** Rule settle-purchases, every minute: queues purchases whose outcome has been open for too long. */
import { scheduleHandler } from '../../lib/platform/schedule.ts';
import { purchasePorts } from '../../lib/purchase/ports.ts';
import { resendOpenPurchases } from '../../lib/purchase/resend.ts';

export const handler = scheduleHandler(async (deps) => {
  await resendOpenPurchases(purchasePorts(deps));
});
