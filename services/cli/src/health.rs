//! `quittance health`

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use runtime::Config;

use crate::failure::{Failure, print};
use crate::http_client::http_client;

/// A little more than the checks behind `/readyz` may take.
const TIMEOUT: Duration = Duration::from_secs(4);

/// The most of an answer that is shown, in characters.
const SHOWN_CHARS: usize = 2_000;

/// Asks this URL, or the process that has these settings, whether it is ready; succeeds when it is.
pub(crate) async fn run(
    url: Option<reqwest::Url>,
    config: impl FnOnce() -> Result<Config, runtime::ConfigError>,
) -> Result<ExitCode, Failure> {
    let url = match url {
        Some(url) => url.to_string(),
        None => format!("http://{}/readyz", reachable(config()?.metrics.listen)),
    };
    let request = http_client()?.get(&url).timeout(TIMEOUT);
    let unanswered = |error: reqwest::Error| {
        Failure::Said(format!("no answer from {url}: {}", root_cause(&error.without_url())))
    };
    let answer = request.send().await.map_err(unanswered)?;
    let status = answer.status();
    let body = answer.text().await.map_err(unanswered)?;
    print(body.chars().take(SHOWN_CHARS).collect::<String>().trim_end())?;
    if status.is_success() {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(Failure::Said(format!("{url} answers {status}")))
    }
}

/// Where a listener can be reached from its own machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen {
        SocketAddr::V4(address) if address.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(address) if address.ip().is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        SocketAddr::V4(_) | SocketAddr::V6(_) => listen.ip(),
    };
    SocketAddr::new(ip, listen.port())
}

/// The innermost error, which says what happened where the outer ones say to whom.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_the_loopback() {
        let cases = [
            ("0.0.0.0:9464", "127.0.0.1:9464"),
            ("[::]:9464", "[::1]:9464"),
            ("10.1.2.3:9464", "10.1.2.3:9464"),
        ];
        for (listen, asked) in cases {
            let listen: SocketAddr = listen.parse().unwrap();
            assert_eq!(reachable(listen).to_string(), asked);
        }
    }
}
