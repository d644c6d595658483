//! DogStatsD: metrics as lines of text.
//!
//! Source: Datadog's "DogStatsD Datagram Format", protocol 1.0 to 1.4: several values to a line, sample
//! rates, tags, containers, timestamps; events and service checks.

/// Longest name, in bytes.
const MAX_NAME_BYTES: usize = 1_024;
/// Most tags of a line.
const MAX_TAGS: usize = 256;

/// What a line measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StatKind {
    /// `c`: adds up.
    Counter,
    /// `g`: the last value counts.
    Gauge,
    /// `h`, `d` and `ms`: a distribution.
    Distribution,
    /// `s`: how many different values there are.
    Set,
}

/// A line of measured values.
#[derive(Debug, Clone, PartialEq)]
pub struct Stat<'a> {
    /// The metric's name.
    pub name: &'a str,
    /// What it measures.
    pub kind: StatKind,
    /// Whether the values are milliseconds.
    pub is_time: bool,
    /// The values as text, `:` between them.
    pub values: &'a str,
    /// The share of values that was sent, above 0 to 1.
    pub rate: f64,
    /// `key:value`, or a key alone.
    pub tags: Vec<&'a str>,
    /// How many tags are left out because there are too many.
    pub tags_dropped: usize,
    /// The container it comes from; empty when not said.
    pub container: &'a str,
    /// When, in seconds since the Unix epoch; zero when not said.
    pub time: u64,
}

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub enum Line<'a> {
    /// Measured values.
    Stat(Stat<'a>),
    /// Something that happened: its title.
    Event(&'a str),
    /// Whether something is well: its name.
    ServiceCheck(&'a str),
}

/// The lines of a packet; `None` for one that is not understood. Empty lines are no lines.
pub fn lines(packet: &[u8]) -> impl Iterator<Item = Option<Line<'_>>> {
    packet.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(|line| {
        let line = std::str::from_utf8(line).ok()?;
        if line.starts_with("_e{") {
            event(line)
        } else if let Some(rest) = line.strip_prefix("_sc|") {
            rest.split('|').next().filter(|name| !name.is_empty()).map(Line::ServiceCheck)
        } else {
            stat(line)
        }
    })
}

fn event(line: &str) -> Option<Line<'_>> {
    let (lengths, rest) = line.strip_prefix("_e{")?.split_once("}:")?;
    let (title, _) = lengths.split_once(',')?;
    rest.get(..title.parse().ok()?).map(Line::Event)
}

fn stat(line: &str) -> Option<Line<'_>> {
    let (name, rest) = line.split_once(':')?;
    let mut parts = rest.split('|');
    let (values, letter) = (parts.next()?, parts.next()?);
    if name.is_empty() || name.len() > MAX_NAME_BYTES || values.is_empty() {
        return None;
    }
    let kind = match letter {
        "c" => StatKind::Counter,
        "g" => StatKind::Gauge,
        "h" | "d" | "ms" => StatKind::Distribution,
        "s" => StatKind::Set,
        _ => return None,
    };
    let mut stat = Stat {
        name,
        kind,
        is_time: letter == "ms",
        values,
        rate: 1.0,
        tags: Vec::new(),
        tags_dropped: 0,
        container: "",
        time: 0,
    };
    for part in parts {
        if let Some(rate) = part.strip_prefix('@') {
            stat.rate = rate.parse().ok().filter(|rate| *rate > 0.0 && *rate <= 1.0)?;
        } else if let Some(tags) = part.strip_prefix('#') {
            let mut tags = tags.split(',').filter(|tag| !tag.is_empty());
            stat.tags = tags.by_ref().take(MAX_TAGS).collect();
            stat.tags_dropped = tags.count();
        } else if let Some(container) = part.strip_prefix("c:") {
            stat.container = container.strip_prefix("ci-").unwrap_or(container);
        } else if let Some(time) = part.strip_prefix('T') {
            stat.time = time.parse().ok()?;
        }
        // Anything else is of a later protocol, and says nothing of the values.
    }
    // A set's values are names; all others are numbers.
    let is_sound = kind == StatKind::Set || stat.numbers().all(|number| number.is_some());
    is_sound.then_some(Line::Stat(stat))
}

impl<'a> Stat<'a> {
    /// The values as numbers; `None` for one that is none.
    pub fn numbers(&self) -> impl DoubleEndedIterator<Item = Option<f64>> + use<'a> {
        self.values.split(':').map(|value| value.parse::<f64>().ok().filter(|number| number.is_finite()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(line: &str) -> Option<Stat<'_>> {
        match lines(line.as_bytes()).next()?? {
            Line::Stat(stat) => Some(stat),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_part_of_a_line_is_read() {
        let line = "shop.took:1.5:2:3e2|ms|@0.5|#env:prod,service:shop,slow|c:ci-7f|T1795224367|e:later";
        let expected = Stat {
            name: "shop.took",
            kind: StatKind::Distribution,
            is_time: true,
            values: "1.5:2:3e2",
            rate: 0.5,
            tags: vec!["env:prod", "service:shop", "slow"],
            tags_dropped: 0,
            container: "7f",
            time: 1_795_224_367,
        };
        assert_eq!(one(line), Some(expected));
        assert_eq!(one(line).unwrap().numbers().collect::<Vec<_>>(), [Some(1.5), Some(2.0), Some(300.0)]);
        let kinds = ["c", "g", "h", "d", "s"].map(|letter| one(&format!("a:1|{letter}")).unwrap().kind);
        use StatKind::{Counter, Distribution, Gauge, Set};
        assert_eq!(kinds, [Counter, Gauge, Distribution, Distribution, Set]);
        assert_eq!(one("visitors:ada:bob|s").unwrap().values, "ada:bob");
    }

    #[test]
    fn what_is_not_a_line_is_told() {
        for line in [
            "a",
            "a:1",
            ":1|c",
            "a:|c",
            "a:1|x",
            "a:x|c",
            "a:1|c|@0",
            "a:1|c|@2",
            "a:1|c|@x",
            "a:1:x|d",
            "a:nan|g",
            "a:inf|g",
            "a:1|c|Tx",
            "_e{",
            "_e{9,1}:a|b",
            "_sc|",
        ] {
            assert_eq!(lines(line.as_bytes()).collect::<Vec<_>>(), [None], "{line}");
        }
        assert_eq!(lines(b"\xff:1|c").collect::<Vec<_>>(), [None]);
        assert_eq!(lines(b"").count(), 0);
        assert_eq!(lines(b"a:1|c\n\nb:2|g\n").count(), 2);
        assert_eq!(lines(b"_e{4,2}:shop|on|#a:b").next(), Some(Some(Line::Event("shop"))));
        assert_eq!(lines(b"_sc|db.up|0|#a:b").next(), Some(Some(Line::ServiceCheck("db.up"))));
    }

    #[test]
    fn tags_that_are_too_many_are_counted() {
        let line = format!("a:1|c|#{}", vec!["x:y"; MAX_TAGS + 3].join(",,"));
        let stat = one(&line).unwrap();
        assert_eq!((stat.tags.len(), stat.tags_dropped), (MAX_TAGS, 3));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(packet in proptest::collection::vec(any::<u8>(), 0..200)) {
            for line in lines(&packet).flatten() {
                if let Line::Stat(stat) = line {
                    prop_assert!(stat.rate > 0.0 && stat.rate <= 1.0);
                }
            }
        }

        #[test]
        fn any_text_like_a_line_is_read_or_refused(line in "[a-z_]{0,3}[:|{]{0,2}[-0-9.,:e}]{0,6}[|@#cghdmsT:]{0,12}") {
            lines(line.as_bytes()).for_each(drop);
        }
    }
}
