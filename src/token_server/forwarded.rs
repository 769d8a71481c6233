//! Whom a request comes from, by what trusted proxies add to X-Forwarded-For.
//!
//! The header has no standard. Its elements are read as RFC 7239 section 6 writes nodes, because
//! that covers what proxies send: an address alone, with a port, in brackets, in quotes, or a word.
//! The header `Forwarded` itself is not read: proxies that add to X-Forwarded-For pass on a
//! `Forwarded` that their caller wrote.

use std::net::IpAddr;

use axum::http::HeaderMap;
use ipnet::IpNet;

use crate::server::source::is_in;

/// Longest chain of trusted proxies that is followed.
const MAX_HOPS: usize = 32;

/// The address of the caller.
///
/// The elements of all lines are one list (RFC 9110 section 5.3), which each proxy extends at its end
/// by the address that it was called from. So the list is read from its end, as long as a trusted
/// proxy has the address that was read last. The caller may have written everything before. Where a
/// trusted proxy names no address, the last one that is known counts, which is its own.
#[must_use]
pub fn caller(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut last = peer.to_canonical();
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let elements = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let elements = elements.map(<[u8]>::trim_ascii);
    // An empty element stands for nothing (RFC 9110 section 5.6.1.2).
    let mut hops = elements.filter(|element| !element.is_empty());
    for _ in 0..MAX_HOPS {
        if !is_in(last, trusted) {
            break;
        }
        let Some(address) = hops.next().and_then(address) else {
            break;
        };
        last = address;
    }
    last
}

/// The address in an element.
fn address(element: &[u8]) -> Option<IpAddr> {
    let text = unquoted(std::str::from_utf8(element).ok()?)?;
    let (address, port) = if let Some(bracketed) = text.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']')?;
        (ip(address)?, rest)
    } else if let Some(address) = ip(text) {
        (address, "")
    } else {
        let (address, _) = text.split_once(':')?;
        (ip(address)?, &text[address.len()..])
    };
    let is_readable = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    is_readable.then(|| address.to_canonical())
}

fn unquoted(text: &str) -> Option<&str> {
    match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"'),
        None => Some(text),
    }
}

/// An address, without the zone that an IPv6 address may have (RFC 4007 section 11).
fn ip(text: &str) -> Option<IpAddr> {
    match text.split_once('%') {
        Some((address, zone)) if is_word(zone) => Some(IpAddr::V6(address.parse().ok()?)),
        Some(_) => None,
        None => text.parse().ok(),
    }
}

/// A number, or a word in its place (RFC 7239 section 6).
fn is_port(text: &str) -> bool {
    let number = text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok();
    number || text.strip_prefix('_').is_some_and(is_word)
}

fn is_word(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    !text.is_empty() && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests;
