// A stock buyer of x402 version 2: pays once for each of `purchases`, all at once.

import { decodePaymentResponseHeader, wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { UptoEvmScheme } from "@x402/evm/upto/client";
import { privateKeyToAccount } from "viem/accounts";
import { tell } from "./told.mjs";

const { url, key, purchases, node } = JSON.parse(process.env.BUY);

// Otherwise it pays in no token but those that it knows.
const client = new x402Client().setSpendControls(false);
const account = privateKeyToAccount(key);
// Only with a node it can look whether Permit2 may move its money, and sign a permit.
const chain = node ? { rpcUrl: node } : undefined;
client.register("eip155:*", new ExactEvmScheme(account, chain)).register("eip155:*", new UptoEvmScheme(account));
const pay = wrapFetchWithPayment(fetch, client);

async function buy() {
  const response = await pay(url);
  const header = response.headers.get("PAYMENT-RESPONSE");
  const payment = header && decodePaymentResponseHeader(header);
  tell({ status: response.status, body: await response.json(), payment });
}

await Promise.all(Array.from({ length: purchases }, buy));
