// A stock server of x402 version 2 that sells one thing.

import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { UptoEvmScheme } from "@x402/evm/upto/server";
import { paymentMiddleware, setSettlementOverrides, x402ResourceServer } from "@x402/express";
import express from "express";
import { tell, tellAnswersOf, tellPort } from "./told.mjs";

const { facilitator, key, network, price, payTo, scheme, taken } = JSON.parse(process.env.SHOP);
const authorization = { Authorization: `Bearer ${key}` };

tellAnswersOf(facilitator);
const client = new HTTPFacilitatorClient({
  url: facilitator,
  createAuthHeaders: async () => ({ verify: authorization, settle: authorization, supported: authorization }),
});
const server = new x402ResourceServer(client)
  .register(network, new ExactEvmScheme())
  .register(network, new UptoEvmScheme());
const routes = { "GET /paid": { accepts: { scheme, network, price, payTo, maxTimeoutSeconds: 300 } } };

const app = express();
app.use(paymentMiddleware(routes, server));
app.get("/paid", (_, response) => {
  tell({ handled: "/paid" });
  // Up to an amount, what is taken is known when the work is done.
  if (taken !== null) setSettlementOverrides(response, { amount: taken });
  response.json({ sold: true });
});
tellPort(app.listen(0, "127.0.0.1"));
