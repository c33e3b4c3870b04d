// The part of the Solidity ABI that check.mjs needs, as hexadecimal text without 0x.

/// A number, address or 32 bytes, in 32 bytes.
export function word(value) {
  return BigInt(value).toString(16).padStart(64, "0");
}

/// Bytes of any length: their number, then they, filled up to whole words.
export function bytes(hex) {
  const digits = hex.replace(/^0x/, "");
  return word(digits.length / 2) + digits.padEnd(Math.ceil(digits.length / 64) * 64, "0");
}

/// Marks an encoded value of changing size: a tuple holds where it lies instead of the value.
export function dynamic(encoded) {
  return { encoded };
}

/// Values side by side; those of changing size follow after all others.
export function tuple(...values) {
  let heads = "";
  let tails = "";
  const headBytes = values.reduce((sum, value) => sum + (value.encoded ? 32 : value.length / 2), 0);
  for (const value of values) {
    heads += value.encoded ? word(headBytes + tails.length / 2) : value;
    tails += value.encoded ?? "";
  }
  return heads + tails;
}
