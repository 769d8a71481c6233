//! Identifies connections from the same caller.

use std::net::IpAddr;

use ipnet::IpNet;

/// The address that limits apply to: an IPv4 address, or the /64 of an IPv6 address, because one
/// subscriber has all addresses of a /64 (RFC 6177). An IPv4-mapped address counts as its IPv4
/// address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(u128);

impl Source {
    /// The source of this address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(v4) => u128::from(u32::from(v4)),
            IpAddr::V6(v6) => u128::from(v6) >> 64 << 64 | 1 << 63,
        })
    }
}

/// Whether the address is in one of the networks.
#[must_use]
pub fn is_in(address: IpAddr, networks: &[IpNet]) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::of(text.parse().unwrap())
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_source() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::2:3"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_ne!(source("::1"), source("0.0.0.1"));
    }

    #[test]
    fn a_mapped_address_is_in_the_network_of_its_ipv4_address() {
        let networks = ["10.0.0.0/8".parse().unwrap()];
        assert!(is_in("::ffff:10.1.2.3".parse().unwrap(), &networks));
        assert!(!is_in("192.0.2.1".parse().unwrap(), &networks));
    }
}
