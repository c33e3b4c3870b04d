//! For which hosts a service answers, and what pages in browsers are told.

use axum::Router;
use axum::routing::get;
use runtime::Config;
use runtime::http::{Frontage, instrument_behind};

use crate::server::Server;

async fn server(file: &str) -> Server {
    let environment = [("DATABASE_URL", "postgres://db/q"), ("REDIS_URL", "redis://cache")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let none = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let config = Config::from_sources(file, &environment, &none).unwrap();
    let frontage = Frontage::from_config(&config.http);
    let router = Router::new().route("/fine", get(|| async { "fine" }));
    Server::serve(instrument_behind(router, |router| frontage.before(router))).await
}

#[tokio::test]
async fn requests_for_another_host_are_turned_away_whatever_their_path() {
    let server = server("http.hosts = ['pay.example', '127.0.0.1']").await;
    for (host, status) in [
        ("pay.example", 200),
        ("PAY.example:8443", 200),
        ("127.0.0.1:1", 200),
        ("evil.example", 421),
        ("pay.example.evil.example", 421),
        ("pay.example@evil.example", 421),
        ("", 421),
    ] {
        let answer = server.ask_as(host, "GET /fine", "").await;
        assert_eq!(answer.status, status, "{host}");
        if status == 421 {
            assert_eq!(answer.json()["code"], "misdirected_request");
            assert!(answer.header("x-request-id").is_some());
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        }
    }
    assert_eq!(server.ask_as("evil.example", "GET /nowhere", "").await.status, 421);
    let twice = server.ask_as("pay.example", "GET /fine", "host: pay.example\r\n").await;
    assert!(twice.status >= 400, "{}", twice.head);
}

#[tokio::test]
async fn without_hosts_every_one_is_answered_for() {
    let server = server("").await;
    assert_eq!(server.ask_as("anything.example", "GET /fine", "").await.status, 200);
}

#[tokio::test]
async fn only_pages_of_listed_origins_may_read_answers_and_refusals() {
    let server = server("http.cors_origins = ['https://shop.example']").await;
    for (line, status) in [("GET /fine", 200), ("GET /nowhere", 404), ("POST /fine", 405)] {
        let good = server.ask(line, "origin: https://shop.example\r\n").await;
        assert_eq!(good.status, status);
        assert_eq!(good.header("access-control-allow-origin"), Some("https://shop.example"));
        assert!(good.header("access-control-expose-headers").unwrap().contains("X-Request-Id"));
        assert_eq!(good.header("access-control-allow-credentials"), None);
        for other in ["https://shop.example.evil", "http://shop.example", "null", "*"] {
            let answer = server.ask(line, &format!("origin: {other}\r\n")).await;
            assert_eq!(answer.status, status);
            assert_eq!(answer.header("access-control-allow-origin"), None, "{other}");
            assert_eq!(answer.header("vary"), Some("Origin"));
        }
    }
}

#[tokio::test]
async fn a_browser_that_asks_first_is_told_what_a_listed_page_may_do() {
    let server = server("http.cors_origins = ['https://shop.example']").await;
    let ask = "access-control-request-method: POST\r\n";
    let from = |origin: &str| format!("origin: {origin}\r\n{ask}");
    let told = server.ask("OPTIONS /fine", &from("https://shop.example")).await;
    assert_eq!(told.status, 204);
    assert_eq!(told.header("access-control-allow-origin"), Some("https://shop.example"));
    assert!(told.header("access-control-allow-headers").unwrap().contains("Authorization"));
    assert!(told.header("access-control-allow-methods").unwrap().contains("DELETE"));
    let refused = server.ask("OPTIONS /fine", &from("https://evil.example")).await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (405, None));
}

#[tokio::test]
async fn nothing_is_said_to_pages_where_no_origin_is_listed() {
    let answer = server("").await.ask("GET /fine", "origin: https://shop.example\r\n").await;
    for name in ["access-control-allow-origin", "vary", "strict-transport-security"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn browsers_insist_on_tls_where_that_is_configured() {
    let answer = server("http.hsts_secs = 600").await.ask("GET /nowhere", "").await;
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=600"));
}
