/**
 * The pages that may call: a list of origins, separated by commas, or `*` for all. The gateway holds calls over HTTP to it
 * (CORS). A WebSocket is opened by any page without being asked, so the server itself looks from where one comes.
 */

/** The origins of a list. Throws for what is no origin, such as an address with a path: it would never be matched. */
export function originsOf(list: string): string[] {
  const origins = list
    .split(',')
    .map((origin) => origin.trim())
    .filter((origin) => origin !== '');
  const wrong = origins.find(
    (origin) => origin !== '*' && (!URL.canParse(origin) || new URL(origin).origin !== origin),
  );
  if (wrong !== undefined) throw new Error(`"${wrong}" is not an origin such as https://shop.example.com`);
  return origins;
}

/** Whether who connects may: a page of an origin of the list, or a program, which says none and has its token alone. */
export function mayConnectFrom(origin: string | undefined, list: string): boolean {
  if (origin === undefined) return true;
  const origins = originsOf(list);
  return origins.includes('*') || origins.includes(origin);
}
