//! The name that was probably meant. Pure.

/// Closeness from which another name is taken for a slip of the pen.
const SIMILAR: f64 = 0.75;

/// Of the names the one that is most like the word, if one is like it.
pub(super) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let names = names.into_iter();
    let names = names.map(|name| (strsim::jaro_winkler(word, name), name));
    let similar = names.filter(|(similarity, _)| *similarity > SIMILAR);
    let nearest = similar.max_by(|(a, _), (b, _)| a.total_cmp(b));
    nearest.map(|(_, name)| name)
}

/// A question for the one that was probably meant, to be put behind a name.
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
