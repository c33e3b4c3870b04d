// A stock server of x402 version 2 that sells one thing.

import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { paymentMiddleware, x402ResourceServer } from "@x402/express";
import express from "express";
import { tell, tellAnswersOf, tellPort } from "./told.mjs";

const { facilitator, key, network, price, payTo } = JSON.parse(process.env.SHOP);
const authorization = { Authorization: `Bearer ${key}` };

tellAnswersOf(facilitator);
const client = new HTTPFacilitatorClient({
  url: facilitator,
  createAuthHeaders: async () => ({ verify: authorization, settle: authorization, supported: authorization }),
});
const server = new x402ResourceServer(client).register(network, new ExactEvmScheme());
const routes = { "GET /paid": { accepts: { scheme: "exact", network, price, payTo, maxTimeoutSeconds: 300 } } };

const app = express();
app.use(paymentMiddleware(routes, server));
app.get("/paid", (_, response) => {
  tell({ handled: "/paid" });
  response.json({ sold: true });
});
tellPort(app.listen(0, "127.0.0.1"));
