//! The `resources` table: which process sent spans through which library, by the hour. It is filled
//! from the spans of each flush.

use std::sync::{Arc, LazyLock};

use arrow::array::AsArray;
use arrow::datatypes::{Field, Int32Type, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

use super::columns::{TextDictionary, dictionary_type};
use super::seen::{HOUR_NS, SeenKeys, seen_fields};

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let texts = ["service", "resource", "scope"].map(|name| Field::new(name, dictionary_type(), false));
    Arc::new(Schema::new(seen_fields().into_iter().chain(texts).collect::<Vec<_>>()))
});

/// The columns of `resources`.
pub(crate) fn resources_schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// What the spans say of resources. The batch has all columns of spans.
pub(crate) fn resources_of_spans(spans: &RecordBatch) -> RecordBatch {
    let column = |name: &str| spans.column_by_name(name).expect("the schema has the column");
    let dictionary = |name: &str| column(name).as_dictionary::<Int32Type>();
    let parts = ["service", "resource", "scope"].map(|name| {
        let dictionary = dictionary(name);
        (dictionary.keys().values(), dictionary.values().as_string::<i32>())
    });
    // A concatenated batch has each text once in its dictionaries; were it not so, the fold that
    // every flush ends with would put the rows together.
    let mut seen = SeenKeys::new(HOUR_NS);
    let mut texts: [TextDictionary; 3] = std::array::from_fn(|_| TextDictionary::with_capacity(0));
    for (row, &start) in column("start_ns").as_primitive::<Int64Type>().values().iter().enumerate() {
        let keys = [parts[1].0[row], parts[2].0[row]];
        if seen.see(keys, start) {
            for (texts, (keys, values)) in texts.iter_mut().zip(&parts) {
                texts.append(values.value(keys[row] as usize));
            }
        }
    }
    let columns = seen.finish().into_iter().chain(texts.map(TextDictionary::finish)).collect();
    RecordBatch::try_new(resources_schema(), columns).expect("every column gets one value a row, of the schema's type")
}
