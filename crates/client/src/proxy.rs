//! Selects the proxy for a request as kubectl and other Go programs do. Pure, except for
//! [`Environment::read`].

use std::net::IpAddr;

use http::Uri;
use ipnet::IpNet;

/// Whether a host is this machine: a loopback address or `localhost`. Other names are not resolved.
#[must_use]
pub fn is_this_machine(host: &str) -> bool {
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    host.eq_ignore_ascii_case("localhost") || address(host).is_some_and(is_loopback)
}

/// The IP address of a host, with or without the brackets of IPv6.
fn address(host: &str) -> Option<IpAddr> {
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host).parse().ok()
}

/// The proxy settings of the environment.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// The proxy for `http:` addresses.
    http: String,
    /// The proxy for `https:` addresses.
    https: String,
    /// The hosts without a proxy.
    no: String,
}

impl Environment {
    /// Reads the variables of this process.
    #[must_use]
    pub fn read() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    /// Reads these variables. In a CGI program anybody can set `HTTP_PROXY`, by the header `Proxy` of a request
    /// (<https://httpoxy.org>), so it is not used there.
    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let either = |upper, lower| set(upper).or_else(|| set(lower)).unwrap_or_default();
        let is_cgi = set("REQUEST_METHOD").is_some();
        let upper = if is_cgi { "" } else { "HTTP_PROXY" };
        Self {
            http: either(upper, "http_proxy"),
            https: either("HTTPS_PROXY", "https_proxy"),
            no: either("NO_PROXY", "no_proxy"),
        }
    }

    /// The proxy for this server.
    #[must_use]
    pub fn proxy_of(&self, server: &Uri) -> Option<Uri> {
        let is_http = server.scheme_str() == Some("http");
        let (proxy, port) = if is_http {
            (&self.http, 80)
        } else {
            (&self.https, 443)
        };
        let host = server.host().unwrap_or_default();
        let is_direct =
            is_this_machine(host) || self.excepts(host, server.port_u16().unwrap_or(port));
        parsed(proxy).filter(|_| !is_direct)
    }

    fn excepts(&self, host: &str, port: u16) -> bool {
        let host = host.to_ascii_lowercase();
        let entries = self.no.split(',').map(|entry| entry.trim().to_lowercase());
        entries
            .filter(|entry| !entry.is_empty())
            .any(|entry| covers(&entry, &host, port))
    }
}

/// Whether an entry of `NO_PROXY` matches a host. An entry is `*`, a network, an address, or a domain, which
/// includes its subdomains. A domain with a leading dot matches only subdomains. An address or a domain may
/// have a port.
fn covers(entry: &str, host: &str, port: u16) -> bool {
    let ip = address(host).map(|ip| ip.to_canonical());
    if entry == "*" {
        return true;
    }
    if let Ok(network) = entry.parse::<IpNet>() {
        return ip.is_some_and(|ip| network.contains(&ip));
    }
    let (name, only) = match entry.rsplit_once(':') {
        Some((name, port)) if address(entry).is_none() => (name, Some(port)),
        _ => (entry, None),
    };
    if only.is_some_and(|only| !only.is_empty() && only != port.to_string()) {
        return false;
    }
    if let Some(named) = address(name) {
        return ip == Some(named.to_canonical());
    }
    let below = name.strip_prefix('*').unwrap_or(name);
    if below.starts_with('.') {
        return host.ends_with(below);
    }
    let is_below = |rest: &str| rest.is_empty() || rest.ends_with('.');
    !name.is_empty() && host.strip_suffix(name).is_some_and(is_below)
}

/// Parses the address of a proxy. The default scheme is `http`.
fn parsed(proxy: &str) -> Option<Uri> {
    let whole = |text: &str| {
        let uri = text.parse::<Uri>().ok();
        uri.filter(|uri| uri.scheme().is_some() && uri.host().is_some())
    };
    whole(proxy).or_else(|| whole(&format!("http://{proxy}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(no: &str) -> Environment {
        Environment {
            http: "http://plain:1".to_owned(),
            https: "secure:2".to_owned(),
            no: no.to_owned(),
        }
    }

    fn is_direct(no: &str, server: &str) -> bool {
        environment(no).proxy_of(&server.parse().unwrap()).is_none()
    }

    #[test]
    fn the_scheme_of_the_server_says_which_proxy() {
        let proxy = |server: &str| environment("").proxy_of(&server.parse().unwrap()).unwrap();
        assert_eq!(proxy("http://a.example"), "http://plain:1/");
        assert_eq!(proxy("https://a.example"), "http://secure:2/");
        let none = Environment::default();
        assert_eq!(none.proxy_of(&"https://a.example".parse().unwrap()), None);
    }

    #[test]
    fn a_header_of_a_request_to_a_cgi_program_sets_no_proxy() {
        let proxy = |variables: &[(&str, &str)]| {
            let variable = |name: &str| {
                let mut variables = variables.iter();
                let (_, value) = variables.find(|(known, _)| *known == name)?;
                Some((*value).to_owned())
            };
            Environment::of(variable).proxy_of(&"http://a.example".parse().unwrap())
        };
        let (header, own) = (("HTTP_PROXY", "http://evil"), ("http_proxy", "http://own"));
        let cgi = ("REQUEST_METHOD", "GET");
        assert_eq!(proxy(&[header, own]).unwrap(), "http://evil/");
        assert_eq!(proxy(&[header, cgi]), None);
        assert_eq!(proxy(&[header, own, cgi]).unwrap(), "http://own/");
    }

    #[test]
    fn this_machine_is_reached_without_a_proxy() {
        for server in [
            "https://127.0.0.1:6443",
            "https://127.1.2.3",
            "https://[::1]:6443",
            "https://[::ffff:127.0.0.1]",
            "https://localhost:6443",
            "https://LOCALHOST",
            "http://localhost",
        ] {
            assert!(is_direct("", server), "{server}");
        }
        for server in [
            "https://127.evil.com",
            "https://127.0.0.1.evil.com",
            "https://localhost.evil.com",
            "https://128.0.0.1",
            "https://[::2]",
        ] {
            assert!(!is_direct("", server), "{server}");
        }
    }

    #[test]
    fn no_proxy_means_what_it_means_to_kubectl() {
        for (no, server, direct) in [
            ("*", "https://10.0.0.1", true),
            ("*", "https://a.example", true),
            ("10.0.0.0/8", "https://10.1.2.3:6443", true),
            ("10.0.0.0/8", "https://11.1.2.3:6443", false),
            ("fd00::/8", "https://[fd00::1]", true),
            ("x, 10.0.0.1,", "https://10.0.0.1", true),
            ("10.0.0.1:6443", "https://10.0.0.1:6443", true),
            ("10.0.0.1:6443", "https://10.0.0.1", false),
            ("10.0.0.1:443", "https://10.0.0.1", true),
            ("[fd00::1]:443", "https://[fd00::1]", true),
            ("fd00::1", "https://[fd00::1]:6443", true),
            ("Example.com", "https://EXAMPLE.com", true),
            ("example.com", "https://a.example.com", true),
            ("example.com", "https://anexample.com", false),
            (".example.com", "https://a.example.com", true),
            (".example.com", "https://example.com", false),
            ("*.example.com", "https://a.example.com", true),
            ("*.example.com", "https://example.com", false),
            ("example.com:6443", "https://example.com:6443", true),
            ("example.com:6443", "https://example.com", false),
            ("example.com:", "https://example.com:6443", true),
            (":443", "https://example.com", false),
            ("secure", "https://example.com", false),
        ] {
            assert_eq!(is_direct(no, server), direct, "{no} {server}");
        }
    }
}
