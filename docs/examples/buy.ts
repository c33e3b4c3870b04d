// A buyer: a stock x402 client that pays what it is asked, and waits where it is told to.

import { ExactEvmScheme } from "@x402/evm/exact/client";
import { decodePaymentResponseHeader, wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { privateKeyToAccount } from "viem/accounts";
import { setting } from "./settings.js";

const url = setting("BUY", "http://127.0.0.1:4030/report");
const client = new x402Client();
client.register("eip155:*", new ExactEvmScheme(privateKeyToAccount(setting("BUYER_KEY") as `0x${string}`)));
const pay = wrapFetchWithPayment(fetch, client);

let response = await pay(url);
console.log(`${response.status} from ${url}`);
const paid = response.headers.get("PAYMENT-RESPONSE");
if (paid) console.log(`paid by ${JSON.stringify(decodePaymentResponseHeader(paid))}`);

// An order that is not released yet: it is asked for until it is, for as long as the payment may take.
const until = Date.now() + 300_000;
const order = response.headers.get("Location");
if (response.status === 202) console.log(`waiting for ${order}`);
while (response.status === 202 && order && Date.now() < until) {
  const seconds = Number(response.headers.get("Retry-After") ?? "1");
  await new Promise((resume) => setTimeout(resume, seconds * 1_000));
  // A seller that is away comes back; what it was paid for does not change.
  response = await fetch(new URL(order, url)).catch(() => response);
}
console.log(await response.text());
process.exit(response.ok && response.status !== 202 ? 0 : 1);
