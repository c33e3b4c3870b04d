// A seller that gives away nothing before it is paid: the buyer waits until the payment is settled on chain.
//
// It is a stock x402 server. All that it knows of Quittance is a URL and a key.

import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { paymentMiddleware, x402ResourceServer } from "@x402/express";
import express from "express";
import type { AddressInfo } from "node:net";
import { setting } from "./settings.js";

const key = { Authorization: `Bearer ${setting("QUITTANCE_KEY")}` };
const facilitator = new HTTPFacilitatorClient({
  url: setting("QUITTANCE_URL", "http://127.0.0.1:4020"),
  createAuthHeaders: async () => ({ verify: key, settle: key, supported: key }),
});

const network = "eip155:84532";
const server = new x402ResourceServer(facilitator).register(network, new ExactEvmScheme());

const app = express();
app.use(
  paymentMiddleware(
    {
      "GET /report": {
        accepts: { scheme: "exact", network, price: "$0.01", payTo: setting("PAY_TO"), maxTimeoutSeconds: 300 },
        description: "A report",
        mimeType: "application/json",
      },
    },
    server,
  ),
);
app.get("/report", (_request, response) => {
  response.json({ report: "the weather will be fine" });
});

const listener = app.listen(Number(setting("PORT", "4030")), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${(listener.address() as AddressInfo).port}/report is for sale`);
});
