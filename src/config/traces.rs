//! Whether traces are sent. The OpenTelemetry SDK itself reads where to send them, and which, from
//! the environment variables of its specification.

const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
];

/// Whether the environment names a collector and does not disable traces.
#[must_use]
pub fn traces_wanted() -> bool {
    wanted(|name| std::env::var(name).ok())
}

fn wanted(variable: impl Fn(&str) -> Option<String>) -> bool {
    let is = |name, word| variable(name).is_some_and(|value| value.eq_ignore_ascii_case(word));
    let named = |name| variable(name).is_some_and(|value| !value.trim().is_empty());
    ENDPOINTS.into_iter().any(named)
        && !is("OTEL_SDK_DISABLED", "true")
        && !is("OTEL_TRACES_EXPORTER", "none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_need_an_endpoint_and_can_be_disabled() {
        let decide = |variables: &[(&str, &str)]| {
            wanted(|name| {
                let mut variables = variables.iter();
                let found = variables.find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let endpoint = (ENDPOINTS[0], "http://collector:4318");
        assert!(!decide(&[]));
        assert!(!decide(&[(ENDPOINTS[0], "")]));
        assert!(decide(&[endpoint]));
        assert!(decide(&[(ENDPOINTS[1], "http://collector/v1/traces")]));
        assert!(!decide(&[endpoint, ("OTEL_SDK_DISABLED", "true")]));
        assert!(!decide(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]));
    }
}
