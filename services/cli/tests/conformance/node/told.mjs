// What happens, one JSON line each, for the test that watches.

export function tell(line) {
  console.log(JSON.stringify(line));
}

// Has every answer of the facilitator told, and nothing about it changed.
export function tellAnswersOf(facilitator) {
  const ask = globalThis.fetch;
  globalThis.fetch = async (input, init) => {
    const answer = await ask(input, init);
    const url = input instanceof Request ? input.url : String(input);
    if (url.startsWith(facilitator)) {
      tell({ asked: new URL(url).pathname, status: answer.status, answer: await answer.clone().json() });
    }
    return answer;
  };
}

export function tellPort(server) {
  server.on("listening", () => tell({ listening: server.address().port }));
}
