/**
 * Holdfast as the shop's server calls it: with its API key, for itself or for one of its customers, whom it names by its own id.
 * The key stays here.
 */
import { type Client, createClient } from '#client/index.ts';

export interface Holdfast {
  /** For the shop itself. */
  own: Client;
  /** For one of its customers, who is known to Holdfast from the first call on. */
  actingFor(customer: string): Client;
}

/** Opens Holdfast at an address with the shop's key. */
export function openHoldfast(api: string, apiKey: string): Holdfast {
  const token = () => apiKey;
  return {
    own: createClient({ api, token }),
    actingFor: (customer) =>
      createClient({
        api,
        token,
        fetch(request) {
          request.headers.set('holdfast-customer', customer);
          return fetch(request);
        },
      }),
  };
}
