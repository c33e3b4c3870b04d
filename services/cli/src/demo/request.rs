//! What a seller posts: the buyer's payment, in any of the forms in which it travels.

use base64::prelude::{BASE64_STANDARD, Engine};
use domain::{Address, Amount, Authorization, Signature};
use serde_json::{Value, json};
use x402::{Asset, Version, v1_name};

/// What every buyer of the demo pays for.
const RESOURCE: &str = "https://seller.example/report";

/// How a payment is written: two versions of x402, each with the payment as an object or as the
/// base64 text of the header that carried it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    V1Object,
    V2Object,
    V1Header,
    V2Header,
}

impl Form {
    pub(crate) const ALL: [Self; 4] =
        [Self::V1Object, Self::V2Object, Self::V1Header, Self::V2Header];

    /// One of the forms for each number, each as often as the others.
    pub(crate) fn of(number: usize) -> Self {
        Self::ALL[number % Self::ALL.len()]
    }

    const fn version(self) -> Version {
        match self {
            Self::V1Object | Self::V1Header => Version::V1,
            Self::V2Object | Self::V2Header => Version::V2,
        }
    }
}

/// A buyer's signed payment, and what the seller asked for: not always the same.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// The token.
    pub(crate) token: Asset,
    /// What the seller asks.
    pub(crate) price: Amount,
    /// Who is to be paid.
    pub(crate) pay_to: Address,
    /// What the buyer allows.
    pub(crate) authorization: Authorization,
    /// The signature over that, said to be the buyer's.
    pub(crate) signature: Signature,
    /// The seller's own name for it.
    pub(crate) reference: String,
}

impl Order {
    /// The body of `POST /v1/payments`.
    pub(crate) fn body(&self, form: Form) -> Value {
        let version = form.version();
        let payload = self.payload(version);
        let payload = match form {
            Form::V1Object | Form::V2Object => payload,
            Form::V1Header | Form::V2Header => json!(BASE64_STANDARD.encode(payload.to_string())),
        };
        json!({
            "x402Version": version.number(),
            "paymentPayload": payload,
            "paymentRequirements": self.requirements(version),
            "reference": self.reference,
        })
    }

    /// What the buyer sent to the seller.
    fn payload(&self, version: Version) -> Value {
        let authorization = &self.authorization;
        let payload = json!({
            "signature": format!("0x{}", hex::encode(self.signature.reveal())),
            "authorization": {
                "from": authorization.payer,
                "to": authorization.pay_to,
                "value": authorization.amount,
                "validAfter": authorization.valid_after.to_string(),
                "validBefore": authorization.valid_before.to_string(),
                "nonce": authorization.nonce,
            },
        });
        match version {
            Version::V1 => json!({
                "x402Version": 1,
                "scheme": "exact",
                "network": self.network(version),
                "payload": payload,
            }),
            Version::V2 => json!({
                "x402Version": 2,
                "resource": {"url": RESOURCE},
                "accepted": self.requirements(version),
                "payload": payload,
            }),
        }
    }

    /// What the seller asks.
    fn requirements(&self, version: Version) -> Value {
        let mut requirements = json!({
            "scheme": "exact",
            "network": self.network(version),
            "asset": self.token.address,
            "payTo": self.pay_to,
            "maxTimeoutSeconds": 60,
            "extra": {"name": self.token.name, "version": self.token.version},
        });
        match version {
            Version::V1 => {
                requirements["maxAmountRequired"] = json!(self.price);
                requirements["resource"] = json!(RESOURCE);
                requirements["description"] = json!("A report");
                requirements["mimeType"] = json!("application/json");
            }
            Version::V2 => requirements["amount"] = json!(self.price),
        }
        requirements
    }

    fn network(&self, version: Version) -> String {
        let chain = self.token.chain;
        match version {
            Version::V1 => v1_name(chain).map_or_else(|| chain.to_string(), str::to_owned),
            Version::V2 => chain.to_string(),
        }
    }
}
