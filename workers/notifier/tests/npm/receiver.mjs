// Answers 204 to what the endpoint's secret has signed within the last five minutes, and 400 to everything else.

import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.WEBHOOK_SECRET);

const server = createServer(async (request, response) => {
  let event;
  try {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    // The body as it came: JSON that was parsed and written again is not what was signed.
    event = webhook.verify(Buffer.concat(pieces), request.headers);
  } catch {
    response.writeHead(400).end();
    return;
  }
  // Here the event is kept, unless its id is known already.
  console.log(event.id, event.type);
  response.writeHead(204).end();
});

server.listen(process.env.PORT, "127.0.0.1", () => console.log("listening on", server.address().port));
