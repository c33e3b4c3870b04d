// A seller that keeps nobody waiting: the buyer has an answer in milliseconds, and what was bought is released when the
// webhook says that it is paid.

import { decodePaymentSignatureHeader, encodePaymentRequiredHeader } from "@x402/core/http";
import { HTTPFacilitatorClient, x402ResourceServer } from "@x402/core/server";
import type { PaymentPayload, PaymentRequirements } from "@x402/core/types";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import express, { type Request, type Response } from "express";
import type { AddressInfo } from "node:net";
import { Webhook } from "standardwebhooks";
import { Orders } from "./orders.js";
import { setting } from "./settings.js";

const quittance = setting("QUITTANCE_URL", "http://127.0.0.1:4020");
const key = { Authorization: `Bearer ${setting("QUITTANCE_KEY")}` };
const webhook = new Webhook(setting("WEBHOOK_SECRET"));
const orders = new Orders(setting("ORDERS_FILE", "orders.jsonl"));

const network = "eip155:84532";
const facilitator = new HTTPFacilitatorClient({
  url: quittance,
  createAuthHeaders: async () => ({ verify: key, settle: key, supported: key }),
});
const server = new x402ResourceServer(facilitator).register(network, new ExactEvmScheme());
await server.initialize();
const price = { scheme: "exact", network, price: "$0.01", payTo: setting("PAY_TO"), maxTimeoutSeconds: 300 } as const;
const accepts = await server.buildPaymentRequirements(price);

const app = express();

app.get("/report", async (request, response) => {
  const header = request.header("PAYMENT-SIGNATURE");
  if (header === undefined) return demand(request, response);
  let payment: PaymentPayload, requirements: PaymentRequirements | undefined;
  try {
    payment = decodePaymentSignatureHeader(header);
    requirements = server.findMatchingRequirements(accepts, payment);
  } catch {
    return demand(request, response, "the payment cannot be read");
  }
  if (requirements === undefined) return demand(request, response, "the payment is for something else");

  const answer = await submit(payment, requirements);
  if (answer === undefined) {
    // Nobody knows whether it was taken. Asking again with the same payment is safe: it is one payment, however often.
    response.status(503).set("Retry-After", "2").json({ error: "try again with the same payment" });
  } else if ("refused" in answer) {
    await demand(request, response, answer.refused);
  } else {
    orders.open(answer.taken);
    response.status(202).location(`/orders/${answer.taken}`).json({ order: `/orders/${answer.taken}` });
  }
});

app.get("/orders/:id", (request, response) => {
  switch (orders.state(request.params.id)) {
    case "paid":
      response.json({ report: "the weather will be fine" });
      break;
    case "open":
      response.status(202).set("Retry-After", "1").json({ order: request.originalUrl });
      break;
    case "unpaid":
      response.status(402).json({ error: "this order was not paid" });
      break;
    case "unknown":
      response.status(404).json({ error: "there is no such order" });
  }
});

// The body as it came: JSON that was parsed and written again is not what was signed.
app.post("/hook", express.raw({ type: () => true }), (request, response) => {
  let event: { type: string; data: { id: string } };
  try {
    event = webhook.verify(request.body, request.headers as Record<string, string>) as typeof event;
  } catch {
    response.status(400).end();
    return;
  }
  // Kept first, acknowledged then: what is not acknowledged comes again. The same event twice changes nothing.
  switch (event.type) {
    case "payment.settled":
      orders.close(event.data.id, "paid");
      break;
    case "payment.rejected":
    case "payment.canceled":
    case "payment.expired":
    case "payment.failed":
      orders.close(event.data.id, "unpaid");
  }
  response.status(204).end();
});

/** Says what the report costs. */
async function demand(request: Request, response: Response, error?: string): Promise<void> {
  const resource = { url: `${request.protocol}://${request.get("host")}${request.originalUrl}` };
  const required = await server.createPaymentRequiredResponse(accepts, resource, error);
  response.status(402).set("PAYMENT-REQUIRED", encodePaymentRequiredHeader(required)).json({ error });
}

/** Hands the payment over; its id when it is committed, the reason when it is no payment, or nothing. */
async function submit(
  payment: PaymentPayload,
  requirements: PaymentRequirements,
): Promise<{ taken: string } | { refused: string } | undefined> {
  const request = { x402Version: payment.x402Version, paymentPayload: payment, paymentRequirements: requirements };
  try {
    const answer = await fetch(`${quittance}/v1/payments`, {
      method: "POST",
      headers: { ...key, "Content-Type": "application/json" },
      body: JSON.stringify(request),
      signal: AbortSignal.timeout(10_000),
    });
    const body = await answer.json();
    if (answer.ok) return { taken: body.id };
    if ([400, 409, 422].includes(answer.status)) return { refused: body.code };
    console.error(`the payment was not taken: ${answer.status} ${JSON.stringify(body)}`);
  } catch (error) {
    console.error("the payment was not taken:", error);
  }
  return undefined;
}

const listener = app.listen(Number(setting("PORT", "4030")), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${(listener.address() as AddressInfo).port}/report is for sale`);
});
