//! URLs that must never lead to a connection.

use axum::http::StatusCode;
use runtime::EgressError;
use runtime::egress::{Blocked, Targets};

use crate::receiver::{Canary, Receiver};
use crate::{Answers, PATIENT, client, lenient, post};

/// Hosts that are not public, in all the ways of writing them. Names are answered with addresses of this machine.
const HOSTS: &[&str] = &[
    "127.0.0.1",
    "127.0.0.2",
    "127.255.255.254",
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "0177.0.0.1",
    "0177.0x0.1",
    "017700000001",
    "%31%32%37.0.0.1",
    "１２７.０.０.１",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "0.0.0.0",
    "0",
    "0x0",
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "0xA9FEA9FE",
    "2852039166",
    "0251.0376.0251.0376",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::10.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "[2001::1]",
    "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    "[2001:2::1]",
    "[2001:20::1]",
    "[2001:db8::1]",
    "[2002:7f00:1::]",
    "[2002:a00:1::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[100::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[fec0::1]",
    "[ff02::1]",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "localhost.localdomain",
    "metadata.google.internal",
    "redis",
    "127.0.0.1.nip.io",
    "xn--fsqu00a.xn--0zwm56d",
];

/// Whole URLs that are refused before their host matters.
const URLS: &[&str] = &[
    "",
    "hook",
    "//127.0.0.1:PORT/",
    "https:",
    "https://",
    "https://:PORT/",
    "https://hook.example:99999/",
    "http://127.0.0.1:PORT/",
    "http://hook.example:PORT/",
    "HTTP://hook.example:PORT/",
    "ftp://127.0.0.1:PORT/",
    "ws://127.0.0.1:PORT/",
    "gopher://127.0.0.1:PORT/_POST",
    "file:///etc/passwd",
    "unix:///run/redis.sock",
    "data:text/plain,hook",
    "javascript:alert(1)",
    "https://user@hook.example:PORT/",
    "https://user:password@127.0.0.1:PORT/",
    "https://1.1.1.1@127.0.0.1:PORT/",
    "https://1.1.1.1:443@127.0.0.1:PORT/",
    "https://127.0.0.1:PORT#@1.1.1.1/",
    "https://127.0.0.1:PORT\\@1.1.1.1/",
    "https:\\\\127.0.0.1:PORT\\",
    "https:127.0.0.1:PORT/",
    "https://127.0.0.1\t:PORT/",
    "https://127.0.\n0.1:PORT/",
    " https://127.0.0.1:PORT/",
    "https://127.0.0.1:PORT/../../",
    "https://hook.example:22/",
    "https://hook.example:25/",
    "https://hook.example:80/",
    "https://hook.example:0/",
    "https://hook.example:1023/",
];

#[tokio::test]
async fn no_url_of_the_corpus_leads_to_a_connection() {
    let mut canary = Canary::start().await;
    let port = canary.address.port().to_string();
    let client = client(Targets::Public, Answers::of(&["127.0.0.1", "::1"]));
    let by_host = HOSTS.iter().map(|host| format!("https://{host}:{port}/hook"));
    let whole = URLS.iter().map(|url| url.replace("PORT", &port));
    let urls: Vec<_> = by_host.chain(whole).collect();
    assert!(urls.len() >= 60);
    for url in urls {
        let outcome = post(&client, &url, PATIENT).await;
        assert!(matches!(outcome, Err(EgressError::Blocked(_))), "{url}: {outcome:?}");
    }
    assert_eq!(canary.connections().await, 0);
}

#[tokio::test]
async fn the_canary_sings_when_private_targets_are_allowed() {
    let mut canary = Canary::start().await;
    let url = format!("http://127.0.0.1:{}/hook", canary.address.port());
    assert!(post(&lenient(), &url, PATIENT).await.is_err(), "the canary closes every connection");
    assert_eq!(canary.connections().await, 1);
}

#[tokio::test]
async fn one_address_inside_among_public_ones_blocks_the_name() {
    let mut canary = Canary::start().await;
    let url = format!("https://hook.example:{}/", canary.address.port());
    let answers: [&[&str]; 6] = [
        &["1.1.1.1", "127.0.0.1"],
        &["127.0.0.1", "1.1.1.1"],
        &["2606:4700::1111", "::1"],
        &["1.1.1.1", "::ffff:127.0.0.1"],
        &["1.1.1.1", "64:ff9b::7f00:1"],
        &["1.1.1.1", "2001:0:4136:e378:8000:63bf:80ff:fffe"],
    ];
    for addresses in answers {
        let client = client(Targets::Public, Answers::of(addresses));
        let outcome = post(&client, &url, PATIENT).await;
        assert!(matches!(outcome, Err(EgressError::Blocked(Blocked::Address(_)))), "{outcome:?}");
    }
    assert_eq!(canary.connections().await, 0);
}

#[tokio::test]
async fn a_blocked_name_does_not_tell_its_address() {
    let client = client(Targets::Public, Answers::of(&["10.1.2.3"]));
    let outcome = post(&client, "https://redis.internal/", PATIENT).await;
    assert_eq!(outcome.unwrap_err().to_string(), "blocked: the host's address is not public");
}

#[tokio::test]
async fn a_redirect_to_the_inside_is_an_answer_and_not_followed() {
    let mut canary = Canary::start().await;
    let port = canary.address.port();
    for status in [301, 302, 303, 307, 308] {
        let answer = format!(
            "HTTP/1.1 {status} Moved\r\nlocation: http://127.0.0.1:{port}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        let receiver = Receiver::answering(answer.leak()).await;
        let response = post(&lenient(), &receiver.url(), PATIENT).await.unwrap();
        assert_eq!(StatusCode::from_u16(response.status).unwrap().as_u16(), status);
    }
    assert_eq!(canary.connections().await, 0);
}

#[test]
fn public_urls_are_allowed() {
    for url in [
        "https://hook.example/",
        "https://hook.example:8443/a?b=c",
        "https://1.1.1.1/",
        "https://[2606:4700::1111]:1024/",
        "https://[::ffff:1.1.1.1]/",
        "https://bücher.example/",
    ] {
        assert!(Targets::Public.check(url).is_ok(), "{url}");
    }
}

#[test]
fn a_url_that_is_too_long_is_refused() {
    let url = format!("https://hook.example/{}", "a".repeat(2_048));
    assert_eq!(Targets::Public.check(&url), Err(Blocked::TooLong));
}
