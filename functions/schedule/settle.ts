/** Rule settle-purchases, every minute: queues purchases whose outcome has been open for too long. */
import { scheduleHandler } from '#platform/handlers/schedule.ts';
import { resendOpenPurchases } from '#purchase/resend-open.ts';

export const handler = scheduleHandler(async (deps) => {
  await resendOpenPurchases(deps);
});
