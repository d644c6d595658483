//! Log records.

use pitviper_model::{LogRecord, RejectReason, ResourceLogs, Value};

use super::{MAX_ITEM_BYTES, is_storable};

/// Takes out the records that cannot be kept, and notes a reason for each. A record that says no time
/// was seen `now_unix_nano`.
pub(crate) fn fit_records(
    mut batch: Vec<ResourceLogs>,
    now_unix_nano: u64,
    rejections: &mut Vec<RejectReason>,
) -> Vec<ResourceLogs> {
    for scope_logs in batch.iter_mut().flat_map(|resource_logs| &mut resource_logs.scopes) {
        scope_logs.records.retain_mut(|record| {
            if record.best_time_unix_nano() == 0 {
                record.observed_time_unix_nano = now_unix_nano;
            }
            let fault = fault(record);
            rejections.extend(fault);
            fault.is_none()
        });
    }
    batch
}

fn fault(record: &LogRecord) -> Option<RejectReason> {
    if !is_storable(record.best_time_unix_nano()) {
        Some(RejectReason::InvalidTime)
    } else if text_bytes(record) > MAX_ITEM_BYTES {
        Some(RejectReason::TooLarge)
    } else {
        None
    }
}

fn text_bytes(record: &LogRecord) -> usize {
    let body = record.body.as_ref().map_or(0, Value::size_bytes);
    record.severity_text.len() + record.event_name.len() + body + record.attributes.size_bytes()
}

#[cfg(test)]
mod tests {
    use pitviper_model::{Attributes, ScopeLogs};

    use super::*;

    #[test]
    fn names_each_fault_and_keeps_the_rest() {
        let text = || "x".repeat(MAX_ITEM_BYTES + 1);
        let good = LogRecord { time_unix_nano: 5, ..LogRecord::default() };
        let seen = LogRecord { observed_time_unix_nano: 6, ..LogRecord::default() };
        let attributes: Attributes = [("a", text())].into_iter().collect();
        let records = vec![
            good.clone(),
            LogRecord { body: Some(text().into()), ..good.clone() },
            LogRecord { attributes, ..good.clone() },
            LogRecord { event_name: text(), ..good.clone() },
            LogRecord { severity_text: text(), ..good.clone() },
            LogRecord { time_unix_nano: u64::MAX, ..good.clone() },
            LogRecord { observed_time_unix_nano: u64::MAX, ..LogRecord::default() },
            seen.clone(),
            LogRecord::default(),
        ];
        let scopes = vec![ScopeLogs { records, ..ScopeLogs::default() }];
        let mut rejections = Vec::new();
        let kept = fit_records(vec![ResourceLogs { scopes, ..ResourceLogs::default() }], 7, &mut rejections);
        let stamped = LogRecord { observed_time_unix_nano: 7, ..LogRecord::default() };
        assert_eq!(kept[0].scopes[0].records, [good, seen, stamped]);
        use RejectReason::{InvalidTime, TooLarge};
        assert_eq!(rejections, [TooLarge, TooLarge, TooLarge, TooLarge, InvalidTime, InvalidTime]);
    }
}
