//! Constants whose documentation the program can read.

/// Declares string constants, and a table with the value and the documentation of each.
///
/// Both come from one declaration, so that the API reference, which is rendered from the tables, has
/// every constant. The documentation becomes a cell of a Markdown table: no headings, lists or links.
macro_rules! documented {
    (
        $(#[doc = $table_doc:literal])+
        $table_visibility:vis const $table:ident;

        $(
            $(#[doc = $doc:literal])+
            $visibility:vis const $name:ident: &str = $value:literal;
        )+
    ) => {
        $(
            $(#[doc = $doc])+
            $visibility const $name: &str = $value;
        )+

        $(#[doc = $table_doc])+
        $table_visibility const $table: &[(&str, &str)] = &[
            // Each line of a doc comment begins with the space that follows its slashes.
            $(($name, concat!($($doc),+).trim_ascii_start())),+
        ];
    };
}
pub(super) use documented;

#[cfg(test)]
mod tests {
    documented! {
        /// Both.
        const ALL;

        /// One line.
        const ONE: &str = "one";
        /// Two lines,
        /// one sentence.
        const TWO: &str = "two";
    }

    #[test]
    fn the_table_has_the_value_and_the_documentation_of_each_constant() {
        assert_eq!(ALL, [(ONE, "One line."), (TWO, "Two lines, one sentence.")]);
        assert_eq!((ONE, TWO), ("one", "two"));
    }
}
