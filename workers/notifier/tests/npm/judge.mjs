// Reads requests from standard input, and writes what the library says about each: null, or why it is refused.

import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

function judge({ secret, now, headers, body }) {
  // The library's only clock.
  Date.now = () => now * 1000;
  try {
    new Webhook(secret).verify(body, headers);
    return null;
  } catch (error) {
    return error.message;
  }
}

const requests = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(requests.map(judge)));
