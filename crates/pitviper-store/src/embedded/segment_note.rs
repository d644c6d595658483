//! What a segment says of itself in the footer of its file: what the manifest knows of it and its rows do
//! not tell. With it the manifest can be made anew from the files alone.
//!
//! Above all it says which writes the segment holds. A write's rows of one table lie together through all
//! merges, so the writes of the segments that count never overlap, and a segment whose writes another has
//! as well was merged into it.

use parquet::file::metadata::{KeyValue, ParquetMetaData};

/// The key in the footer.
const KEY: &str = "pitviper.segment";
/// The form of the text.
const VERSION: &str = "1";

/// Numbers of writes, as ranges of which both ends are inside, in order and apart from each other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Writes(Vec<(u64, u64)>);

impl Writes {
    /// Of one flush: all from the first to the last.
    pub(super) fn of_flush(first: u64, last: u64) -> Self {
        Self(vec![(first, last)])
    }

    /// All of these.
    pub(super) fn union(all: impl IntoIterator<Item = Self>) -> Self {
        let mut ranges: Vec<(u64, u64)> = all.into_iter().flat_map(|writes| writes.0).collect();
        ranges.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::new();
        for (first, last) in ranges {
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => joined.push((first, last)),
            }
        }
        Self(joined)
    }

    /// Whether none of these is one of the others.
    pub(super) fn is_apart_from(&self, other: &Self) -> bool {
        self.0.iter().all(|own| other.0.iter().all(|theirs| own.1 < theirs.0 || theirs.1 < own.0))
    }

    /// Whether all of these are among the others.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.0.iter().all(|own| other.0.iter().any(|theirs| theirs.0 <= own.0 && own.1 <= theirs.1))
    }
}

/// What a segment says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    /// The writes it holds; `None` when it was merged from segments that did not say so.
    pub(super) writes: Option<Writes>,
    /// As in [`SegmentRow`](super::manifest::SegmentRow).
    pub(super) bucket_ns: i64,
    pub(super) written_ns: i64,
    pub(super) thinned: bool,
}

impl Note {
    /// As an entry of the footer of the file with this name.
    pub(super) fn entry(&self, file: &str) -> KeyValue {
        let writes = self.writes.as_ref().map_or_else(
            || "?".to_owned(),
            |writes| writes.0.iter().map(|(first, last)| format!("{first}-{last}")).collect::<Vec<_>>().join(","),
        );
        let text = format!("{VERSION} {} {} {} {writes}", self.bucket_ns, self.written_ns, u8::from(self.thinned));
        KeyValue::new(KEY.to_owned(), format!("{text} {:08x}", checksum(file, &text)))
    }

    /// Reads it from the footer of the file with this name; `None` when there is none that is whole and
    /// this file's own.
    pub(super) fn read(metadata: &ParquetMetaData, file: &str) -> Option<Self> {
        let entries = metadata.file_metadata().key_value_metadata()?;
        let (text, sum) = entries.iter().find(|entry| entry.key == KEY)?.value.as_deref()?.rsplit_once(' ')?;
        if u32::from_str_radix(sum, 16).ok()? != checksum(file, text) {
            return None;
        }
        let [version, bucket_ns, written_ns, thinned, writes] = text.split(' ').collect::<Vec<_>>().try_into().ok()?;
        if version != VERSION {
            return None;
        }
        let range = |range: &str| {
            let (first, last) = range.split_once('-')?;
            Some((first.parse().ok()?, last.parse().ok()?))
        };
        let writes = match writes {
            "?" => None,
            ranges => Some(Writes(ranges.split(',').map(range).collect::<Option<Vec<_>>>()?)),
        };
        Some(Self {
            writes,
            bucket_ns: bucket_ns.parse().ok()?,
            written_ns: written_ns.parse().ok()?,
            thinned: thinned == "1",
        })
    }
}

/// Over the name as well: the copy of a file under another name is no segment of its own.
fn checksum(file: &str, text: &str) -> u32 {
    crc32fast::hash(format!("{file} {text}").as_bytes())
}

/// What the name of a segment's file says: the table, the first and the last write, and the level.
pub(super) fn parts_of_name(file: &str) -> Option<(&str, u64, u64, u32)> {
    let mut parts = file.strip_suffix(".parquet")?.rsplitn(4, '-');
    let (level, last, first) = (parts.next()?, parts.next()?, parts.next()?);
    Some((parts.next()?, first.parse().ok()?, last.parse().ok()?, level.parse().ok()?))
}

/// The name of a segment's file.
pub(super) fn name_of(table: &str, (first, last): (u64, u64), level: u32) -> String {
    format!("{table}-{first:020}-{last:020}-{level}.parquet")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_joined_and_compared() {
        let writes = Writes::union([Writes::of_flush(7, 9), Writes::of_flush(1, 4), Writes::of_flush(5, 5)]);
        assert_eq!(writes, Writes(vec![(1, 5), (7, 9)]));
        assert!(Writes::of_flush(2, 5).is_within(&writes) && writes.is_within(&writes));
        assert!(!Writes::of_flush(5, 7).is_within(&writes) && !Writes::of_flush(5, 7).is_apart_from(&writes));
        assert!(Writes::of_flush(6, 6).is_apart_from(&writes) && Writes::of_flush(10, 99).is_apart_from(&writes));
    }

    #[test]
    fn names_are_taken_apart_as_they_were_put_together() {
        let name = name_of("span_metrics", (3, 14), 2);
        assert_eq!(parts_of_name(&name), Some(("span_metrics", 3, 14, 2)));
        for other in ["spans-unknown.parquet", "spans-1-2-3.traces", "1-2-3.parquet", "spans-1-x-3.parquet"] {
            assert_eq!(parts_of_name(other), None, "{other}");
        }
    }
}
