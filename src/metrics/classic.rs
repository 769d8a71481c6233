//! The classic text format of Prometheus (version 0.0.4), converted from `OpenMetrics` text.
//!
//! The samples are the same; the lines that describe them differ. In the classic format a counter
//! is named like its samples, with `_total`. It has no types `info`, `stateset` and `unknown`, no
//! `# UNIT` and no `# EOF`. This program writes no exemplars.
//!
//! Sources: `OpenMetrics` 1.0, section "Negotiation" of the Prometheus exposition formats, RFC 9110
//! section 12.5.1.

/// Media type of `OpenMetrics` text.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Media type of the classic text format.
pub const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether this Accept header prefers the classic format. `OpenMetrics` wins a tie.
#[must_use]
pub fn is_preferred(accept: &str) -> bool {
    let quality = |wanted: &str| {
        let ranges = accept.split(',').filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts
                .next()
                .filter(|name| name.eq_ignore_ascii_case(wanted));
            let mut quality = parts.filter_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
            name.map(|_| quality.next().unwrap_or(1.0))
        });
        ranges.fold(0.0, f32::max)
    };
    quality("text/plain") > quality("application/openmetrics-text")
}

/// Converts this `OpenMetrics` text to the classic format.
#[must_use]
pub fn of_open_metrics(text: &str) -> String {
    let mut classic = String::with_capacity(text.len());
    // HELP precedes TYPE, and the name in HELP depends on the type.
    let mut help = None;
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ');
        } else if let Some(described) = line.strip_prefix("# TYPE ") {
            let (name, kind) = described.split_once(' ').unwrap_or((described, "unknown"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "stateset" => ("", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            if let Some((named, text)) = help.take().filter(|(named, _)| *named == name) {
                push(&mut classic, &["# HELP ", named, suffix, " ", text]);
            }
            push(&mut classic, &["# TYPE ", name, suffix, " ", kind]);
        } else if !line.starts_with('#') {
            push(&mut classic, &[line]);
        }
    }
    classic
}

fn push(text: &mut String, parts: &[&str]) {
    text.extend(parts.iter().copied());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn the_classic_format_is_given_to_those_who_prefer_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,\
            text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for accept in [
            "",
            "*/*",
            "text/html",
            prometheus,
            "application/openmetrics-text, text/plain",
        ] {
            assert!(!is_preferred(accept), "{accept}");
        }
        for accept in [
            "text/plain",
            "Text/Plain; version=0.0.4",
            "text/html, text/plain;q=0.3",
        ] {
            assert!(is_preferred(accept), "{accept}");
        }
        assert!(!is_preferred("text/plain;q=0"));
    }

    #[test]
    fn descriptions_have_the_names_of_their_samples_and_types_that_the_format_knows() {
        let open = "# HELP a_seconds Time.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n\
            a_seconds_total{b=\"# c\"} 1\n\
            # HELP build Version.\n# TYPE build info\nbuild_info{version=\"1\"} 1\n\
            # HELP odd Odd.\n# TYPE odd unknown\nodd 3\n# EOF\n";
        let classic = "# HELP a_seconds_total Time.\n# TYPE a_seconds_total counter\n\
            a_seconds_total{b=\"# c\"} 1\n\
            # HELP build_info Version.\n# TYPE build_info gauge\nbuild_info{version=\"1\"} 1\n\
            # HELP odd Odd.\n# TYPE odd untyped\nodd 3\n";
        assert_eq!(of_open_metrics(open), classic);
    }

    #[test]
    fn every_sample_of_this_program_stays_and_is_described() {
        let metrics = Metrics::new();
        metrics.reconcile_ended("apikey", std::time::Duration::from_secs(1), Some("x"));
        let open = metrics.encode().unwrap();
        let classic = of_open_metrics(&open);
        let samples = |text: &str| {
            let samples = text.lines().filter(|line| !line.starts_with('#'));
            samples.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(samples(&open), samples(&classic));
        let types: Vec<_> = classic
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
            .collect();
        for sample in samples(&classic) {
            let name = sample.split(['{', ' ']).next().unwrap();
            let described = types.iter().any(|(family, kind)| {
                let rest = name.strip_prefix(family);
                let histogram = ["_bucket", "_sum", "_count"];
                rest.is_some_and(|rest| {
                    rest.is_empty() || *kind == "histogram" && histogram.contains(&rest)
                })
            });
            assert!(described, "{sample}");
        }
        assert!(!classic.contains("# EOF") && !classic.contains("# UNIT"));
    }
}
