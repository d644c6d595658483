//! The examples of the guide to searching are in the language, and the guide's limits are the real ones.

use pitviper_query::search::{MAX_PATTERNS, MAX_PIPES, MAX_QUERY_BYTES, MAX_SPAN_SETS, MAX_TERMS, Query};

const GUIDE: &str = include_str!("../../../docs/guides/search.md");

#[test]
fn every_example_is_a_query() {
    let mut examples = 0;
    let mut in_example = false;
    for (number, line) in (1..).zip(GUIDE.lines()) {
        if let Some(language) = line.strip_prefix("```") {
            assert!(in_example || language == "query", "line {number}: an example that is not tested");
            in_example = !in_example;
        } else if in_example {
            examples += 1;
            let query = Query::parse(line).unwrap_or_else(|errors| panic!("line {number}: {line}: {errors}"));
            assert_eq!(query.warnings(), Vec::<String>::new(), "line {number}: {line}");
            assert_eq!(Query::parse(&query.to_string()).unwrap(), query, "line {number}: {line}");
        }
    }
    assert!(!in_example && examples >= 35, "{examples}");
}

#[test]
fn the_limits_are_those_of_the_parser() {
    let limits = format!(
        "at most {MAX_QUERY_BYTES} bytes, {MAX_TERMS} terms, {MAX_PATTERNS} patterns, {MAX_SPAN_SETS} conditions in braces and {MAX_PIPES} functions"
    );
    assert!(GUIDE.contains(&limits), "{limits}");
}
