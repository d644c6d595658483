//! Profiles in both forms that are read, changed where they mean something: whatever comes of it is read or refused
//! within the room there is, and nothing panics.

#[path = "../../pitviper-wire/tests/support/protobuf.rs"]
mod protobuf;
#[path = "../../pitviper-wire/tests/support/tree.rs"]
mod tree;

use pitviper_model::Frame;
use pitviper_pprof::{
    Label, LabelValue, Profile, Sample, SampleType, read_otlp_within, read_pprof_within, write_pprof,
};
use proptest::prelude::*;

use self::protobuf::{read_protobuf, write_protobuf};
use self::tree::{Tree, changes};

/// Room for what is made of a message.
const ROOM: usize = 16 * 1024 * 1024;

fn pprof() -> Vec<u8> {
    let frame = |function: &str| Frame {
        function: function.to_owned(),
        file: "/srv/shop.py".to_owned(),
        line: 7,
        in_app: true,
        ..Frame::default()
    };
    let text =
        |name: &str, text: &str| Label { name: name.to_owned().into(), value: LabelValue::Text(text.to_owned()) };
    let number = |name: &str, number: i64| Label { name: name.to_owned().into(), value: LabelValue::Number(number) };
    let sample = |stack: u32| Sample {
        stack,
        values: vec![5, 6],
        labels: vec![text("thread", "worker"), number("span id", -1), number("end_timestamp_ns", 9)],
    };
    let kind = |name: &str| SampleType { name: name.to_owned(), unit: "nanoseconds".to_owned() };
    write_pprof(&Profile {
        time_unix_nano: 1_795_224_360_000_000_000,
        duration_ns: 1_000,
        types: vec![kind("cpu"), kind("wall")],
        frames: vec![frame("parse"), frame("view")],
        stacks: vec![vec![0, 1], vec![1]],
        samples: vec![sample(0), sample(1)],
    })
}

fn message(fields: Vec<(u64, Tree)>) -> Tree {
    let key = |number: u64, value: &Tree| match value {
        Tree::Number(_) => number << 3,
        Tree::Float(_) => number << 3 | 1,
        _ => number << 3 | 2,
    };
    Tree::Map(fields.into_iter().map(|(number, value)| (Tree::Number(key(number, &value)), value)).collect())
}

fn otlp() -> Tree {
    let number = Tree::Number;
    let text = |text: &str| Tree::Text(text.as_bytes().to_vec());
    let empty = || message(Vec::new());
    let packed = |numbers: &[u64]| Tree::List(numbers.iter().copied().map(Tree::Number).collect());
    let strings = ["", "cpu", "nanoseconds", "parse", "/srv/shop.py", "thread.name", "libc.so", "pitviper.code.owner"];
    let line = message(vec![(1, number(1)), (2, number(7))]);
    let attribute = |key: u64, value: &str| message(vec![(1, number(key)), (2, message(vec![(1, text(value))]))]);
    let mut dictionary = vec![
        (1, empty()),
        (1, message(vec![(4, number(6)), (5, packed(&[2]))])),
        (2, empty()),
        (2, message(vec![(1, number(1)), (3, line)])),
        (2, message(vec![(2, number(0x1234))])),
        (3, empty()),
        (3, message(vec![(1, number(3)), (3, number(4))])),
        (4, empty()),
        (4, message(vec![(1, Tree::Text(vec![0xab; 16])), (2, Tree::Text(vec![0xcd; 8]))])),
        (6, empty()),
        (6, attribute(5, "worker")),
        (6, attribute(7, "app")),
        (7, empty()),
        (7, message(vec![(1, packed(&[1, 2]))])),
    ];
    dictionary.extend(strings.map(|string| (5, text(string))));
    let times = Tree::Text([9_u64.to_le_bytes(), 10_u64.to_le_bytes()].concat());
    let sample = message(vec![(1, number(1)), (2, packed(&[1])), (3, number(1)), (4, packed(&[5, 6])), (5, times)]);
    let profile = message(vec![(1, message(vec![(1, number(1)), (2, number(2))])), (2, sample), (4, number(500))]);
    let service = message(vec![(1, text("service.name")), (2, message(vec![(1, text("shop"))]))]);
    let resource = message(vec![(1, message(vec![(1, service)])), (2, message(vec![(2, profile)]))]);
    message(vec![(1, resource), (2, message(dictionary))])
}

fn written(tree: &Tree) -> Vec<u8> {
    let mut out = Vec::new();
    write_protobuf(tree, &mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_profiles_of_pprof(changes in changes()) {
        let bytes = written(&read_protobuf(&pprof()).unwrap().changed(&changes));
        let mut granted = 0;
        let read = read_pprof_within(&bytes, ROOM, |step| {
            granted += step;
            true
        });
        prop_assert!(granted <= ROOM);
        if let Ok(profile) = read {
            // What was read can be written, and says the same then.
            let stacked = profile.stacked().count();
            prop_assert_eq!(stacked, profile.samples.len());
            prop_assert!(profile.stacks.iter().flatten().all(|frame| (*frame as usize) < profile.frames.len()));
            prop_assert!(read_pprof_within(&write_pprof(&profile), ROOM, |_| true).is_ok());
        }
    }

    #[test]
    fn hostile_profiles_of_otlp(changes in changes()) {
        let bytes = written(&otlp().changed(&changes));
        let mut granted = 0;
        let read = read_otlp_within(&bytes, ROOM, |step| {
            granted += step;
            true
        });
        prop_assert!(granted <= ROOM);
        for of in read.unwrap_or_default() {
            prop_assert_eq!(of.profile.stacked().count(), of.profile.samples.len());
        }
    }

    #[test]
    fn hostile_bytes_of_otlp(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_otlp_within(&bytes, ROOM, |_| true);
    }
}

#[test]
fn the_messages_are_messages_before_they_are_changed() {
    assert_eq!(written(&read_protobuf(&pprof()).unwrap()), pprof());
    let read = read_otlp_within(&written(&otlp()), ROOM, |_| true).unwrap();
    assert_eq!((read.len(), read[0].profile.samples.len(), read[0].profile.frames.len()), (1, 2, 2));
    assert_eq!(read[0].profile.samples[0].labels.len(), 4, "{read:?}");
}
