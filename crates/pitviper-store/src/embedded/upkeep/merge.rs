//! Merges segments that are each in their table's order into one that is.
//!
//! Memory is bounded by one batch of each input and one of the output, whatever the sizes.

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};

/// Rows handed on at a time.
const OUTPUT_ROWS: usize = 8_192;

/// One sorted input.
struct Input<R> {
    reader: R,
    /// Which of the held batches it is at.
    batch: usize,
    keys: Rows,
    row: usize,
}

/// The merge of several sorted inputs, as batches.
pub(super) struct Merge<R> {
    order: &'static [&'static str],
    inputs: Vec<Input<R>>,
    /// Batches that rows of the next output lie in.
    held: Vec<RecordBatch>,
    chosen: Vec<(usize, usize)>,
    converter: RowConverter,
}

impl<R: Iterator<Item = Result<RecordBatch, ArrowError>>> Merge<R> {
    pub(super) fn new(readers: Vec<R>, schema: &SchemaRef, order: &'static [&'static str]) -> Result<Self, ArrowError> {
        let fields = order
            .iter()
            .map(|name| Ok(SortField::new(schema.field_with_name(name)?.data_type().clone())))
            .collect::<Result<_, ArrowError>>()?;
        let mut merge = Self {
            order,
            inputs: Vec::new(),
            held: Vec::new(),
            chosen: Vec::with_capacity(OUTPUT_ROWS),
            converter: RowConverter::new(fields)?,
        };
        for mut reader in readers {
            if let Some((batch, keys)) = merge.load(&mut reader)? {
                merge.inputs.push(Input { reader, batch, keys, row: 0 });
            }
        }
        Ok(merge)
    }

    /// Holds the reader's next batch that has rows.
    fn load(&mut self, reader: &mut R) -> Result<Option<(usize, Rows)>, ArrowError> {
        for batch in reader {
            let batch = batch?;
            if batch.num_rows() > 0 {
                let columns = self
                    .order
                    .iter()
                    .map(|name| batch.schema_ref().index_of(name).map(|index| batch.column(index).clone()))
                    .collect::<Result<Vec<_>, _>>()?;
                let keys = self.converter.convert_columns(&columns)?;
                self.held.push(batch);
                return Ok(Some((self.held.len() - 1, keys)));
            }
        }
        Ok(None)
    }

    /// The next rows; `None` when all inputs are at their end.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        while self.chosen.len() < OUTPUT_ROWS && !self.inputs.is_empty() {
            self.choose_run()?;
        }
        if self.chosen.is_empty() {
            return Ok(None);
        }
        let held: Vec<&RecordBatch> = self.held.iter().collect();
        let output = interleave_record_batch(&held, &self.chosen)?;
        self.chosen.clear();
        // Only what inputs still stand in is held on to.
        let mut kept = Vec::with_capacity(self.inputs.len());
        for input in &mut self.inputs {
            kept.push(self.held[input.batch].clone());
            input.batch = kept.len() - 1;
        }
        self.held = kept;
        Ok(Some(output))
    }

    /// Chooses from the input that comes first all rows that come before the next input's. Inputs
    /// follow each other in time, so these runs are long.
    fn choose_run(&mut self) -> Result<(), ArrowError> {
        let key = |at: usize| {
            let input = &self.inputs[at];
            (input.keys.row(input.row), at)
        };
        let mut order = 0..self.inputs.len();
        let Some(mut first) = order.next() else { return Ok(()) };
        let mut second: Option<usize> = None;
        for at in order {
            if key(at) < key(first) {
                second = Some(first);
                first = at;
            } else if second.is_none_or(|second| key(at) < key(second)) {
                second = Some(at);
            }
        }
        let input = &self.inputs[first];
        let room = OUTPUT_ROWS - self.chosen.len();
        let last = input.keys.num_rows().min(input.row + room);
        let end = match second.map(key) {
            None => last,
            // Equal rows come from the earlier input first, so that the result does not depend on chance.
            Some(limit) => {
                let mut end = input.row + 1;
                while end < last && (input.keys.row(end), first) < limit {
                    end += 1;
                }
                end
            }
        };
        let (batch, begin) = (input.batch, input.row);
        self.chosen.extend((begin..end).map(|row| (batch, row)));
        self.inputs[first].row = end;
        if end == self.inputs[first].keys.num_rows() {
            let mut input = self.inputs.remove(first);
            if let Some((batch, keys)) = self.load(&mut input.reader)? {
                (input.batch, input.keys, input.row) = (batch, keys, 0);
                self.inputs.insert(first, input);
            }
        }
        Ok(())
    }
}
