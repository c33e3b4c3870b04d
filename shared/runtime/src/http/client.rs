//! Where a request comes from, behind proxies or not.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, HeaderName, request};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The part of an IPv6 address that one client has; the rest it chooses as it likes.
const CLIENT_BITS: u128 = !(u64::MAX as u128);

/// One client, as far as addresses tell: an IPv4 address, or a /64 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// Where a request comes from that came through so many proxies of ours.
    #[must_use]
    pub fn of(head: &request::Parts, trusted_proxies: u32) -> Self {
        let peer = head.extensions.get::<ConnectInfo<SocketAddr>>();
        // Every server of ours says who its peer is; without one all are one client.
        let peer = peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.0.ip());
        Self::behind(trusted_proxies, peer, &head.headers)
    }

    /// The client behind so many proxies, each of which has written its own peer at the end of
    /// `X-Forwarded-For`. What stands before that, anybody can have written. Where one of those
    /// places is missing or no address, it is the peer.
    #[must_use]
    pub fn behind(trusted_proxies: u32, peer: IpAddr, headers: &HeaderMap) -> Self {
        let places = usize::try_from(trusted_proxies).unwrap_or(usize::MAX);
        let client = match places.checked_sub(1) {
            Some(before) => forwarded(headers, before).unwrap_or(peer),
            None => peer,
        };
        Self::new(client)
    }

    fn new(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() & CLIENT_BITS).into()),
            address @ IpAddr::V4(_) => address,
        })
    }
}

/// The address at this place from the right, where it and all that are nearer are addresses.
fn forwarded(headers: &HeaderMap, place: usize) -> Option<IpAddr> {
    let lines = headers.get_all(X_FORWARDED_FOR).iter().collect::<Vec<_>>().into_iter().rev();
    let mut hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    let mut nearest = None;
    for _ in 0..=place {
        nearest = Some(read(hops.next()?.trim())?);
    }
    nearest
}

/// An address as proxies write it: bare, in brackets, with a port or without.
fn read(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(bracketed).or_else(with_port)
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(address) => write!(f, "{address}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const PEER: &str = "192.0.2.9";

    fn client(proxies: u32, peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        ClientAddress::behind(proxies, peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_client_is_found_from_the_right_and_is_the_peer_where_it_cannot_be() {
        for (proxies, lines, expected) in [
            // Nobody is trusted.
            (0, &["203.0.113.7"][..], PEER),
            (0, &[], PEER),
            // What the nearest proxy wrote, whatever the client has written before it.
            (1, &["203.0.113.7"], "203.0.113.7"),
            (1, &["1.1.1.1, 203.0.113.7"], "203.0.113.7"),
            (1, &["garbage, 203.0.113.7"], "203.0.113.7"),
            (1, &["1.1.1.1", "203.0.113.7"], "203.0.113.7"),
            (1, &["1.1.1.1,203.0.113.7 "], "203.0.113.7"),
            // Two proxies: the outer one's peer.
            (2, &["1.1.1.1, 203.0.113.7, 198.51.100.4"], "203.0.113.7"),
            (2, &["1.1.1.1, 203.0.113.7", "198.51.100.4"], "203.0.113.7"),
            // As some proxies write it.
            (1, &["203.0.113.7:4711"], "203.0.113.7"),
            (1, &["[2001:db8:1:2:3::4]"], "2001:db8:1:2::/64"),
            (1, &["[2001:db8:1:2:3::4]:4711"], "2001:db8:1:2::/64"),
            (1, &["2001:db8:1:2:ffff::1"], "2001:db8:1:2::/64"),
            (1, &["::ffff:203.0.113.7"], "203.0.113.7"),
            // Missing or malformed.
            (1, &[], PEER),
            (1, &[""], PEER),
            (1, &["203.0.113.7,"], PEER),
            (1, &["203.0.113.7, unknown"], PEER),
            (1, &["203.0.113.7", "_hidden"], PEER),
            (1, &["203.0.113.7 198.51.100.4"], PEER),
            (1, &["203.0.113.7", "\u{e9}"], PEER),
            (2, &["203.0.113.7"], PEER),
            (2, &["203.0.113.7, unknown"], PEER),
            (2, &["unknown, 203.0.113.7"], PEER),
            (u32::MAX, &["203.0.113.7"], PEER),
        ] {
            assert_eq!(client(proxies, PEER, lines), expected, "{proxies} {lines:?}");
        }
    }

    #[test]
    fn neighbours_in_one_net_of_ipv6_are_one_client_and_ipv4_is_ipv4_however_it_is_written() {
        assert_eq!(client(0, "2001:db8::1", &[]), client(0, "2001:db8::ffff:1", &[]));
        assert_ne!(client(0, "2001:db8::1", &[]), client(0, "2001:db8:0:1::1", &[]));
        assert_eq!(client(0, "::ffff:192.0.2.9", &[]), PEER);
    }

    proptest! {
        #[test]
        fn nothing_that_a_client_writes_changes_who_it_is(written in "[ -~]{0,80}") {
            let line = format!("{written}, 203.0.113.7");
            prop_assert_eq!(client(1, PEER, &[&line]), "203.0.113.7");
            prop_assert_eq!(client(1, PEER, &[&written, "203.0.113.7"]), "203.0.113.7");
            prop_assert_eq!(client(0, PEER, &[&written]), PEER);
        }
    }
}
