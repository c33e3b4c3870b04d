// Tries the contracts on a development chain: deploys its own copies, so that nobody else's token is paused meanwhile.
//
//   eval "$(compose/local env)" && node contracts/check.mjs
//
// Needs QUITTANCE_RPC_URL and no packages. The chain signs with its own accounts, as anvil does.

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { bytes, dynamic, tuple, word } from "./encode.mjs";

const RECEIPT_DEADLINE_MS = 15_000;
const FAR_FUTURE = 4_000_000_000n;
const HALF_CURVE_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n;
const CURVE_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const AUTHORIZATION = [
  "address from",
  "address to",
  "uint256 value",
  "uint256 validAfter",
  "uint256 validBefore",
  "bytes32 nonce",
];
const TOPIC = {
  authorizationUsed: "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5",
  transfer: "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
};

const url = process.env.QUITTANCE_RPC_URL;
if (!url) {
  console.error('QUITTANCE_RPC_URL is not set; run: eval "$(compose/local env)"');
  process.exit(2);
}

const chainId = Number(await rpc("eth_chainId"));
const [payer, seller, relayer] = await rpc("eth_accounts");
const token = await deploy("TestUsdc");
const multicall = await deploy("Multicall3");
const wallet = await deploy("TestWallet");
await send(token, "mint(address,uint256)", word(payer), word(1_000_000));
await send(token, "mint(address,uint256)", word(wallet.address), word(1_000_000));
// A payee who holds the token already: the usual case, and what gas is quoted for.
await send(token, "mint(address,uint256)", word(seller), word(1));
await send(wallet, "initialize(address)", word(payer));

let failures = 0;
const checks = {
  "it says who it is": async () => {
    equal(text(await read(token, "name()")), "USDC");
    equal(text(await read(token, "version()")), "2");
    equal(BigInt(await read(token, "decimals()")), 6n);
  },
  "the selectors are USDC's": async () => {
    const { selectors } = token.artefact;
    const common = "address,address,uint256,uint256,uint256,bytes32";
    equal(selectors[`transferWithAuthorization(${common},uint8,bytes32,bytes32)`], "e3ee160e");
    equal(selectors[`transferWithAuthorization(${common},bytes)`], "cf092995");
  },
  "an authorization moves the money once": async () => {
    const signed = await authorize({ value: 100n });
    const before = await balance(seller);
    const receipt = await transact(token.address, byParts(signed));
    equal(receipt.logs.map((log) => log.topics[0]).join(), [TOPIC.authorizationUsed, TOPIC.transfer].join());
    equal(receipt.logs[0].topics[2], signed.nonce);
    equal((await balance(seller)) - before, 100n);
    equal(BigInt(await read(token, "authorizationState(address,bytes32)", word(payer), word(signed.nonce))), 1n);
    await refused(byParts(signed), "FiatTokenV2: authorization is used or canceled");
    console.log(`      ${Number(receipt.gasUsed)} gas`);
  },
  "it takes a signature as bytes, too": async () => {
    await transact(token.address, byBytes(await authorize({})));
  },
  "the window is open at both ends": async () => {
    const { timestamp } = await rpc("eth_getBlockByNumber", ["latest", false]);
    const now = BigInt(timestamp) + 100n;
    const at = { time: `0x${now.toString(16)}` };
    await refused(byParts(await authorize({ validAfter: now })), "FiatTokenV2: authorization is not yet valid", at);
    await accepted(byParts(await authorize({ validAfter: now - 1n })), at);
    await refused(byParts(await authorize({ validBefore: now })), "FiatTokenV2: authorization is expired", at);
    await accepted(byParts(await authorize({ validBefore: now + 1n })), at);
  },
  "nobody pays more than they have": async () => {
    await refused(byParts(await authorize({ value: 10n ** 18n })), "ERC20: transfer amount exceeds balance");
  },
  "an altered authorization is refused": async () => {
    await refused(byParts({ ...(await authorize({})), value: 2n }), "FiatTokenV2: invalid signature");
  },
  "a mirrored signature is refused": async () => {
    const signed = await authorize({});
    const { r, s, v } = split(signed.signature);
    equal(BigInt(s) <= HALF_CURVE_ORDER, true);
    const mirrored = { ...signed, signature: `${r}${word(CURVE_ORDER - BigInt(s))}${v === "0x1b" ? "1c" : "1b"}` };
    await refused(byParts(mirrored), "ECRecover: invalid signature 's' value");
  },
  "a canceled authorization is used up": async () => {
    const signed = await authorize({});
    const cancel = await sign("CancelAuthorization", { authorizer: payer, nonce: signed.nonce });
    const { r, s, v } = split(cancel);
    const data = encode(
      token,
      "cancelAuthorization(address,bytes32,uint8,bytes32,bytes32)",
      ...[payer, signed.nonce, v, r, s].map(word),
    );
    await transact(token.address, data);
    await refused(byParts(signed), "FiatTokenV2: authorization is used or canceled");
  },
  "only the payee may receive": async () => {
    const signed = await authorize({ type: "ReceiveWithAuthorization" });
    const data = byParts(signed, "receiveWithAuthorization");
    await refused(data, "FiatTokenV2: caller must be the payee");
    await accepted(data, {}, seller);
  },
  "nothing moves while it is paused": async () => {
    const signed = await authorize({});
    await send(token, "pause()");
    await refused(byParts(signed), "Pausable: paused");
    await send(token, "unpause()");
    await accepted(byParts(signed));
  },
  "a blacklisted account neither pays nor is paid, and keeps its balance": async () => {
    const signed = await authorize({});
    for (const account of [payer, seller]) {
      const before = await balance(account);
      await send(token, "blacklist(address)", word(account));
      await refused(byParts(signed), "Blacklistable: account is blacklisted");
      equal(await balance(account), before);
      await send(token, "unBlacklist(address)", word(account));
    }
    await accepted(byParts(signed));
  },
  "a permit allows": async () => {
    const permit = { owner: payer, spender: relayer, value: "7", nonce: "0", deadline: `${FAR_FUTURE}` };
    const { r, s, v } = split(await sign("Permit", permit));
    const words = [payer, relayer, 7n, FAR_FUTURE, v, r, s].map(word);
    await send(token, "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)", ...words);
    equal(BigInt(await read(token, "allowance(address,address)", word(payer), word(relayer))), 7n);
  },
  "a contract wallet answers for itself": async () => {
    await transact(token.address, byBytes(await authorize({ from: wallet.address })));
    await transact(token.address, byParts(await authorize({ from: wallet.address })));
  },
  "a wallet can be told how to answer": async () => {
    const data = byBytes(await authorize({ from: wallet.address }));
    const answers = ["valid", "invalid", "by block", "valid", "invalid", "valid"];
    for (const [behaviour, answer] of answers.entries()) {
      await send(wallet, "setBehaviour(uint8,uint256)", word(behaviour), word(500_000));
      if (answer === "valid") await accepted(data);
      if (answer === "invalid") await refused(data, "FiatTokenV2: invalid signature");
      if (answer === "by block") {
        await accepted(data, { number: "0x1000000" });
        await refused(data, "FiatTokenV2: invalid signature", { number: "0x1000001" });
      }
    }
    await send(wallet, "setBehaviour(uint8,uint256)", word(3), word(500_000));
    equal(Number(await rpc("eth_estimateGas", [{ from: relayer, to: token.address, data }])) > 500_000, true);
    await send(wallet, "setBehaviour(uint8,uint256)", word(0), word(0));
  },
  "one transaction carries many payments, and a bad one does not stop the others": async () => {
    const good = [await authorize({}), await authorize({}), await authorize({})];
    const bad = { ...(await authorize({})), value: 2n };
    const before = await balance(seller);
    const receipt = await transact(multicall.address, batch([...good, bad].map((one) => byParts(one))));
    equal(receipt.logs.length, 6);
    equal((await balance(seller)) - before, 3n);
  },
  "gas of a batch": async () => {
    for (const size of [50, 200]) {
      const signed = await Promise.all(Array.from({ length: size }, () => authorize({})));
      const receipt = await transact(multicall.address, batch(signed.map((one) => byParts(one))));
      equal(receipt.logs.length, 2 * size);
      console.log(`      ${Math.round(Number(receipt.gasUsed) / size)} gas each of ${size}`);
    }
  },
  "multicall tells about the chain": async () => {
    equal(BigInt(await read(multicall, "getChainId()")), BigInt(chainId));
    equal(BigInt(await read(multicall, "getEthBalance(address)", word(multicall.address))), 0n);
    equal(BigInt(await read(multicall, "getBlockNumber()")) > 0n, true);
  },
};

for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok    ${name}`);
  } catch (error) {
    failures += 1;
    console.log(`FAIL  ${name}: ${error.message}`);
  }
}
process.exitCode = failures === 0 ? 0 : 1;

function equal(actual, expected) {
  if (actual !== expected) throw new Error(`is ${actual}, should be ${expected}`);
}

async function rpc(method, params = []) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
  });
  const { result, error } = await response.json();
  if (error) throw new Error(error.message);
  return result;
}

async function transact(to, data, from = relayer) {
  const hash = await rpc("eth_sendTransaction", [{ from, to, data, gas: "0x1c9c380" }]);
  const deadline = Date.now() + RECEIPT_DEADLINE_MS;
  while (Date.now() < deadline) {
    const receipt = await rpc("eth_getTransactionReceipt", [hash]);
    if (receipt) {
      equal(receipt.status, "0x1");
      return receipt;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${hash} was not mined in time`);
}

async function deploy(name) {
  const artefact = JSON.parse(readFileSync(new URL(`artifacts/${name}.json`, import.meta.url)));
  const { contractAddress } = await transact(undefined, artefact.creationBytecode);
  equal(await rpc("eth_getCode", [contractAddress, "latest"]), artefact.runtimeBytecode);
  return { address: contractAddress, artefact };
}

function encode(contract, signature, ...words) {
  return `0x${contract.artefact.selectors[signature]}${words.join("")}`;
}

function send(contract, signature, ...words) {
  return transact(contract.address, encode(contract, signature, ...words));
}

function read(contract, signature, ...words) {
  return rpc("eth_call", [{ to: contract.address, data: encode(contract, signature, ...words) }, "latest"]);
}

async function balance(account) {
  return BigInt(await read(token, "balanceOf(address)", word(account)));
}

function accepted(data, block = {}, from = relayer) {
  return rpc("eth_call", [{ from, to: token.address, data, gas: "0x1c9c380" }, "latest", {}, block]);
}

async function refused(data, reason, block = {}) {
  const said = await accepted(data, block).then(() => "accepted", (error) => error.message);
  equal(said, `execution reverted: ${reason}`);
}

function text(answer) {
  const length = Number(`0x${answer.slice(66, 130)}`);
  return Buffer.from(answer.slice(130, 130 + 2 * length), "hex").toString();
}

/// A payment of the payer (or of the wallet, signed by its owner) to the seller.
async function authorize({ type = "TransferWithAuthorization", from = payer, value = 1n, validAfter = 0n, validBefore = FAR_FUTURE }) {
  const nonce = `0x${randomBytes(32).toString("hex")}`;
  const message = { from, to: seller, value: `${value}`, validAfter: `${validAfter}`, validBefore: `${validBefore}`, nonce };
  return { from, to: seller, value, validAfter, validBefore, nonce, signature: await sign(type, message) };
}

function sign(primaryType, message) {
  const types = {
    EIP712Domain: ["string name", "string version", "uint256 chainId", "address verifyingContract"],
    TransferWithAuthorization: AUTHORIZATION,
    ReceiveWithAuthorization: AUTHORIZATION,
    CancelAuthorization: ["address authorizer", "bytes32 nonce"],
    Permit: ["address owner", "address spender", "uint256 value", "uint256 nonce", "uint256 deadline"],
  };
  const fields = (list) => list.map((field) => ({ type: field.split(" ")[0], name: field.split(" ")[1] }));
  const used = Object.fromEntries(["EIP712Domain", primaryType].map((name) => [name, fields(types[name])]));
  const domain = { name: "USDC", version: "2", chainId, verifyingContract: token.address };
  return rpc("eth_signTypedData_v4", [payer, { types: used, primaryType, domain, message }]);
}

function split(signature) {
  return { r: signature.slice(0, 66), s: `0x${signature.slice(66, 130)}`, v: `0x${signature.slice(130, 132)}` };
}

function byParts(signed, method = "transferWithAuthorization") {
  const { r, s, v } = split(signed.signature);
  return encode(
    token,
    `${method}(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)`,
    ...[...fieldsOf(signed), v, r, s].map(word),
  );
}

function byBytes(signed) {
  const words = [...fieldsOf(signed).map(word), dynamic(bytes(signed.signature))];
  return encode(
    token,
    "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)",
    tuple(...words),
  );
}

function fieldsOf({ from, to, value, validAfter, validBefore, nonce }) {
  return [from, to, value, validAfter, validBefore, nonce];
}

function batch(calls) {
  const items = calls.map((data) => dynamic(tuple(word(token.address), word(1), dynamic(bytes(data)))));
  const list = dynamic(word(items.length) + tuple(...items));
  return encode(multicall, "aggregate3((address,bool,bytes)[])", tuple(list));
}
