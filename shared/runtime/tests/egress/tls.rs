//! https: certificates, names and look-ups.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Certificate;
use runtime::egress::Targets;
use runtime::{EgressClient, EgressError, EgressOptions};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::receiver::{Receiver, read_request};
use crate::{Answers, HASTY, PATIENT, post};

/// A deadline that no test waits for.
const AN_HOUR: Duration = Duration::from_secs(3_600);

/// A receiver with a certificate of its own for `name`; tells the server names and heads that it sees.
struct Secure {
    receiver: Receiver,
    certificate: Certificate,
    seen: mpsc::UnboundedReceiver<(Option<String>, String)>,
}

impl Secure {
    async fn start(name: &str) -> Self {
        runtime::egress::install_tls_provider();
        let own = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (tell, seen) = mpsc::unbounded_channel();
        let receiver = Receiver::start(move |stream| {
            let (acceptor, tell) = (acceptor.clone(), tell.clone());
            async move {
                // A client that refuses the certificate ends the handshake.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let server_name = stream.get_ref().1.server_name().map(str::to_owned);
                let (head, _) = read_request(&mut stream).await;
                tell.send((server_name, head)).unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                stream.shutdown().await.unwrap();
            }
        })
        .await;
        let certificate = Certificate::from_der(own.cert.der()).unwrap();
        Self { receiver, certificate, seen }
    }

    fn url(&self) -> String {
        format!("https://hook.example:{}/hook", self.receiver.address.port())
    }
}

fn client(answers: &Answers, roots: Vec<Certificate>) -> EgressClient {
    let mut options = EgressOptions::new(Targets::PublicAndPrivate, "test");
    options.resolver = Some(Arc::new(answers.clone()));
    options.extra_roots = roots;
    EgressClient::new(options).unwrap()
}

fn here() -> Answers {
    Answers::of(&["127.0.0.1"])
}

#[tokio::test]
async fn the_judged_address_is_dialled_under_the_urls_name_after_one_look_up() {
    let mut secure = Secure::start("hook.example").await;
    let answers = here();
    let client = client(&answers, vec![secure.certificate.clone()]);
    assert_eq!(post(&client, &secure.url(), PATIENT).await.unwrap().status, 200);
    let (server_name, head) = secure.seen.recv().await.unwrap();
    assert_eq!(server_name.as_deref(), Some("hook.example"));
    let host = format!("host: hook.example:{}", secure.receiver.address.port());
    assert!(head.contains(&host), "{head}");
    assert_eq!(answers.asked(), 1);
}

#[tokio::test]
async fn an_unknown_authority_is_refused() {
    let secure = Secure::start("hook.example").await;
    let outcome = post(&client(&here(), Vec::new()), &secure.url(), PATIENT).await;
    assert!(matches!(outcome, Err(EgressError::Tls(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let secure = Secure::start("other.example").await;
    let client = client(&here(), vec![secure.certificate.clone()]);
    let outcome = post(&client, &secure.url(), PATIENT).await;
    assert!(matches!(outcome, Err(EgressError::Tls(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_receiver_that_speaks_no_tls_is_refused() {
    let receiver = Receiver::start(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let url = format!("https://hook.example:{}/", receiver.address.port());
    let outcome = post(&client(&here(), Vec::new()), &url, PATIENT).await;
    assert!(matches!(outcome, Err(EgressError::Tls(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_handshake_that_hangs_is_given_up_at_the_deadline() {
    let receiver = Receiver::start(|stream| async move {
        let _held = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let url = format!("https://hook.example:{}/", receiver.address.port());
    assert_eq!(post(&client(&here(), Vec::new()), &url, HASTY).await, Err(EgressError::Timeout));
}

#[tokio::test]
async fn a_handshake_that_hangs_is_given_up_long_before_a_patient_deadline() {
    let receiver = Receiver::start(|stream| async move {
        let _held = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let url = format!("https://hook.example:{}/", receiver.address.port());
    assert_eq!(post(&client(&here(), Vec::new()), &url, AN_HOUR).await, Err(EgressError::Timeout));
}
