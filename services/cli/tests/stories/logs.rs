//! What the processes print: one shape, and never a secret.

use domain::Address;
use serde_json::{Value, json};
use testkit::{Answer, Receiver, SignedAuthorization, eventually};
use x402::Version;

use crate::pipeline::{DEADLINE, Pipeline, SIGNER_KEY};

/// What every line must be like.
const SHAPE: &str = include_str!("../../../../docs/log-line.schema.json");

fn assert_has_the_shape(line: &str) {
    let parsed: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
    let shape: Value = serde_json::from_str(SHAPE).unwrap();
    assert!(testkit::conforms(&shape, &parsed), "not as docs/log-line.schema.json says: {line}");
}

/// Fails unless every process has printed lines, each of the shape and without any of these.
fn assert_keeps(pipeline: &Pipeline, secrets: &[&str]) {
    let usual = [
        pipeline.seller.key.as_str(),
        pipeline.secret.as_str(),
        SIGNER_KEY.trim_start_matches("0x"),
        pipeline.database.url.as_str(),
    ];
    for (role, process) in &pipeline.processes {
        let lines = process.lines();
        assert!(!lines.is_empty(), "{role} printed nothing");
        for line in &lines {
            assert_has_the_shape(line);
            let mut secrets = usual.iter().chain(secrets).enumerate();
            let leaked = secrets.find(|(_, secret)| line.contains(**secret));
            assert!(leaked.is_none(), "{role} printed secret {:?}", leaked.unwrap().0);
        }
    }
}

/// What moves the money: the signature's digits, and the header that carries it.
fn carriers(signed: &SignedAuthorization) -> [String; 2] {
    let signature = signed.payment_payload(Version::V2)["payload"]["signature"].clone();
    let digits = signature.as_str().unwrap().trim_start_matches("0x").to_owned();
    [digits, signed.header(Version::V2)]
}

fn debugging(more: [(&'static str, String); 1]) -> Vec<(&'static str, String)> {
    let level = ("QUITTANCE_LOG__LEVEL", "debug".to_owned());
    [[level], more].concat()
}

/// Waits until every process has printed more than it usually does.
async fn all_are_debugging(pipeline: &Pipeline) {
    for process in pipeline.processes.values() {
        eventually(DEADLINE, || async {
            let lines = process.lines();
            lines.iter().any(|line| line.contains(r#""level":"debug""#)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn every_line_of_every_role_has_the_shape_and_none_has_a_secret() {
    let pipeline = Pipeline::start().await;
    let buyer = pipeline.buyer(100).await;
    let signed = pipeline.sign(&buyer, 100);
    let payment = pipeline.pay(&signed.body_with_header(Version::V2)).await;
    pipeline.assert_settled_and_told(&[payment]).await;
    let [digits, header] = carriers(&signed);
    assert_keeps(&pipeline, &[&digits, &header]);
    assert_names_the_payer(&pipeline, buyer.address());
}

/// The request that brought a payment can be found by its payer's wallet.
fn assert_names_the_payer(pipeline: &Pipeline, payer: Address) {
    let lines = pipeline.processes["ingress"].lines();
    let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut requests = lines.filter(|line| line["metadata"]["target"] == "access");
    assert!(requests.any(|line| line["userId"] == payer.to_string()));
}

#[tokio::test]
async fn a_process_that_cannot_start_says_so_in_its_log_or_to_its_operator_and_tells_no_secret() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut pipeline = Pipeline::idle().await;
    for setting in
        ["QUITTANCE_INGRESS__LISTEN", "QUITTANCE_METRICS__LISTEN", "QUITTANCE_INGRESS__NO_SUCH"]
    {
        pipeline.set(setting, address.clone());
        pipeline.start_role(&["ingress"]);
        let process = pipeline.processes.get_mut("ingress").unwrap();
        assert!(!process.ended().await.success(), "{setting}");
        for line in process.lines() {
            assert_has_the_shape(&line);
            assert!(!line.contains(&pipeline.database.url), "{setting}: {line}");
        }
    }
}

/// A word that agents tell in confidence, in every place that takes one.
const CONFIDENTIAL: &str = "xyzzyplugh";

/// A session of this wallet, and a trace of it, that tell the word wherever they can.
async fn agent_tells(pipeline: &Pipeline, wallet: Address) -> (String, String) {
    let risk = format!("{}/risk", pipeline.results().await);
    let told = |name: &str, body: Value| {
        let url = format!("{risk}/{name}");
        async move { pipeline.post(&url, &body).await.unwrap() }
    };
    let session = json!({
        "agent_did": format!("did:web:{CONFIDENTIAL}"), "wallet_address": wallet,
        "agent_endpoint": format!("https://{CONFIDENTIAL}.example/"), "app_id": CONFIDENTIAL,
        "device": {"serial": CONFIDENTIAL},
    });
    let (status, begun) = told("session", session).await;
    assert_eq!(status, 200, "{begun}");
    let sid = begun["sid"].as_str().unwrap().to_owned();
    let trace = json!({
        "sid": sid, "fingerprint": {"canvas": CONFIDENTIAL}, "telemetry": {"typed": CONFIDENTIAL},
        "agent_trace": {
            "task": CONFIDENTIAL, "session_context": {"request_id": CONFIDENTIAL},
            "events": [
                {"type": "user_input", "content": CONFIDENTIAL},
                {"type": "reasoning_summary", "content": CONFIDENTIAL},
            ],
        },
    });
    let (status, kept) = told("trace", trace).await;
    assert_eq!(status, 200, "{kept}");
    let tid = kept["tid"].as_str().unwrap().to_owned();
    for (name, malformed) in [
        ("session", json!({"agent_did": [CONFIDENTIAL], "wallet_address": CONFIDENTIAL})),
        ("trace", json!({"sid": sid, "agent_trace": CONFIDENTIAL, CONFIDENTIAL: CONFIDENTIAL})),
        ("evaluate", json!({"sid": sid, "tid": CONFIDENTIAL, "payment": CONFIDENTIAL})),
    ] {
        let (status, answer) = told(name, malformed).await;
        assert!((400..500).contains(&status), "{status}: {answer}");
    }
    (sid, tid)
}

#[tokio::test]
async fn what_agents_tell_and_buyers_sign_is_in_no_line_at_debug_level() {
    let local = ("PROXY_LOCAL_RISK", "1".to_owned());
    let pipeline = Pipeline::with(debugging([local])).await;
    let buyer = pipeline.buyer(1_000).await;
    let (sid, tid) = agent_tells(&pipeline, buyer.address()).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let hash = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
    let headers = [
        ("x-risk-session", sid),
        ("x-risk-trace", tid),
        ("x-payment-secure", format!("w3c.v1;tp={trace};ts=rojo%3D{CONFIDENTIAL}")),
        ("x-ap2-evidence", format!("evd.v1;mr={CONFIDENTIAL};ms={hash};mt=text/plain;sz=42")),
    ];
    let (signed, refused) = (pipeline.sign(&buyer, 100), pipeline.sign(&buyer, 100));

    let payment = pipeline.pay_with(&signed.body(Version::V2), &headers).await;
    let payments = format!("{}/v1/payments", pipeline.ingress().await);
    // Whatever is wrong with a request, nobody repeats what is in it.
    let mut malformed = refused.body(Version::V2);
    malformed["paymentPayload"]["payload"]["authorization"]["value"] =
        json!([refused.header(Version::V2), CONFIDENTIAL]);
    let (status, answer) = pipeline.post(&payments, &malformed).await.unwrap();
    assert!((400..500).contains(&status), "{answer}");

    let told = pipeline.wait_until_over(std::slice::from_ref(&payment)).await;
    assert_eq!(told[&payment]["status"], "settled");
    all_are_debugging(&pipeline).await;
    let ([digits, header], [other, another]) = (carriers(&signed), carriers(&refused));
    assert_keeps(&pipeline, &[&digits, &header, &other, &another, CONFIDENTIAL, hash]);
}

#[tokio::test]
async fn what_an_engine_is_shown_is_in_no_line_at_debug_level() {
    let engine = Receiver::start().await;
    let decision = json!({"decision": "allow", "decision_id": "d-1"}).to_string();
    engine.answer(Answer::Typed(200, "application/json", decision));
    let token = "swordfish-swordfish";
    let mut settings = debugging([("RISK_ENGINE_URL", engine.url_of(""))]);
    settings.push(("RISK_INTERNAL_TOKEN", token.to_owned()));
    let pipeline = Pipeline::with(settings).await;
    let buyer = pipeline.buyer(100).await;
    let signed = pipeline.sign(&buyer, 100);
    let session = [("x-risk-session", "8e03978e-40d5-43dd-bc93-6894a57f9324".to_owned())];

    let payment = pipeline.pay_with(&signed.body(Version::V2), &session).await;

    pipeline.assert_settled_and_told(&[payment]).await;
    assert_eq!(engine.requests()[0].header("authorization"), format!("Bearer {token}"));
    all_are_debugging(&pipeline).await;
    let [digits, header] = carriers(&signed);
    assert_keeps(&pipeline, &[&digits, &header, token]);
}
