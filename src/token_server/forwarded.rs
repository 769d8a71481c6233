//! Determines the address of a caller from the X-Forwarded-For headers of trusted proxies.
//!
//! The header has no standard. Its elements are parsed as nodes of RFC 7239 section 6, because that
//! covers what proxies send: an address alone, with a port, in brackets, in quotes, or a word. The
//! header `Forwarded` itself is ignored: proxies that add to X-Forwarded-For pass on a `Forwarded`
//! header that their caller wrote.

use std::net::IpAddr;

use axum::http::HeaderMap;
use ipnet::IpNet;

use crate::server::source::is_in;

/// Maximum number of proxies in the chain that is followed.
const MAX_HOPS: usize = 32;

/// Returns the address of the caller.
///
/// The elements of all lines form one list (RFC 9110 section 5.3). Each proxy appends the address
/// that called it. Therefore the list is read from its end, as long as the address read last
/// belongs to a trusted proxy. The caller may have written everything before. If a trusted proxy
/// names no address, the result is the last known address, which is that of the proxy.
#[must_use]
pub fn caller(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut last = peer.to_canonical();
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let elements = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let elements = elements.map(<[u8]>::trim_ascii);
    // Empty elements are ignored (RFC 9110 section 5.6.1.2).
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

/// Parses the address in an element.
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

/// Parses an address and ignores the zone of an IPv6 address (RFC 4007 section 11).
fn ip(text: &str) -> Option<IpAddr> {
    match text.split_once('%') {
        Some((address, zone)) if is_word(zone) => Some(IpAddr::V6(address.parse().ok()?)),
        Some(_) => None,
        None => text.parse().ok(),
    }
}

/// Whether the text is a port: a number, or a word in its place (RFC 7239 section 6).
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
