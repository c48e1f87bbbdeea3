/**
 * A server in another language: a client that openapi-python-client has made from the document reserves, waits and buys with an API
 * key for a customer.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { apiDocument } from '#functions/http/document.ts';
import { generateClient } from './python-client.ts';

const run = promisify(execFile);

const program = `
import json, sys, time
from urllib.parse import parse_qs, urlparse
from uuid import UUID
folder, api, key, customer, sale = sys.argv[1:]
sys.path.insert(0, folder)
from shop_client import AuthenticatedClient
from shop_client.api.purchases import create_purchase, get_purchase
from shop_client.api.reservations import create_reservation, get_reservation
from shop_client.models import PurchaseRequest, ReservationRequest

client = AuthenticatedClient(base_url=api, token=key, headers={"Holdfast-Customer": customer})

def wait(read, passing):
    while True:
        view = read()
        if view.state not in passing:
            return view
        time.sleep(0.25)

def reserve(quantity, key):
    return create_reservation.sync(UUID(sale), client=client, body=ReservationRequest(quantity=quantity), idempotency_key=key)

accepted = reserve(2, "python-1")
receipt = parse_qs(urlparse(accepted.status_url).query)["receipt"][0]
held = wait(lambda: get_reservation.sync(accepted.reservation_id, client=client, receipt=receipt), ("requested",))
order = PurchaseRequest(reservation_ids=[held.reservation_id], payment_token="tok_approve")
bought = create_purchase.sync(client=client, body=order, idempotency_key="python-2")
paid = wait(lambda: get_purchase.sync(bought.purchase_id, client=client), ("requested", "unknown"))
again = reserve(2, "python-1")
refused = reserve(4, "python-3")
print(json.dumps([held.state, held.units, paid.state, paid.amount.amount_minor, again.reservation_id == held.reservation_id, refused.code]))
`;

/**
 * What it has come to: state and units of the reservation, state and amount of the purchase, whether the same request again is the
 * same reservation, and the code of a refusal. Undefined if the generator cannot be had, which a line then says.
 */
export async function buyInPython(api: string, key: string, customer: string, saleId: string): Promise<unknown> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-python-buyer-'));
  try {
    const document = join(folder, 'openapi.json');
    writeFileSync(document, JSON.stringify(apiDocument()));
    const made = await generateClient(document, join(folder, 'shop_client'));
    if (!made) return undefined;
    const { stdout } = await run(made.python, ['-c', program, folder, api, key, customer, saleId]);
    return JSON.parse(stdout);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
