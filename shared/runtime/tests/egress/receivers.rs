//! Receivers that hang, drip, flood, break and lie.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue};
use runtime::EgressError;
use runtime::egress::Targets;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::receiver::{Receiver, read_request};
use crate::{Answers, HASTY, PATIENT, client, lenient, post};

#[tokio::test]
async fn the_receiver_gets_headers_and_body_as_they_were_given() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let receiver = Receiver::start(move |mut stream| {
        let tell = tell.clone();
        async move {
            tell.send(read_request(&mut stream).await).unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let headers =
        HeaderMap::from_iter([("webhook-id".parse().unwrap(), HeaderValue::from_static("evt_1"))]);
    let url = format!("http://hook.example:{}/hook?a=b", receiver.address.port());
    let body = Bytes::from_static(b"{\"type\":\"payment.settled\"}");
    let response = lenient().post(&url, headers, body, PATIENT).await.unwrap();
    assert!(response.is_success());
    let (head, body) = told.recv().await.unwrap();
    assert!(head.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{head}");
    let host = format!("host: hook.example:{}", receiver.address.port());
    for line in [host.as_str(), "webhook-id: evt_1", "user-agent: Quittance-Webhooks/1.0"] {
        assert!(head.to_ascii_lowercase().contains(&line.to_ascii_lowercase()), "{line} in {head}");
    }
    assert_eq!(body, "{\"type\":\"payment.settled\"}");
}

#[tokio::test]
async fn what_the_receiver_wishes_is_told() {
    let receiver = Receiver::answering(
        "HTTP/1.1 429 Slow Down\r\nretry-after: 120\r\nwebhook-delivery: abort-message\r\ncontent-length: 4\r\n\r\nbusy",
    )
    .await;
    let response = post(&lenient(), &receiver.url(), PATIENT).await.unwrap();
    assert_eq!((response.status, response.is_success()), (429, false));
    assert_eq!(response.retry_after.as_deref(), Some("120"));
    assert_eq!(response.webhook_delivery.as_deref(), Some("abort-message"));
    assert_eq!((response.body_excerpt.as_str(), response.body_cut), ("busy", false));
}

#[tokio::test]
async fn cookies_are_not_kept() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let receiver = Receiver::start(move |mut stream| {
        let tell = tell.clone();
        async move {
            tell.send(read_request(&mut stream).await.0).unwrap();
            let answer = "HTTP/1.1 200 OK\r\nset-cookie: a=b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let client = lenient();
    for _ in 0..2 {
        post(&client, &receiver.url(), PATIENT).await.unwrap();
        let head = told.recv().await.unwrap();
        assert!(!head.to_ascii_lowercase().contains("cookie"), "{head}");
    }
}

#[tokio::test]
async fn a_receiver_that_hangs_is_given_up_at_the_deadline() {
    let receiver = Receiver::start(|stream| async move {
        let _held = stream;
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(post(&lenient(), &receiver.url(), HASTY).await, Err(EgressError::Timeout));
}

#[tokio::test]
async fn a_receiver_that_drips_its_body_is_given_up_at_the_deadline() {
    let receiver = Receiver::start(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await.unwrap();
        let mut beat = tokio::time::interval(Duration::from_millis(20));
        while stream.write_all(b"x").await.is_ok() {
            beat.tick().await;
        }
    })
    .await;
    assert_eq!(post(&lenient(), &receiver.url(), HASTY).await, Err(EgressError::Timeout));
}

#[tokio::test]
async fn a_receiver_that_drips_its_head_is_given_up_at_the_deadline() {
    let receiver = Receiver::start(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await.unwrap();
        let mut beat = tokio::time::interval(Duration::from_millis(20));
        while stream.write_all(b"x").await.is_ok() {
            beat.tick().await;
        }
    })
    .await;
    assert_eq!(post(&lenient(), &receiver.url(), HASTY).await, Err(EgressError::Timeout));
}

#[tokio::test]
async fn an_endless_body_is_left_after_sixteen_kilobytes() {
    let receiver = Receiver::start(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'x'; 4_096]).await.is_ok() {}
    })
    .await;
    let response = post(&lenient(), &receiver.url(), PATIENT).await.unwrap();
    assert_eq!(
        (response.status, response.body_excerpt.len(), response.body_cut),
        (200, 4_096, true)
    );
}

#[tokio::test]
async fn an_endless_head_is_refused() {
    let receiver = Receiver::start(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        while stream.write_all(b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n").await.is_ok() {}
    })
    .await;
    let outcome = post(&lenient(), &receiver.url(), PATIENT).await;
    assert!(matches!(outcome, Err(EgressError::Other(_))), "{outcome:?}");
}

#[tokio::test]
async fn an_excerpt_holds_nothing_that_a_database_refuses() {
    let receiver = Receiver::answering(
        "HTTP/1.1 500 Oops\r\ncontent-length: 12\r\nconnection: close\r\n\r\na\0b\u{1b}[31m\nc\té",
    )
    .await;
    let response = post(&lenient(), &receiver.url(), PATIENT).await.unwrap();
    assert!(response.body_excerpt.starts_with("a\u{fffd}b\u{fffd}[31m\nc\t"), "{response:?}");
}

#[tokio::test]
async fn a_connection_that_is_reset_after_the_request_is_told_as_such() {
    let receiver = Receiver::start(|mut stream| async move {
        read_request(&mut stream).await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    assert_eq!(post(&lenient(), &receiver.url(), PATIENT).await, Err(EgressError::Reset));
}

#[tokio::test]
async fn a_connection_that_is_closed_after_the_request_is_told_as_such() {
    let receiver = Receiver::start(|mut stream| async move {
        read_request(&mut stream).await;
    })
    .await;
    assert_eq!(post(&lenient(), &receiver.url(), PATIENT).await, Err(EgressError::Reset));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_told_as_a_broken_connection() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
    assert_eq!(post(&lenient(), &receiver.url(), PATIENT).await, Err(EgressError::Reset));
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_told_without_the_url() {
    let receiver = Receiver::answering("+PONG\r\n\r\n").await;
    let outcome = post(&lenient(), &receiver.url(), PATIENT).await;
    let Err(EgressError::Other(reason)) = outcome else { panic!("{outcome:?}") };
    assert!(!reason.contains("/hook") && !reason.is_empty(), "{reason}");
}

#[tokio::test]
async fn a_closed_port_is_told_without_the_url() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    drop(listener);
    let outcome = post(&lenient(), &url, PATIENT).await;
    let Err(EgressError::Connect(reason)) = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("refused") && !reason.contains("/hook"), "{reason}");
}

#[tokio::test]
async fn a_name_without_addresses_is_told_as_such() {
    let client = client(Targets::Public, Answers::default());
    assert_eq!(post(&client, "https://hook.example/", PATIENT).await, Err(EgressError::Dns));
}

#[tokio::test]
async fn the_systems_resolver_knows_localhost() {
    let receiver = Receiver::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let options = runtime::EgressOptions::new(Targets::PublicAndPrivate, "test");
    let client = runtime::EgressClient::new(options).unwrap();
    let url = format!("http://localhost:{}/", receiver.address.port());
    assert_eq!(post(&client, &url, PATIENT).await.unwrap().status, 204);
}

#[tokio::test]
async fn a_receiver_that_closes_an_idle_connection_costs_no_message() {
    let receiver = Receiver::start(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _closed = stream.read_to_end(&mut rest).await;
    })
    .await;
    let client = lenient();
    for _ in 0..5 {
        assert_eq!(post(&client, &receiver.url(), PATIENT).await.unwrap().status, 200);
    }
}
