//! What the document shows of answers: one payment of a cent that was settled, and its webhook.
//!
//! Made of the types that real answers are made of.

use domain::{
    AccountId, Address, Amount, Authorization, B256, ChainId, DeliveryId, EndpointId, EventId,
    EventType, Finality, Inclusion, JobId, Payment, PaymentId, PaymentResource, PaymentState,
    Policy, Standing, Timestamp, TransferMethod, WebhookBody, WebhookEvent,
};
use receipt::{KeyDocument, SigningKey, Statement, endpoint_key, public_key_text};
use serde_json::{Value, json};
use uuid::Uuid;

/// The moment of its first change, in milliseconds.
const ACCEPTED_MS: i64 = 1_772_366_400_118;

/// The moment of its last.
const SETTLED_MS: i64 = 1_772_366_407_412;

const CURSOR: &str = "8QAAAAAAAAQXAZWk2UuAe7GJv2G06LGm0g";

/// The id of this number, made when the payment was.
fn uuid(number: u128) -> Uuid {
    Uuid::from_u128((0x0195_5200_0000_7000_8000 << 48) + number)
}

fn settled() -> Payment {
    Payment {
        id: PaymentId::new(uuid(1)),
        account: AccountId::new(uuid(2)),
        authorization: Authorization {
            method: TransferMethod::Eip3009,
            chain: ChainId::new(84_532).expect("it is not 0"),
            asset: Address::repeat_byte(0x03),
            payer: Address::repeat_byte(0x85),
            pay_to: Address::repeat_byte(0x20),
            amount: Amount::from(10_000),
            valid_after: 1_772_366_340,
            valid_before: 1_772_366_460,
            nonce: B256::repeat_byte(0xf3),
        },
        finality: Finality::Confirmed,
        reference: Some("order_4711".to_owned()),
        metadata: Some(json!({"sku": "report-7"})),
        request_id: "req_0195a4d49a0f7bb189bf61b4e8b1a6d2".to_owned(),
        created_at: Timestamp::from_unix_ms(ACCEPTED_MS),
        updated_at: Timestamp::from_unix_ms(SETTLED_MS),
        version: 5,
        state: PaymentState::Settled {
            inclusion: Inclusion {
                tx_hash: B256::repeat_byte(0x6b),
                log_index: 3,
                block_number: 22_310_117,
                block_hash: B256::repeat_byte(0x8d),
            },
        },
    }
}

/// A payment with all that is shown beside it.
pub(crate) fn payment() -> Value {
    let payment = settled();
    let mut body = json!(PaymentResource::new(&payment, None));
    body["timeline"] = json!([
        {"version": 1, "status": "accepted", "type": "payment.accepted", "at": payment.created_at},
        {
            "version": 5, "status": "settled", "type": "payment.settled", "at": payment.updated_at,
            "tx_hash": B256::repeat_byte(0x6b), "log_index": 3, "block_number": 22_310_117,
            "block_hash": B256::repeat_byte(0x8d),
        },
    ]);
    body["webhooks"] = json!({"pending": 0, "delivered": 1, "failed": 0});
    body["risk"] = json!({
        "decision": "allow",
        "decision_id": "dec_7Q2M",
        "level": "low",
        "reasons": [],
        "decided_at": Timestamp::from_unix_ms(ACCEPTED_MS + 40),
        "valid_until": Timestamp::from_unix_ms(ACCEPTED_MS + 300_040),
        "policy_version": 3,
    });
    body
}

/// A payment that its seller has taken back.
pub(crate) fn canceled() -> Value {
    let mut payment = settled();
    payment.version = 2;
    payment.state = PaymentState::Canceled;
    let mut body = json!(PaymentResource::new(&payment, None));
    body["timeline"] = json!([
        {"version": 1, "status": "accepted", "type": "payment.accepted", "at": payment.created_at},
        {
            "version": 2, "status": "canceled", "type": "payment.canceled",
            "at": payment.updated_at, "failure": "canceled",
        },
    ]);
    body["webhooks"] = json!({"pending": 1, "delivered": 0, "failed": 0});
    body["risk"] = Value::Null;
    body
}

/// A page of payments.
pub(crate) fn payments() -> Value {
    let payment = settled();
    json!({
        "data": [PaymentResource::new(&payment, None)],
        "has_more": true,
        "next_cursor": "AQGVUgAAAHAAgAAAAAAAAAEAAAAAAAAAAA",
    })
}

/// An event, as endpoints are told of it.
pub(crate) fn event() -> Value {
    let payment = settled();
    let standing = Standing::of(&payment, None);
    let id = EventId::new(uuid(3));
    json!(WebhookBody::new(&WebhookEvent {
        id,
        kind: EventType::Settled,
        payment: &payment,
        standing,
    }))
}

/// A page of events.
pub(crate) fn events() -> Value {
    json!({"data": [event()], "has_more": false, "next_cursor": CURSOR})
}

/// One event of the stream of all.
pub(crate) fn event_streamed() -> Value {
    json!({"id": CURSOR, "event": "payment.settled", "data": event().to_string()})
}

/// One event of a payment's stream.
pub(crate) fn change_streamed() -> Value {
    let payment = settled();
    let seen = json!(PaymentResource::new(&payment, None));
    json!({"id": "5", "event": "payment.settled", "data": seen.to_string()})
}

/// A webhook endpoint.
pub(crate) fn endpoint() -> Value {
    json!({
        "id": EndpointId::new(uuid(4)),
        "object": "webhook_endpoint",
        "url": "https://shop.example/hooks",
        "event_types": ["payment.settled", "payment.failed"],
        "status": "enabled",
        "disabled_reason": null,
        "failing_since": null,
        "payload_version": "2026-11-01",
        "ordering": "none",
        "max_in_flight": null,
        "max_per_second": null,
        "signatures": ["v1"],
        "created_at": Timestamp::from_unix_ms(ACCEPTED_MS),
    })
}

/// One that was disabled.
pub(crate) fn disabled_endpoint() -> Value {
    let mut endpoint = endpoint();
    endpoint["status"] = json!("disabled");
    endpoint["disabled_reason"] = json!("owner");
    endpoint
}

/// One that was just made.
pub(crate) fn created_endpoint() -> Value {
    let mut endpoint = endpoint();
    endpoint["secret"] = json!(SECRET);
    endpoint
}

/// All endpoints of an account.
pub(crate) fn endpoints() -> Value {
    json!({"data": [endpoint()]})
}

/// What a seller asks of a new endpoint.
pub(crate) fn wanted_endpoint() -> Value {
    json!({
        "url": "https://shop.example/hooks",
        "event_types": ["payment.settled", "payment.failed"],
    })
}

/// What a seller asks of one that it has.
pub(crate) fn changed_endpoint() -> Value {
    json!({"event_types": ["payment.settled", "payment.failed"]})
}

/// 32 bytes of zeros: nobody's secret.
const SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// The secret that counts.
pub(crate) fn secret() -> Value {
    json!({
        "object": "webhook_secret",
        "secret": SECRET,
        "public_key": public_key_text(&endpoint_key(&[0; 32])),
        "previous_expires_at": null,
    })
}

/// One that was just made, while the one before it counts as well.
pub(crate) fn rotated_secret() -> Value {
    let mut secret = secret();
    secret["previous_expires_at"] = json!(Timestamp::from_unix_ms(SETTLED_MS + 86_400_000));
    secret
}

/// A page of the deliveries log.
pub(crate) fn deliveries() -> Value {
    let delivery = json!({
        "id": DeliveryId::new(uuid(5)),
        "object": "webhook_delivery",
        "event_id": EventId::new(uuid(3)),
        "event_type": "payment.settled",
        "payment_id": PaymentId::new(uuid(1)),
        "kind": "live",
        "status": "delivered",
        "attempts": 1,
        "next_attempt_at": null,
        "created_at": Timestamp::from_unix_ms(SETTLED_MS),
        "finished_at": Timestamp::from_unix_ms(SETTLED_MS + 210),
    });
    json!({"data": [delivery], "has_more": false, "next_cursor": null})
}

fn attempt() -> Value {
    json!({
        "number": 1,
        "at": Timestamp::from_unix_ms(SETTLED_MS + 21),
        "duration_ms": 187,
        "outcome": "delivered",
        "http_status": 204,
        "error": null,
        "response": null,
    })
}

/// The attempts of a delivery.
pub(crate) fn attempts() -> Value {
    json!({"data": [attempt()]})
}

/// A delivery that is made again.
pub(crate) fn redelivered() -> Value {
    json!({"id": DeliveryId::new(uuid(5)), "object": "webhook_delivery", "status": "pending"})
}

/// What is asked with an endpoint that is enabled.
pub(crate) fn enabling() -> Value {
    json!({"recover_since": Timestamp::from_unix_ms(ACCEPTED_MS)})
}

/// A trial that arrived.
pub(crate) fn trial() -> Value {
    let mut trial = trial_under_way();
    trial["attempt"] = attempt();
    trial
}

/// A trial that takes long.
pub(crate) fn trial_under_way() -> Value {
    json!({
        "object": "webhook_test",
        "delivery_id": DeliveryId::new(uuid(6)),
        "event_id": EventId::new(uuid(7)),
        "type": "payment.settled",
        "attempt": null,
    })
}

/// What an endpoint is to be told again.
pub(crate) fn wanted_recovery() -> Value {
    json!({"since": Timestamp::from_unix_ms(ACCEPTED_MS), "include_unattempted": true})
}

/// How much that would be.
pub(crate) fn recovery_count() -> Value {
    json!({
        "object": "recovery",
        "dry_run": true,
        "deliveries": 12,
        "unattempted": 3,
        "capped": false,
    })
}

/// A job that goes on.
pub(crate) fn job() -> Value {
    json!({
        "id": JobId::new(uuid(8)),
        "object": "job",
        "type": "webhook_recovery",
        "status": "running",
        "endpoint_id": EndpointId::new(uuid(4)),
        "since": Timestamp::from_unix_ms(ACCEPTED_MS),
        "until": Timestamp::from_unix_ms(SETTLED_MS),
        "recovered": 4,
        "created_at": Timestamp::from_unix_ms(SETTLED_MS),
        "finished_at": null,
    })
}

/// A key of zeros: nobody's.
fn key() -> SigningKey {
    SigningKey::from_seed(&[0; 32])
}

fn statement() -> Statement {
    Statement::of(&settled()).expect("it is settled")
}

/// The receipt of the payment, signed by nobody.
pub(crate) fn jws() -> Value {
    json!(key().sign(&statement()))
}

/// The same with what it says.
pub(crate) fn receipt() -> Value {
    let statement = statement();
    json!({
        "object": "receipt",
        "payment": statement.payment,
        "jws": key().sign(&statement),
        "statement": statement,
    })
}

/// The document of that key.
pub(crate) fn keys() -> Value {
    json!(KeyDocument::new([key().public()]))
}

/// The types of events, of which it shows one.
pub(crate) fn event_types() -> Value {
    json!({"data": [crate::event_types::described(EventType::Settled)]})
}

/// Rules of a tenant.
pub(crate) fn policy_rules() -> Value {
    json!({
        "hosts": {"allow": ["*.shop.example"], "deny": []},
        "limits": [{
            "network": "eip155:84532",
            "asset": Address::repeat_byte(0x03),
            "per": "payer",
            "max_per_payment": "1000000",
            "daily": "10000000",
            "monthly": "100000000",
            "approve_above": "500000",
        }],
        "velocity": [{"payments": 10, "window_seconds": 60}],
        "hold_seconds": 3600,
        "on_engine_failure": "reject",
    })
}

/// The policy that counts.
pub(crate) fn policy() -> Value {
    let rules: Policy = serde_json::from_value(policy_rules()).expect("the rules are a policy");
    json!({
        "object": "risk_policy",
        "version": 3,
        "policy": rules,
        "created_at": Timestamp::from_unix_ms(ACCEPTED_MS),
    })
}

/// Rules to be tried.
pub(crate) fn policy_trial() -> Value {
    json!({"policy": policy_rules(), "payments": 200})
}

/// What they would have done.
pub(crate) fn policy_tried() -> Value {
    json!({
        "object": "risk_policy_dry_run",
        "payments": 200,
        "allow": 199,
        "reasons": {"PER_REQUEST_LIMIT_EXCEEDED": 1},
        "data": [{
            "payment_id": PaymentId::new(uuid(1)),
            "decision": "deny",
            "reason": "PER_REQUEST_LIMIT_EXCEEDED",
        }],
    })
}

/// Why a payment was decided on as it was.
pub(crate) fn payment_risk() -> Value {
    json!({
        "payment_id": PaymentId::new(uuid(1)),
        "data": [{
            "decision_id": "dec_7Q2M",
            "at": Timestamp::from_unix_ms(ACCEPTED_MS + 40),
            "decision": "allow",
            "level": "low",
            "reasons": [],
            "valid_until": Timestamp::from_unix_ms(ACCEPTED_MS + 300_040),
            "policy_version": 3,
            "as_of": Timestamp::from_unix_ms(1_772_366_400_000),
            "balance": "25000000",
            "exposure": "10000",
            "inputs_sha256": "6b".repeat(32),
            "engine": {
                "engine": "trustline",
                "decision": "allow",
                "decision_id": "dec_7Q2M",
                "level": "low",
                "reasons": [],
                "valid_until": Timestamp::from_unix_ms(ACCEPTED_MS + 300_030),
                "no_decision": null,
                "request_sha256": "8d".repeat(32),
                "response_sha256": "a1".repeat(32),
            },
        }],
    })
}

/// Payments that wait for somebody.
pub(crate) fn holds() -> Value {
    let payment = settled();
    let authorization = &payment.authorization;
    json!({
        "data": [{
            "payment_id": payment.id,
            "account": payment.account,
            "network": authorization.chain,
            "asset": authorization.asset,
            "amount": authorization.amount,
            "payer": authorization.payer,
            "pay_to": authorization.pay_to,
            "held_until": Timestamp::from_unix_ms(ACCEPTED_MS + 3_600_000),
            "created_at": payment.created_at,
            "decided": null,
            "risk": held_for_review(),
        }],
        "has_more": false,
    })
}

/// Why a payment is held that the engine has left to somebody.
fn held_for_review() -> Value {
    let mut why = payment_risk()["data"][0].take();
    why["decision"] = json!("review");
    why["level"] = json!("medium");
    why["reasons"] = json!(["RISK_REVIEW"]);
    why["valid_until"] = Value::Null;
    why["engine"]["decision"] = json!("review");
    why["engine"]["level"] = json!("medium");
    why["engine"]["reasons"] = json!(["new_wallet"]);
    why
}

/// What somebody has decided.
pub(crate) fn hold_decision() -> Value {
    json!({"payment_id": PaymentId::new(uuid(1)), "decided": "approve"})
}

/// The session and the trace of the examples: random ones, as they are given.
const SESSION: &str = "0d6a7c58-7c0c-4f0e-9a53-0f9f6cf0b1c4";
const TRACE: &str = "5b0d4c1e-52a8-4c53-8f5e-6f4f8a3d9e21";
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TOLD_SHA256: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// An agent that is going to pay.
pub(crate) fn wanted_risk_session() -> Value {
    json!({
        "agent_did": "did:web:agent.example",
        "wallet_address": settled().authorization.payer,
        "app_id": "reports",
    })
}

/// Its session.
pub(crate) fn begun_risk_session() -> Value {
    json!({"sid": SESSION, "expires_at": Timestamp::from_unix_ms(ACCEPTED_MS + 900_000)})
}

/// The same, as it is shown.
pub(crate) fn risk_session() -> Value {
    json!({
        "sid": SESSION,
        "agent_did": "did:web:agent.example",
        "wallet_address": settled().authorization.payer,
        "agent_endpoint": null,
        "app_id": "reports",
        "device": null,
        "created_at": Timestamp::from_unix_ms(ACCEPTED_MS),
        "expires_at": Timestamp::from_unix_ms(ACCEPTED_MS + 900_000),
    })
}

fn agent_trace() -> Value {
    json!({
        "task": "Buy the report",
        "events": [
            {"type": "user_input", "content": "Buy the report"},
            {"type": "reasoning_summary", "content": "It costs a cent."},
        ],
        "model_config": {"model": "model-1", "reasoning_enabled": true},
        "session_context": {"request_id": "r-1"},
    })
}

/// How it came to pay.
pub(crate) fn told_risk_trace() -> Value {
    json!({"sid": SESSION, "agent_trace": agent_trace()})
}

/// The trace.
pub(crate) fn kept_risk_trace() -> Value {
    json!({"tid": TRACE, "trace_id": TRACE, "sha256": TOLD_SHA256})
}

/// The same, as it is shown.
pub(crate) fn risk_trace() -> Value {
    json!({
        "sid": SESSION,
        "fingerprint": null,
        "telemetry": null,
        "agent_trace": agent_trace(),
        "sha256": TOLD_SHA256,
    })
}

/// A payment to decide on.
pub(crate) fn risk_question() -> Value {
    let authorization = settled().authorization;
    json!({
        "sid": SESSION,
        "tid": TRACE,
        "trace_context": {"tp": TRACEPARENT},
        "payment": {
            "protocol": "x402:exact",
            "version": 2,
            "network": authorization.chain,
            "payload": {"authorization": {
                "from": authorization.payer,
                "to": authorization.pay_to,
                "value": authorization.amount.to_string(),
            }},
            "headers": null,
            "extra": {},
        },
    })
}

/// What is decided on it.
pub(crate) fn risk_answer() -> Value {
    json!({
        "decision": "allow",
        "decision_id": "c0f2f9c4-2f3c-4b36-8a5e-b9f0f4ad2a11",
        "reasons": [],
        "ttl_seconds": 300,
        "used_mandate": false,
        "warnings": [],
        "risk_level": "low",
        "extra": {},
    })
}
