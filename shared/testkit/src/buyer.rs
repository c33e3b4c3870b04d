//! A buyer: a key, and the authorizations it signs.

mod token_permit;

use alloy::primitives::keccak256;
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolStruct, sol};
use base64::prelude::{BASE64_STANDARD, Engine};
use domain::{Address, Amount, Authorization, B256, Signature, TokenPermit, TransferMethod, U256};
use runtime::Clock;
use serde_json::{Value, json};
use x402::{Asset, TokenDomain, Version, v1_name};

use crate::Anvil;

sol! {
    struct CancelAuthorization {
        address authorizer;
        bytes32 nonce;
    }

    function cancelAuthorization(address authorizer, bytes32 nonce, bytes memory signature) external;
}

/// Where money goes unless the test says otherwise.
const SELLER: Address = alloy::primitives::address!("0x209693Bc6afc0C5328bA36FaF03C514EF312287C");

/// How much is paid unless the test says otherwise: a cent.
const AMOUNT: u64 = 10_000;

/// For how many seconds an authorization is valid unless the test says otherwise.
const VALIDITY_SECS: i64 = 300;

/// What the buyer pays for.
const RESOURCE: &str = "https://seller.example/report";

/// Somebody with a random key and no money yet.
#[derive(Clone, Debug)]
pub struct Buyer {
    signer: PrivateKeySigner,
}

impl Buyer {
    /// A buyer that nobody has seen before.
    #[expect(clippy::new_without_default, reason = "each one is another")]
    pub fn new() -> Self {
        Self { signer: PrivateKeySigner::random() }
    }

    /// Where the buyer's money is.
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// The key, for wallets that are not ours.
    pub fn key(&self) -> String {
        format!("0x{}", hex::encode(self.signer.to_bytes()))
    }

    /// An authorization to be signed: a cent of [`Anvil::token`] to some seller, valid for five
    /// minutes, with a nonce of its own, unless the test says otherwise.
    pub fn authorize(&self) -> AuthorizationBuilder<'_> {
        let token = Anvil::token();
        let authorization = Authorization {
            method: TransferMethod::Eip3009,
            chain: token.chain,
            asset: token.address,
            payer: self.address(),
            pay_to: SELLER,
            amount: Amount::from(AMOUNT),
            valid_after: 0,
            valid_before: Clock::system().now_unix_secs() + VALIDITY_SECS,
            nonce: B256::from(runtime::random_bytes::<32>()),
        };
        AuthorizationBuilder { buyer: self, token, authorization, permit: None }
    }
}

impl Buyer {
    /// The call of the token that cancels an authorization of this buyer (EIP-3009).
    ///
    /// # Panics
    /// Never: a local key signs everything.
    pub fn cancel(&self, signed: &SignedAuthorization) -> Vec<u8> {
        let (authorizer, nonce) = (self.address(), signed.authorization.nonce);
        let struct_hash = CancelAuthorization { authorizer, nonce }.eip712_hash_struct();
        let separator = TokenDomain::new(&signed.token).separator();
        let digest = keccak256([&[0x19, 0x01], &separator[..], &struct_hash[..]].concat());
        let signature = self.signer.sign_hash_sync(&digest).unwrap().as_bytes().to_vec();
        cancelAuthorizationCall { authorizer, nonce, signature: signature.into() }.abi_encode()
    }
}

/// An authorization before it is signed.
#[derive(Clone, Debug)]
#[must_use]
pub struct AuthorizationBuilder<'a> {
    buyer: &'a Buyer,
    token: Asset,
    authorization: Authorization,
    /// The nonce and the deadline of what is to let Permit2 move the money.
    permit: Option<(U256, U256)>,
}

impl AuthorizationBuilder<'_> {
    /// Who pays, if not the buyer: a wallet of theirs.
    pub fn payer(mut self, wallet: Address) -> Self {
        self.authorization.payer = wallet;
        self
    }

    /// Who is paid.
    pub fn pay_to(mut self, seller: Address) -> Self {
        self.authorization.pay_to = seller;
        self
    }

    /// How much, in atomic units.
    pub fn amount(mut self, amount: impl Into<Amount>) -> Self {
        self.authorization.amount = amount.into();
        self
    }

    /// From when it is valid, in Unix seconds, exclusive.
    pub fn valid_after(mut self, seconds: i64) -> Self {
        self.authorization.valid_after = seconds;
        self
    }

    /// Until when it is valid, in Unix seconds, exclusive.
    pub fn valid_before(mut self, seconds: i64) -> Self {
        self.authorization.valid_before = seconds;
        self
    }

    /// For how many seconds from now it is valid.
    pub fn valid_for(self, seconds: i64) -> Self {
        self.valid_before(Clock::system().now_unix_secs() + seconds)
    }

    /// What makes it this authorization and no other.
    pub fn nonce(mut self, nonce: B256) -> Self {
        self.authorization.nonce = nonce;
        self
    }

    /// By Permit2, for x402's proxy to redeem.
    pub fn by_permit2(mut self) -> Self {
        self.authorization.method = TransferMethod::Permit2 { spender: Anvil::EXACT_PROXY };
        self
    }

    /// By Permit2 up to this amount, of which this sender takes what is asked.
    pub fn upto(mut self, sender: Address, most: impl Into<Amount>) -> Self {
        let (spender, most) = (Anvil::UPTO_PROXY, most.into());
        self.authorization.method = TransferMethod::Upto { spender, sender, most };
        self
    }

    /// In which token.
    pub fn token(mut self, token: Asset) -> Self {
        self.authorization.chain = token.chain;
        self.authorization.asset = token.address;
        self.token = token;
        self
    }

    /// Signs it.
    ///
    /// # Panics
    /// Never: a local key signs everything.
    pub fn sign(self) -> SignedAuthorization {
        let domain = TokenDomain::new(&self.token);
        let sign = |digest: B256| {
            let signature = self.buyer.signer.sign_hash_sync(&digest).unwrap();
            Signature::new(signature.as_bytes().to_vec())
        };
        let permit = self.permit.map(|(nonce, deadline)| {
            let digest = domain.permit_digest(&self.authorization, nonce, deadline);
            TokenPermit { nonce, deadline, signature: sign(digest) }
        });
        SignedAuthorization {
            signature: sign(domain.digest(&self.authorization)),
            permit,
            authorization: self.authorization,
            token: self.token,
        }
    }
}

impl SignedAuthorization {
    /// The same with another signature.
    #[must_use]
    pub fn with_signature(self, signature: Signature) -> Self {
        Self { signature, ..self }
    }

    /// The same of which this amount is asked; signed is up to which.
    #[must_use]
    pub fn asking(&self, amount: impl Into<Amount>) -> Self {
        let authorization = Authorization { amount: amount.into(), ..self.authorization.clone() };
        Self { authorization, ..self.clone() }
    }
}

/// An authorization and its signature, in every form in which it travels.
#[derive(Clone, Debug)]
pub struct SignedAuthorization {
    /// What was signed.
    pub authorization: Authorization,
    /// The buyer's signature: `r`, `s` and `v` of 27 or 28.
    pub signature: Signature,
    /// What lets Permit2 move the money, where the buyer signed that as well.
    pub permit: Option<TokenPermit>,
    /// The token it was signed for.
    pub token: Asset,
}

impl SignedAuthorization {
    /// The body of `POST /v1/payments` and of `POST /settle`, with the payment as an object.
    pub fn body(&self, version: Version) -> Value {
        json!({
            "x402Version": version.number(),
            "paymentPayload": self.payment_payload(version),
            "paymentRequirements": self.requirements(version),
        })
    }

    /// The same with the payment as the text of the header that carried it.
    pub fn body_with_header(&self, version: Version) -> Value {
        json!({
            "x402Version": version.number(),
            "paymentPayload": self.header(version),
            "paymentRequirements": self.requirements(version),
        })
    }

    /// The text of `X-PAYMENT` (version 1) or `PAYMENT-SIGNATURE` (version 2).
    pub fn header(&self, version: Version) -> String {
        BASE64_STANDARD.encode(self.payment_payload(version).to_string())
    }

    /// What the buyer sends to the seller.
    pub fn payment_payload(&self, version: Version) -> Value {
        let payload = self.payload();
        match version {
            Version::V1 => json!({
                "x402Version": 1,
                "scheme": "exact",
                "network": self.network(version),
                "payload": payload,
            }),
            Version::V2 => {
                let mut payment = json!({
                    "x402Version": 2,
                    "resource": {"url": RESOURCE},
                    "accepted": self.accepted(),
                    "payload": payload,
                });
                if let Some(permit) = &self.permit {
                    payment["extensions"] = self.sponsoring(permit);
                }
                payment
            }
        }
    }

    /// The terms that the buyer was shown.
    fn accepted(&self) -> Value {
        let mut accepted = self.requirements(Version::V2);
        if let Some(most) = self.authorization.method.most() {
            accepted["amount"] = json!(most);
        }
        accepted
    }

    fn payload(&self) -> Value {
        let authorization = &self.authorization;
        let signature = format!("0x{}", hex::encode(self.signature.reveal()));
        match authorization.method {
            TransferMethod::Eip3009 => json!({
                "signature": signature,
                "authorization": {
                    "from": authorization.payer,
                    "to": authorization.pay_to,
                    "value": authorization.amount,
                    "validAfter": authorization.valid_after.to_string(),
                    "validBefore": authorization.valid_before.to_string(),
                    "nonce": authorization.nonce,
                },
            }),
            TransferMethod::Permit2 { spender } => json!({
                "signature": signature,
                "permit2Authorization": {
                    "from": authorization.payer,
                    "permitted": {"token": authorization.asset, "amount": authorization.amount},
                    "spender": spender,
                    "nonce": U256::from_be_bytes(authorization.nonce.0).to_string(),
                    "deadline": (authorization.valid_before - 1).to_string(),
                    "witness": {
                        "to": authorization.pay_to,
                        "validAfter": authorization.valid_after.to_string(),
                    },
                },
            }),
            TransferMethod::Upto { spender, sender, most } => json!({
                "signature": signature,
                "permit2Authorization": {
                    "from": authorization.payer,
                    "permitted": {"token": authorization.asset, "amount": most},
                    "spender": spender,
                    "nonce": U256::from_be_bytes(authorization.nonce.0).to_string(),
                    "deadline": (authorization.valid_before - 1).to_string(),
                    "witness": {
                        "to": authorization.pay_to,
                        "facilitator": sender,
                        "validAfter": authorization.valid_after.to_string(),
                    },
                },
            }),
        }
    }

    /// What the seller asks: exactly this payment.
    pub fn requirements(&self, version: Version) -> Value {
        let authorization = &self.authorization;
        let mut requirements = json!({
            "scheme": authorization.method.scheme(),
            "network": self.network(version),
            "asset": authorization.asset,
            "payTo": authorization.pay_to,
            "maxTimeoutSeconds": 60,
            "extra": {"name": self.token.name, "version": self.token.version},
        });
        if authorization.method != TransferMethod::Eip3009 {
            requirements["extra"]["assetTransferMethod"] = json!(authorization.method.as_str());
        }
        match version {
            Version::V1 => {
                requirements["maxAmountRequired"] = json!(authorization.amount);
                requirements["resource"] = json!(RESOURCE);
                requirements["description"] = json!("A report");
                requirements["mimeType"] = json!("application/json");
            }
            Version::V2 => requirements["amount"] = json!(authorization.amount),
        }
        requirements
    }

    fn network(&self, version: Version) -> String {
        let chain = self.authorization.chain;
        match version {
            Version::V1 => v1_name(chain).map_or_else(|| chain.to_string(), str::to_owned),
            Version::V2 => chain.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use x402::{Assets, Limits, Rules, SettleRequest, Upto, Wallets, check, check_for};

    use super::*;

    #[test]
    fn every_form_of_a_signed_authorization_is_what_the_protocol_expects() {
        let signed = Buyer::new().authorize().sign();
        let assets = Assets::new([Anvil::token()]);
        let limits = Limits { min_validity_secs: 10, max_validity_secs: 3_600 };
        for version in [Version::V1, Version::V2] {
            for body in [signed.body(version), signed.body_with_header(version)] {
                let request: SettleRequest = serde_json::from_value(body).unwrap();
                let now = Clock::system().now_unix_secs();
                let checked = check(&request, &assets, &limits, &Wallets::Refused, now).unwrap();
                assert_eq!(checked.authorization, signed.authorization);
                assert_eq!(checked.signature, signed.signature);
            }
        }
    }

    #[test]
    fn an_authorization_up_to_an_amount_is_what_the_protocol_expects() {
        let sender = Address::repeat_byte(9);
        let signed = Buyer::new().authorize().upto(sender, 500).amount(7).sign();
        let assets = Assets::new([Anvil::token()]);
        let limits = Limits { min_validity_secs: 10, max_validity_secs: 3_600 };
        let rules = Rules { assets: &assets, limits: &limits, wallets: &Wallets::Refused };
        let request: SettleRequest = serde_json::from_value(signed.body(Version::V2)).unwrap();
        let now = Clock::system().now_unix_secs();
        let checked = check_for(Upto::Part, &request, rules, now).unwrap();
        assert_eq!(checked.authorization, signed.authorization);
        assert_eq!(checked.signature, signed.signature);
    }

    #[test]
    fn an_authorization_for_permit2_is_what_the_protocol_expects() {
        let assets = Assets::new([Anvil::token()]);
        let buyer = Buyer::new();
        let plain = buyer.authorize().by_permit2().sign();
        for signed in [plain, buyer.authorize().with_permit(3).sign()] {
            let limits = Limits { min_validity_secs: 10, max_validity_secs: 3_600 };
            let request: SettleRequest = serde_json::from_value(signed.body(Version::V2)).unwrap();
            let now = Clock::system().now_unix_secs();
            let checked = check(&request, &assets, &limits, &Wallets::Refused, now).unwrap();
            assert_eq!(checked.authorization, signed.authorization);
            assert_eq!(checked.signature, signed.signature);
            assert_eq!(checked.permit, signed.permit);
        }
    }
}
