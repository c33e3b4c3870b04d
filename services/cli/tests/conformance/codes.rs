//! What is wrong with a payment, and the code that `/verify` and `/settle` say it by.
//!
//! The codes are those of the reference implementation (`@x402/evm` 2.27.0). Of what it has no code
//! for, because it breaks there, the specification's are told (section 9).

use domain::{Address, B256};
use serde_json::{Value, json};
use testkit::{Buyer, SignedAuthorization};
use x402::Version;

use crate::pipeline::{Pipeline, ticking};

const MONEY: u64 = 1_000;

/// A request of a kind that nobody could settle here.
const KIND: u16 = 400;
/// A payment that is not right.
const WRONG: u16 = 200;

/// Where something else stands in an otherwise right request, and what it is answered.
type Row = (&'static str, &'static str, u16, &'static str);

/// JSON in place of what stands there, of version 2.
const VERSION_2: &[Row] = &[
    ("/x402Version", "3", KIND, "invalid_x402_version"),
    ("/x402Version", "\"2\"", KIND, "invalid_x402_version"),
    ("/paymentPayload/x402Version", "1", KIND, "invalid_x402_version"),
    ("/paymentPayload", "null", KIND, "invalid_payload"),
    ("/paymentPayload", "[]", KIND, "invalid_payload"),
    ("/paymentPayload", "\"bm90IGEgcGF5bWVudA==\"", KIND, "invalid_payload"),
    ("/paymentPayload/accepted", "null", KIND, "invalid_payload"),
    ("/paymentPayload/payload", "{}", KIND, "invalid_payload"),
    ("/paymentRequirements", "null", KIND, "invalid_payment_requirements"),
    ("/paymentRequirements", "7", KIND, "invalid_payment_requirements"),
    ("/paymentRequirements/scheme", "\"deferred\"", KIND, "unsupported_scheme"),
    ("/paymentRequirements/scheme", "\"upto\"", WRONG, "invalid_upto_evm_scheme"),
    ("/paymentPayload/accepted/scheme", "\"upto\"", WRONG, "invalid_exact_evm_scheme"),
    ("/paymentRequirements/network", "\"eip155:1\"", KIND, "invalid_network"),
    ("/paymentRequirements/network", "\"base-sepolia\"", KIND, "invalid_network"),
    ("/paymentRequirements/network", "\"solana:5eykt4UsFv8P8NJd\"", KIND, "invalid_network"),
    (
        "/paymentPayload/accepted/network",
        "\"eip155:1\"",
        WRONG,
        "invalid_exact_evm_network_mismatch",
    ),
    ("/paymentRequirements/asset", "\"usdc\"", KIND, "invalid_payment_requirements"),
    (
        "/paymentRequirements/asset",
        "\"0x0909090909090909090909090909090909090909\"",
        WRONG,
        "invalid_payment_requirements",
    ),
    (
        "/paymentPayload/accepted/asset",
        "\"0x0909090909090909090909090909090909090909\"",
        WRONG,
        "invalid_payload",
    ),
    (
        "/paymentRequirements/extra/name",
        "\"USD Coin\"",
        WRONG,
        "invalid_exact_evm_token_name_mismatch",
    ),
    (
        "/paymentRequirements/extra/version",
        "\"1\"",
        WRONG,
        "invalid_exact_evm_token_version_mismatch",
    ),
    ("/paymentRequirements/extra/name", "null", WRONG, "invalid_exact_evm_missing_eip712_domain"),
    (
        "/paymentRequirements/extra/version",
        "null",
        WRONG,
        "invalid_exact_evm_missing_eip712_domain",
    ),
    ("/paymentRequirements/extra", "null", WRONG, "invalid_exact_evm_missing_eip712_domain"),
    (
        "/paymentRequirements/extra",
        "{\"assetTransferMethod\": \"permit2\"}",
        WRONG,
        "unsupported_payload_type",
    ),
    ("/paymentPayload/payload", "{\"permit2Authorization\": {}}", KIND, "unsupported_payload_type"),
    (
        "/paymentRequirements/payTo",
        "\"0x0909090909090909090909090909090909090909\"",
        WRONG,
        "invalid_exact_evm_recipient_mismatch",
    ),
    (
        "/paymentPayload/accepted/payTo",
        "\"0x0909090909090909090909090909090909090909\"",
        WRONG,
        "invalid_exact_evm_recipient_mismatch",
    ),
    (
        "/paymentPayload/payload/authorization/to",
        "\"0x0909090909090909090909090909090909090909\"",
        WRONG,
        "invalid_exact_evm_recipient_mismatch",
    ),
    (
        "/paymentRequirements/amount",
        "\"101\"",
        WRONG,
        "invalid_exact_evm_payload_authorization_value_mismatch",
    ),
    (
        "/paymentRequirements/amount",
        "\"99\"",
        WRONG,
        "invalid_exact_evm_payload_authorization_value_mismatch",
    ),
    (
        "/paymentPayload/accepted/amount",
        "\"1\"",
        WRONG,
        "invalid_exact_evm_payload_authorization_value_mismatch",
    ),
    (
        "/paymentPayload/payload/authorization/value",
        "\"99\"",
        WRONG,
        "invalid_exact_evm_payload_authorization_value_mismatch",
    ),
    ("/paymentRequirements/amount", "\"1.5\"", KIND, "invalid_payment_requirements"),
    ("/paymentRequirements/amount", "\"-100\"", KIND, "invalid_payment_requirements"),
    ("/paymentPayload/payload/authorization/value", "\"ten\"", KIND, "invalid_payload"),
    ("/paymentPayload/payload/authorization/from", "\"0xgarbage\"", KIND, "invalid_payload"),
    ("/paymentPayload/payload/authorization/nonce", "\"0x12\"", KIND, "invalid_payload"),
    ("/paymentPayload/payload/authorization/validBefore", "\"soon\"", KIND, "invalid_payload"),
    (
        "/paymentPayload/payload/authorization/validBefore",
        "\"1\"",
        WRONG,
        "invalid_exact_evm_payload_authorization_valid_before",
    ),
    (
        "/paymentPayload/payload/authorization/validAfter",
        "\"99999999999\"",
        WRONG,
        "invalid_exact_evm_payload_authorization_valid_after",
    ),
    ("/paymentPayload/payload/signature", "null", KIND, "invalid_payload"),
    (
        "/paymentPayload/payload/signature",
        "\"by hand\"",
        KIND,
        "invalid_exact_evm_failed_to_parse_signature",
    ),
];

/// The same of version 1, where that is another code or stands elsewhere.
const VERSION_1: &[Row] = &[
    ("/x402Version", "2", KIND, "invalid_x402_version"),
    ("/paymentRequirements/scheme", "\"upto\"", KIND, "unsupported_scheme"),
    ("/paymentPayload/scheme", "\"upto\"", WRONG, "invalid_exact_evm_scheme"),
    ("/paymentRequirements/network", "\"eip155:84532\"", KIND, "invalid_network"),
    ("/paymentRequirements/network", "\"base\"", KIND, "invalid_network"),
    ("/paymentPayload/network", "\"base\"", WRONG, "invalid_exact_evm_network_mismatch"),
    (
        "/paymentRequirements/maxAmountRequired",
        "\"101\"",
        WRONG,
        "invalid_exact_evm_authorization_value",
    ),
    (
        "/paymentRequirements/maxAmountRequired",
        "\"99\"",
        WRONG,
        "invalid_exact_evm_authorization_value",
    ),
    (
        "/paymentRequirements/payTo",
        "\"0x0909090909090909090909090909090909090909\"",
        WRONG,
        "invalid_exact_evm_recipient_mismatch",
    ),
    ("/paymentRequirements/extra", "{}", WRONG, "invalid_exact_evm_missing_eip712_domain"),
    ("/paymentPayload/payload/authorization", "null", KIND, "invalid_payload"),
];

impl Pipeline {
    /// Neither would verify this, nor settles it, and both say the same reason.
    async fn assert_refused(&self, what: &str, body: &Value, (status, code): (u16, &str)) {
        let url = self.ingress().await;
        let verified = self.post(&format!("{url}/verify"), body).await.unwrap();
        let told = (verified.0, &verified.1["isValid"], &verified.1["invalidReason"]);
        assert_eq!(told, (status, &json!(false), &json!(code)), "verify {what}: {}", verified.1);
        let settled = self.post(&format!("{url}/settle"), body).await.unwrap();
        let told = (settled.0, &settled.1["success"], &settled.1["errorReason"]);
        assert_eq!(told, (status, &json!(false), &json!(code)), "settle {what}: {}", settled.1);
        // Without these two a stock server would answer its buyer that the facilitator is broken.
        assert_eq!(settled.1["transaction"], "", "{what}: {}", settled.1);
        assert!(settled.1["network"].is_string(), "{what}: {}", settled.1);
    }
}

#[tokio::test]
async fn each_part_that_is_wrong_has_its_code_in_both_versions() {
    let pipeline = Pipeline::on(ticking(), 1, Vec::new()).await;
    let buyer = pipeline.buyer(MONEY).await;
    for (version, rows) in [(Version::V2, VERSION_2), (Version::V1, VERSION_1)] {
        let right = pipeline.sign(&buyer, 100).body(version);
        for (pointer, value, status, code) in rows {
            let mut body = right.clone();
            *body.pointer_mut(pointer).unwrap() = serde_json::from_str(value).unwrap();
            pipeline.assert_refused(&format!("{pointer} = {value}"), &body, (*status, code)).await;
        }
    }
    assert_eq!(pipeline.anvil.balance_of(buyer.address()).await, MONEY.into());
}

#[tokio::test]
async fn what_the_clock_the_key_or_the_chain_does_not_allow_has_its_code() {
    let pipeline = Pipeline::on(ticking(), 1, Vec::new()).await;
    let buyer = pipeline.buyer(MONEY).await;
    let used = use_elsewhere(&pipeline, &buyer).await;
    let before = "invalid_exact_evm_payload_authorization_valid_before";
    let after = "invalid_exact_evm_payload_authorization_valid_after";
    for version in [Version::V2, Version::V1] {
        // Signed anew in each version: what was settled on other terms before is a duplicate.
        let sign = |amount: u64| buyer.authorize().pay_to(pipeline.pay_to).amount(amount);
        let right = pipeline.sign(&buyer, 100);
        let soon = right.authorization.valid_before - 60;
        let forged = right.with_signature(pipeline.sign(&Buyer::new(), 100).signature);
        let mut cases = vec![
            ("over", sign(100).valid_for(-1).sign(), before),
            ("over in three seconds", sign(100).valid_for(3).sign(), before),
            ("valid for ten years", sign(100).valid_for(315_360_000).sign(), before),
            ("not valid yet", sign(100).valid_for(600).valid_after(soon).sign(), after),
            ("signed by somebody else", forged, "invalid_exact_evm_signature"),
            (
                "more than there is",
                sign(MONEY + 1).sign(),
                "invalid_exact_evm_insufficient_balance",
            ),
        ];
        if version == Version::V2 {
            cases.push(("used", used.clone(), "invalid_exact_evm_nonce_already_used"));
        }
        for (what, signed, code) in cases {
            pipeline.assert_refused(what, &signed.body(version), (WRONG, code)).await;
        }
    }
    assert_eq!(pipeline.anvil.transfers_to(pipeline.pay_to).await, []);
}

/// An authorization whose nonce the buyer has used for a payment to somebody else.
async fn use_elsewhere(pipeline: &Pipeline, buyer: &Buyer) -> SignedAuthorization {
    let sign = |to| buyer.authorize().pay_to(to).amount(1u64).nonce(B256::repeat_byte(7)).sign();
    let used = sign(Address::repeat_byte(7));
    let call = chain::transfer(&used.authorization, &used.signature);
    pipeline.anvil.transact(call.target, &call.input).await;
    sign(pipeline.pay_to)
}
