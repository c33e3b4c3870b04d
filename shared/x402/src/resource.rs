//! The resource that a payment is for.

use serde_json::Value;

use crate::{SettleRequest, header};

/// The host of the resource that a settle request names, in lower case; none where it names no URL
/// of the web.
///
/// Version 1 names it in the seller's requirements, version 2 in the payment, which repeats what the
/// seller said. It decides nothing about the payment itself.
pub fn resource_host(request: &SettleRequest) -> Option<String> {
    let url = match request.x402_version {
        1 => request.payment_requirements.get("resource")?.as_str()?.to_owned(),
        _ => {
            let payload = header::payment_payload(&request.payment_payload).ok()?;
            payload.pointer("/resource/url").and_then(Value::as_str)?.to_owned()
        }
    };
    host(&url)
}

/// The host of a URL (RFC 3986, section 3.2.2), without user, port and trailing dot.
fn host(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let place = authority.rsplit('@').next()?;
    let host = place.split(':').next()?.trim_end_matches('.').to_ascii_lowercase();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let fits = (1..=253).contains(&host.len()) && host.bytes().all(plain);
    fits.then_some(host)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_host_is_that_of_the_url_whatever_stands_around_it() {
        for (url, expected) in [
            ("https://shop.example/report", Some("shop.example")),
            ("HTTPS://Shop.Example.:8443?x=1", Some("shop.example")),
            ("http://user:secret@shop.example#top", Some("shop.example")),
            ("https://good.example\\@evil.example/", Some("good.example")),
            ("https://a@b@evil.example/", Some("evil.example")),
            ("ftp://shop.example", None),
            ("shop.example", None),
            ("https://", None),
            ("https://[::1]/", None),
            ("https://shop example/", None),
        ] {
            assert_eq!(host(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn each_version_names_it_in_its_own_place() {
        let request = |x402_version, payment_payload, payment_requirements| SettleRequest {
            x402_version,
            payment_payload,
            payment_requirements,
        };
        let one = request(1, json!({}), json!({"resource": "https://one.example/"}));
        let two = request(2, json!({"resource": {"url": "https://two.example"}}), json!({}));
        assert_eq!(resource_host(&one).as_deref(), Some("one.example"));
        assert_eq!(resource_host(&two).as_deref(), Some("two.example"));
        assert_eq!(resource_host(&request(2, json!(7), json!({}))), None);
    }
}
