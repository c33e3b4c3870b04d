//! Which IP addresses are not public.
//!
//! Source: IANA's special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its successors), and addresses
//! that clouds give to their metadata services.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address must not be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forbidden {
    /// The range's name.
    pub range: &'static str,
}

/// Judges an address: `None` when it is public.
#[must_use]
pub fn forbidden(address: IpAddr) -> Option<Forbidden> {
    // An IPv4 address in IPv6 clothes is dialled as IPv4.
    let range = match address.to_canonical() {
        IpAddr::V4(address) => v4_range(address),
        IpAddr::V6(address) => v6_range(address),
    };
    range.map(|range| Forbidden { range })
}

/// Network, prefix length, name.
type Range<A> = (A, u32, &'static str);

const V4_BITS: u32 = 32;
const V6_BITS: u32 = 128;

const V4: &[Range<Ipv4Addr>] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private use"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "carrier-grade NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "Azure's host service"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local and metadata services"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private use"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "IETF protocol assignments"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "AS112"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "AMT"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private use"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "AS112"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved and broadcast"),
];

/// The only part of IPv6 in which public addresses are given out.
///
/// Outside are, among others, loopback, unspecified, IPv4-compatible (`::/96`), NAT64 (`64:ff9b::/96`,
/// `64:ff9b:1::/48`), discard (`100::/64`), segment routing (`5f00::/16`), unique local (`fc00::/7`), link-local
/// (`fe80::/10`), site-local (`fec0::/10`) and multicast (`ff00::/8`).
const V6_GLOBAL_UNICAST: Range<Ipv6Addr> =
    (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3, "not global unicast");

/// What is special inside of global unicast.
const V6: &[Range<Ipv6Addr>] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, "Teredo"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "IETF protocol assignments"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4"),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48, "AS112"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "documentation"),
];

fn v4_range(address: Ipv4Addr) -> Option<&'static str> {
    let within = |range: &&Range<Ipv4Addr>| {
        let shift = V4_BITS - range.1;
        address.to_bits() >> shift == range.0.to_bits() >> shift
    };
    V4.iter().find(within).map(|range| range.2)
}

fn v6_range(address: Ipv6Addr) -> Option<&'static str> {
    let within = |range: &&Range<Ipv6Addr>| {
        let shift = V6_BITS - range.1;
        address.to_bits() >> shift == range.0.to_bits() >> shift
    };
    if !within(&&V6_GLOBAL_UNICAST) {
        return Some(V6_GLOBAL_UNICAST.2);
    }
    V6.iter().find(within).map(|range| range.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_forbidden(address: &str) -> bool {
        forbidden(address.parse().unwrap()).is_some()
    }

    #[test]
    fn the_edges_of_the_ranges_are_where_the_registry_has_them() {
        let inside = [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.255",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
        ];
        let outside = [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
        ];
        for address in inside {
            assert!(is_forbidden(address), "{address}");
        }
        for address in outside {
            assert!(!is_forbidden(address), "{address}");
        }
    }

    #[test]
    fn only_global_unicast_is_public_in_ipv6() {
        let inside = [
            "::",
            "::1",
            "::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:20::1",
            "2001:1ff:ffff::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "4000::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        let outside =
            ["2001:200::1", "2001:4860:4860::8888", "2003::1", "2606:4700::1111", "3ffe::1"];
        for address in inside {
            assert!(is_forbidden(address), "{address}");
        }
        for address in outside {
            assert!(!is_forbidden(address), "{address}");
        }
    }

    #[test]
    fn a_mapped_address_is_judged_as_the_one_that_is_dialled() {
        assert!(is_forbidden("::ffff:127.0.0.1"));
        assert!(is_forbidden("::ffff:169.254.169.254"));
        assert!(!is_forbidden("::ffff:1.1.1.1"));
    }

    #[test]
    fn all_of_the_standard_librarys_special_addresses_are_forbidden() {
        // A coarse sweep over IPv4: one address in each /20.
        for bits in (0..=u32::MAX).step_by(1 << 12) {
            let address = Ipv4Addr::from_bits(bits);
            let special = address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_broadcast()
                || address.is_documentation()
                || address.is_multicast()
                || address.is_unspecified();
            assert!(!special || forbidden(address.into()).is_some(), "{address}");
        }
    }
}
