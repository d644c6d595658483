//! Completion at every place of any text: an answer, a range that lies in the text, and carets that lie in
//! what is offered.

use pitviper_model::{Resource, Scope, Span, SpanId, SpanKind, TraceId};
use pitviper_query::time::TimeText;
use pitviper_query::views::complete::{FacetCache, Request, complete};
use pitviper_store::Store;
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_store::schema::{SpanMetricsBuilder, SpansBuilder, WriteBatch};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const START_US: i64 = 1_795_224_000_000_000;

const PIECES: [&str; 40] = [
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ":",
    "\"",
    "@",
    "\\",
    "/",
    "*",
    "-",
    " ",
    " ",
    "service:",
    "name:",
    "duration:>",
    "is:",
    "kind:",
    "k",
    "k:",
    "n:[1 TO ",
    "größe:",
    "\u{1F40D}",
    "5ms",
    " OR ",
    " AND ",
    "NOT ",
    "|",
    "| count(",
    ") > 5",
    "| sum(duration",
    ", ",
    ">>",
    " ~ ",
    "&&",
    "||",
    "5xx",
    "a",
];

fn span(number: u8) -> Span {
    let start = (START_US * 1_000).cast_unsigned() + u64::from(number);
    let mut span = Span {
        trace_id: TraceId([number; 16]),
        span_id: SpanId([number; 8]),
        name: format!("GET /{number}"),
        kind: SpanKind::ALL[usize::from(number) % 5],
        start_time_unix_nano: start,
        end_time_unix_nano: start + 1_000,
        ..Span::default()
    };
    span.attributes.set("k", format!("a \"{number}\" {{b}}"));
    span.attributes.set("n", i64::from(number));
    span.attributes.set("größe", "Über/x/");
    span
}

async fn check(store: &dyn Store, cache: &FacetCache, text: &str) -> Result<(), TestCaseError> {
    let units: Vec<u16> = text.encode_utf16().collect();
    for cursor in 0..=units.len() + 1 {
        let time = |after_us: i64| Some(TimeText::Micros(START_US + after_us));
        let request =
            Request { query: text.to_owned(), cursor: Some(cursor), from: time(0), to: time(1_000_000), limit: None };
        let answer = complete(store, cache, &request, START_US).await;
        let Ok(answer) = answer else { return Err(TestCaseError::fail(format!("{cursor} of {text}: {answer:?}"))) };
        let (from, to) = answer.data.replace;
        prop_assert!(from <= to && to <= units.len(), "{from}..{to} at {cursor} of {text}");
        let (head, tail) = (String::from_utf16(&units[..from]), String::from_utf16(&units[to..]));
        prop_assert!(head.is_ok() && tail.is_ok(), "{from}..{to} is within a character of {text}");
        for item in answer.data.items {
            let caret = item.caret.unwrap_or_default();
            prop_assert!(caret <= item.insert.encode_utf16().count(), "{item:?} at {cursor} of {text}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_place_of_any_text_can_be_completed(texts in vec(vec(select(PIECES.to_vec()), 0..14), 1..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).await.unwrap();
            let mut rows = SpansBuilder::with_capacity(5);
            (1..6).for_each(|number| rows.append(&Resource::default(), &Scope::default(), &span(number)));
            store.append(WriteBatch::new(rows, SpanMetricsBuilder::new())).await.unwrap();
            let cache = FacetCache::default();
            for text in texts {
                check(&*store, &cache, &text.concat()).await?;
            }
            Ok::<(), TestCaseError>(())
        })?;
    }
}
