//! What is counted, and that nothing of it is secret.

use chain::NodeConfig;
use metrics_exporter_prometheus::PrometheusBuilder;
use secrecy::SecretString;
use testkit::Fate;

use crate::stage::{Actor, config, nonce, open};

/// On one thread, so that everything counts on this thread's recorder.
#[tokio::test(flavor = "current_thread")]
async fn requests_errors_and_breakers_are_shown_by_host_alone() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let figures = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let (first, second) = (Actor::with_nonce(1).await, Actor::with_nonce(2).await);
    let host = |actor: &Actor| actor.url().trim_start_matches("http://").to_owned();
    let secret = |actor: &Actor| format!("http://user:secret@{}/secret?key=secret", host(actor));
    let urls = [secret(&first), secret(&second), secret(&second)].map(SecretString::from);
    let node = open(NodeConfig { urls: urls.to_vec(), ..config(&[]) });
    first.answers("eth_getTransactionCount", Fate::Status(503));

    for _ in 0..4 {
        assert_eq!(nonce(&node).await.unwrap(), 2);
    }

    let shown = figures.render();
    let (first, second) = (host(&first), host(&second));
    let count = r#"network="eip155:84532""#;
    for expected in [
        format!(
            r#"rpc_requests_total{{{count},url_name="{first}",method="eth_getTransactionCount"}} 3"#
        ),
        format!(
            r#"rpc_errors_total{{{count},url_name="{first}",method="eth_getTransactionCount"}} 3"#
        ),
        format!(
            r#"rpc_requests_total{{{count},url_name="{second}",method="eth_getTransactionCount"}} 4"#
        ),
        format!(r#"rpc_requests_total{{{count},url_name="{second}#2",method="eth_chainId"}} 1"#),
        format!(r#"breaker_state{{{count},dependency="rpc:{first}"}} 1"#),
        format!(r#"breaker_state{{{count},dependency="rpc:{second}"}} 0"#),
    ] {
        assert!(shown.contains(&expected), "{expected} is missing in\n{shown}");
    }
    assert!(!shown.contains("secret"), "{shown}");
}

#[tokio::test]
async fn no_error_and_no_debug_text_holds_a_url() {
    let only = Actor::with_nonce(1).await;
    let urls = |url: String| vec![SecretString::from(url)];
    let secret = format!("{}/secret?key=secret", only.url());
    let config = NodeConfig { urls: urls(secret), ..config(&[]) };
    assert!(!format!("{config:?}").contains("secret?"));
    let node = open(config.clone());
    for fate in [Fate::Status(503), Fate::Rubbish("secret"), Fate::Refused("no")] {
        only.fails(fate);
        let error = nonce(&node).await.unwrap_err();
        assert!(!format!("{error} {error:?} {node:?}").contains("secret"), "{error:?}");
    }
    // Nobody listens there.
    drop(only);
    let error = nonce(&node).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
}
