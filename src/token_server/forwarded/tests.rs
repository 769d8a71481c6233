use std::net::{Ipv4Addr, Ipv6Addr};

use axum::http::HeaderValue;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// The trusted networks in these tests.
fn trusted() -> [IpNet; 2] {
    ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap())
}

fn of(peer: &str, lines: &[&str]) -> String {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(
            "x-forwarded-for",
            HeaderValue::from_bytes(line.as_bytes()).unwrap(),
        );
    }
    caller(peer.parse().unwrap(), &headers, &trusted()).to_string()
}

#[test]
fn only_trusted_proxies_are_believed_and_only_their_own_word() {
    for (peer, line, believed) in [
        ("192.0.2.9", "198.51.100.1", "192.0.2.9"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        (
            "10.0.0.1",
            "1.2.3.4, 198.51.100.1, 10.0.0.2",
            "198.51.100.1",
        ),
        ("10.0.0.1", "nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "1.2.3.4, nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "", "10.0.0.1"),
    ] {
        assert_eq!(of(peer, &[line]), believed, "{peer} {line}");
    }
}

#[test]
fn an_address_is_read_in_every_form_that_has_one_meaning() {
    let v4 = "198.51.100.1";
    let v6 = "2001:db8::1";
    for (element, read) in [
        ("198.51.100.1", v4),
        ("198.51.100.1:5678", v4),
        ("198.51.100.1:_p", v4),
        ("\"198.51.100.1:5678\"", v4),
        ("::ffff:198.51.100.1", v4),
        ("[::ffff:198.51.100.1]:80", v4),
        ("[198.51.100.1]:80", v4),
        ("2001:db8::1", v6),
        ("2001:DB8:0::1", v6),
        ("[2001:db8::1]", v6),
        ("[2001:db8::1]:443", v6),
        ("\"[2001:db8::1]\"", v6),
        ("\"[2001:db8::1]:443\"", v6),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%2]:443", "fe80::1"),
    ] {
        for element in [element.to_owned(), format!(" \t{element}\t ")] {
            assert_eq!(of("10.0.0.1", &[&element]), read, "{element}");
            let chain = format!("1.2.3.4,{element},10.0.0.2:80");
            assert_eq!(of("10.0.0.1", &[&chain]), read, "{chain}");
        }
    }
    for element in [
        "unknown",
        "_hidden",
        "_hidden:_p",
        "unix:",
        "localhost",
        "198.51.100.1:",
        "198.51.100.1:65536",
        "198.51.100.1:+80",
        "198.51.100.1:80:80",
        "198.51.100.1 203.0.113.1",
        "198.51.100.1;203.0.113.1",
        "198.51.100.01",
        "198.51.100",
        "3325256705",
        "198.51.100.1/32",
        "198.51.100.1%eth0",
        "\"198.51.100.1",
        "198.51.100.1\"",
        "'198.51.100.1'",
        "\"\"",
        "\"",
        "[2001:db8::1",
        "2001:db8::1]:443",
        "[2001:db8::1]443",
        "[[2001:db8::1]]",
        "[]",
        "2001:db8::1:99999",
        "fe80::1%",
        "for=198.51.100.1",
    ] {
        let chain = format!("1.2.3.4, {element}, 10.0.0.2");
        assert_eq!(of("10.0.0.1", &[&chain]), "10.0.0.2", "{element}");
    }
}

#[test]
fn all_lines_are_one_list_and_what_is_empty_in_it_is_nothing() {
    for lines in [
        &["1.2.3.4", "198.51.100.1", "10.0.0.2"][..],
        &["1.2.3.4", "", "198.51.100.1, 10.0.0.2"],
        &["1.2.3.4, 198.51.100.1", "10.0.0.2", " ,\t, "],
        &["1.2.3.4,, 198.51.100.1,, ,10.0.0.2,"],
        &["1.2.3.4", "é, 198.51.100.1", "10.0.0.2"],
    ] {
        assert_eq!(of("10.0.0.1", lines), "198.51.100.1", "{lines:?}");
    }
}

#[test]
fn a_list_of_any_length_ends_after_as_many_hops_as_are_followed() {
    let many = format!("1.2.3.4{}", ",10.0.0.2".repeat(3000));
    assert_eq!(of("10.0.0.1", &[&many]), "10.0.0.2");
    let some = format!("1.2.3.4{}", ",10.0.0.2".repeat(MAX_HOPS - 1));
    assert_eq!(of("10.0.0.1", &[&some]), "1.2.3.4");
}

/// How a proxy adds an element.
#[derive(Clone, Copy, Debug)]
enum Adds {
    /// After a comma, on the last line.
    ToLine(&'static str),
    /// On a line of its own.
    Line,
}

fn adds() -> impl Strategy<Value = Adds> {
    let commas = prop_oneof![Just(","), Just(", "), Just(" ,\t"), Just(", ,")];
    prop_oneof![commas.prop_map(Adds::ToLine), Just(Adds::Line)]
}

fn add(lines: &mut Vec<Vec<u8>>, how: Adds, word: &str) {
    match (how, lines.last_mut()) {
        (Adds::ToLine(comma), Some(last)) => last.extend([comma, word].concat().bytes()),
        (Adds::ToLine(_), None) | (Adds::Line, _) => lines.push(word.into()),
    }
}

/// An address as a proxy writes it.
fn written(address: IpAddr, form: u8) -> String {
    match (address, form) {
        (IpAddr::V4(v4), 0) => v4.to_string(),
        (IpAddr::V4(v4), 1) => format!("{v4}:5678"),
        (IpAddr::V4(v4), 2) => format!("\"{v4}:5678\""),
        (IpAddr::V4(v4), _) => format!("[{}]:443", v4.to_ipv6_mapped()),
        (IpAddr::V6(v6), 0) => v6.to_string(),
        (IpAddr::V6(v6), 1) => format!("[{v6}]"),
        (IpAddr::V6(v6), 2) => format!("\"[{v6}]:443\""),
        (IpAddr::V6(v6), _) => format!("[{v6}]:443"),
    }
}

/// Text that looks like an element of a proxy.
const WORDS: [&str; 8] = [
    "203.0.113.7",
    "10.0.0.9",
    "[2001:db8::bad]:1",
    "\"10.0.0.9",
    "unknown",
    "fd00::9",
    "é",
    "",
];

/// A header line of a caller: anything, and text that looks like an element of a proxy.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let any = prop_oneof![0x20_u8..=0x7e, 0x80_u8..=0xff];
    let byte = prop_oneof![any, proptest::sample::select(&b"\t,\"["[..])];
    let word = proptest::sample::select(&WORDS[..]);
    prop_oneof![
        vec(byte, 0..40),
        vec(word, 0..50).prop_map(|words| words.join(",").into_bytes())
    ]
}

fn stranger() -> impl Strategy<Value = IpAddr> {
    let v4 = any::<[u8; 4]>().prop_map(|b| IpAddr::from(Ipv4Addr::from(b)));
    let v6 = any::<[u16; 7]>().prop_map(|g| {
        IpAddr::from(Ipv6Addr::new(
            0x2001, g[0], g[1], g[2], g[3], g[4], g[5], g[6],
        ))
    });
    prop_oneof![v4, v6].prop_filter("a proxy", |address| !is_in(*address, &trusted()))
}

fn proxy(n: usize) -> IpAddr {
    let n = u8::try_from(n).unwrap();
    if n.is_multiple_of(2) {
        Ipv4Addr::new(10, 0, 1, n).into()
    } else {
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 1, n.into()).into()
    }
}

proptest! {
    #[test]
    fn whatever_a_caller_sends_its_own_address_is_believed_or_that_of_a_proxy_that_hides_it(
        mut lines in vec(line(), 0..4),
        stranger in stranger(),
        hops in vec((0_u8..4, adds()), 0..6),
        hides in proptest::option::of((any::<prop::sample::Index>(),
            proptest::sample::select(&["unknown", "_hidden", "unix:", "nonsense"][..]))),
    ) {
        // Each proxy adds the address that called it, and then calls the next one.
        let hides = hides.filter(|_| !hops.is_empty());
        let hides = hides.map(|(index, word)| (index.index(hops.len()), word));
        let mut from = stranger;
        for (n, (form, how)) in hops.iter().enumerate() {
            let hidden = hides.filter(|(hides, _)| *hides == n);
            let word = hidden.map_or_else(|| written(from, *form), |(_, word)| word.to_owned());
            add(&mut lines, *how, &word);
            from = proxy(n);
        }
        let mut headers = HeaderMap::new();
        for line in &lines {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(line).unwrap());
        }
        let expected = hides.map_or(stranger, |(n, _)| proxy(n));
        prop_assert_eq!(caller(from, &headers, &trusted()), expected, "{:?}", headers);
    }
}
