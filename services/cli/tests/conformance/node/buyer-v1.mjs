// A stock buyer of x402 version 1: pays once for each of `purchases`, all at once.

import { createSigner, decodeXPaymentResponse, wrapFetchWithPayment } from "x402-fetch";
import { tell } from "./told.mjs";

const { url, key, network, purchases } = JSON.parse(process.env.BUY);
const pay = wrapFetchWithPayment(fetch, await createSigner(network, key));

async function buy() {
  const response = await pay(url);
  const header = response.headers.get("X-PAYMENT-RESPONSE");
  const payment = header && decodeXPaymentResponse(header);
  tell({ status: response.status, body: await response.json(), payment });
}

await Promise.all(Array.from({ length: purchases }, buy));
