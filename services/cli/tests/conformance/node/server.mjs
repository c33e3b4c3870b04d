// A stock server of x402 version 2 that sells one thing.

import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { UptoEvmScheme } from "@x402/evm/upto/server";
import { paymentMiddleware, setSettlementOverrides, x402ResourceServer } from "@x402/express";
import { declareEip2612GasSponsoringExtension } from "@x402/extensions";
import express from "express";
import { tell, tellAnswersOf, tellPort } from "./told.mjs";

const { facilitator, key, network, price, payTo, scheme, taken, sponsored } = JSON.parse(process.env.SHOP);
const authorization = { Authorization: `Bearer ${key}` };

tellAnswersOf(facilitator);
const client = new HTTPFacilitatorClient({
  url: facilitator,
  createAuthHeaders: async () => ({ verify: authorization, settle: authorization, supported: authorization }),
});
const server = new x402ResourceServer(client)
  .register(network, new ExactEvmScheme())
  .register(network, new UptoEvmScheme());
const accepts = { scheme, network, price, payTo, maxTimeoutSeconds: 300 };
const extensions = sponsored ? declareEip2612GasSponsoringExtension() : undefined;
const routes = { "GET /paid": { accepts, extensions } };

const app = express();
app.use(paymentMiddleware(routes, server));
app.get("/paid", (_, response) => {
  tell({ handled: "/paid" });
  // Up to an amount, what is taken is known when the work is done.
  if (taken !== null) setSettlementOverrides(response, { amount: taken });
  response.json({ sold: true });
});
tellPort(app.listen(0, "127.0.0.1"));
