//! Suggests a name for a misspelled one. Pure.

/// Minimum similarity for a suggestion.
const SIMILAR: f64 = 0.75;

/// Returns the most similar name, if one is similar enough.
pub(super) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let names = names.into_iter();
    let names = names.map(|name| (strsim::jaro_winkler(word, name), name));
    let similar = names.filter(|(similarity, _)| *similarity > SIMILAR);
    let nearest = similar.max_by(|(a, _), (b, _)| a.total_cmp(b));
    nearest.map(|(_, name)| name)
}

/// Returns a question that suggests a name, to append to the misspelled one.
pub(super) fn question<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let meant = nearest(word, names);
    meant.map_or_else(String::new, |meant| format!(" (do you mean '{meant}'?)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_that_is_alike_is_proposed() {
        let names = ["acme", "globex", "acme-tr"];
        assert_eq!(nearest("acmee", names), Some("acme"));
        assert_eq!(nearest("globx", names), Some("globex"));
        assert_eq!(nearest("zzz", names), None);
        assert_eq!(question("zzz", names), "");
    }
}
