//! String constants with documentation that is available at run time.

/// Declares string constants, and a table with the value and the documentation of each.
///
/// The API reference is generated from the tables, so it always has every constant. The documentation becomes
/// a cell of a Markdown table, so it can't contain headings, lists or links.
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
