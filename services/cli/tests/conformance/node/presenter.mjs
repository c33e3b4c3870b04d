// Signs one payment of x402 version 2 with the stock packages, and shows it as often as `purchases` says: all at once,
// and when those are answered once more.

import { decodePaymentResponseHeader, x402Client, x402HTTPClient } from "@x402/fetch";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { privateKeyToAccount } from "viem/accounts";
import { tell } from "./told.mjs";

const { url, key, purchases } = JSON.parse(process.env.BUY);

const client = new x402Client().setSpendControls(false);
client.register("eip155:*", new ExactEvmScheme(privateKeyToAccount(key)));
const http = new x402HTTPClient(client);

const challenge = await fetch(url);
const required = http.getPaymentRequiredResponse((name) => challenge.headers.get(name));
const headers = http.encodePaymentSignatureHeader(await client.createPaymentPayload(required));

async function show() {
  const response = await fetch(url, { headers });
  const header = response.headers.get("PAYMENT-RESPONSE");
  const payment = header && decodePaymentResponseHeader(header);
  tell({ status: response.status, body: await response.json(), payment });
}

await Promise.all(Array.from({ length: purchases }, show));
await show();
