"""The stock buyer of x402 for Python: pays once for each of `purchases`, all at once."""

import asyncio
import json
import os

from eth_account import Account
from x402 import x402Client
from x402.http import decode_payment_response_header
from x402.http.clients.httpx import x402HttpxClient
from x402.mechanisms.evm.exact.register import register_exact_evm_client
from x402.mechanisms.evm.signers import EthAccountSigner

TIMEOUT_SECS = 90


async def buy(http, url):
    response = await http.get(url)
    body = json.loads(await response.aread())
    header = response.headers.get("PAYMENT-RESPONSE")
    payment = header and decode_payment_response_header(header).model_dump(by_alias=True, exclude_none=True)
    print(json.dumps({"status": response.status_code, "body": body, "payment": payment}), flush=True)


async def main():
    order = json.loads(os.environ["BUY"])
    client = x402Client()
    # Otherwise it pays in no token but those that it knows.
    client.set_spend_controls(False)
    register_exact_evm_client(client, EthAccountSigner(Account.from_key(order["key"])))
    async with x402HttpxClient(client, timeout=TIMEOUT_SECS) as http:
        await asyncio.gather(*(buy(http, order["url"]) for _ in range(order["purchases"])))


asyncio.run(main())
