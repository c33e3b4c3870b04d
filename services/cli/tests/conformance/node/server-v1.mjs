// A stock server of x402 version 1 that sells one thing.

import express from "express";
import { paymentMiddleware } from "x402-express";
import { tell, tellAnswersOf, tellPort } from "./told.mjs";

const { facilitator, key, network, price, payTo } = JSON.parse(process.env.SHOP);
const authorization = { Authorization: `Bearer ${key}` };

tellAnswersOf(facilitator);
const client = {
  url: facilitator,
  createAuthHeaders: async () => ({ verify: authorization, settle: authorization, supported: authorization }),
};
const routes = { "GET /paid": { price, network, config: { maxTimeoutSeconds: 300 } } };

const app = express();
app.use(paymentMiddleware(payTo, routes, client));
app.get("/paid", (_, response) => {
  tell({ handled: "/paid" });
  response.json({ sold: true });
});
tellPort(app.listen(0, "127.0.0.1"));
