//! Reading what others wrote, and what nobody would.

use std::io::Read as _;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A message of fields with bytes.
fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, bytes) in fields {
        out.push(number << 3 | 2);
        out.extend(varint(bytes.len() as u64));
        out.extend_from_slice(bytes);
    }
    out
}

/// A message of fields with numbers.
fn numbers_of(fields: &[(u8, u64)]) -> Vec<u8> {
    fields.iter().flat_map(|(number, value)| [vec![number << 3], varint(*value)].concat()).collect()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn all(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

/// Strings 1 `cpu`, 2 `nanoseconds`, 3 `main`, 4 `/srv/app.py`, 5 `thread`, 6 `worker`.
fn strings() -> Vec<u8> {
    message(&[
        (6, b""),
        (6, b"cpu"),
        (6, b"nanoseconds"),
        (6, b"main"),
        (6, b"/srv/app.py"),
        (6, b"thread"),
        (6, b"worker"),
    ])
}

fn kind() -> Vec<u8> {
    message(&[(1, &numbers_of(&[(1, 1), (2, 2)]))])
}

fn function() -> Vec<u8> {
    message(&[(5, &numbers_of(&[(1, 7), (2, 3), (4, 4)]))])
}

fn location(id: u64, line: u64) -> Vec<u8> {
    message(&[(4, &all(&[numbers_of(&[(1, id)]), message(&[(4, &numbers_of(&[(1, 7), (2, line)]))])]))])
}

#[test]
fn a_profile_is_read_in_any_order() {
    let label = message(&[(3, &numbers_of(&[(1, 5), (2, 6)]))]);
    let packed = message(&[(2, &all(&[message(&[(1, &all(&[varint(1), varint(2)])), (2, &varint(9))]), label]))]);
    let single = message(&[(2, &numbers_of(&[(1, 1), (1, 2), (2, u64::MAX)]))]);
    let times = numbers_of(&[(9, 1_000), (10, 50)]);
    let parts = [kind(), packed, single, location(1, 10), location(2, 20), function(), strings(), times];
    let expected = Profile {
        time_unix_nano: 1_000,
        duration_ns: 50,
        types: vec![SampleType { name: "cpu".to_owned(), unit: "nanoseconds".to_owned() }],
        frames: [10, 20]
            .map(|line| Frame {
                function: "main".to_owned(),
                file: "/srv/app.py".to_owned(),
                line,
                in_app: true,
                library: String::new(),
            })
            .to_vec(),
        stacks: vec![vec![0, 1]],
        samples: vec![
            Sample {
                stack: 0,
                values: vec![9],
                labels: vec![Label { name: "thread".into(), value: LabelValue::Text("worker".to_owned()) }],
            },
            Sample { stack: 0, values: vec![-1], labels: vec![] },
        ],
    };
    assert_eq!(read_pprof(&all(&parts)).unwrap(), expected);
    let mut backwards = parts;
    backwards.reverse();
    let read = read_pprof(&all(&backwards)).unwrap();
    assert_eq!((read.types, read.samples.len(), read.stacks.len()), (expected.types, 2, 1));
}

#[test]
fn what_is_damaged_is_refused_as_a_whole() {
    let sample = |content: &[u8]| message(&[(2, content)]);
    let begin = || all(&[strings(), kind(), function(), location(1, 1)]);
    let cases: [(&str, Vec<u8>); 12] = [
        ("says no sample type", vec![]),
        ("ends within a field", message(&[(6, b"abc")])[..3].to_vec()),
        ("ends within a number", vec![0x08, 0xff]),
        ("number is too long", [&[0x48_u8][..], &[0xff; 11]].concat()),
        ("of a kind that is not known", vec![0x0b]),
        ("has no number", vec![0x00]),
        ("text or a message is not", numbers_of(&[(2, 5)])),
        ("is a number is not", message(&[(9, b"x")])),
        ("a string that it does not have", all(&[message(&[(6, b"")]), kind()])),
        ("a location that it does not have", all(&[begin(), sample(&numbers_of(&[(1, 2), (2, 1)]))])),
        ("fewer values than there are types", all(&[begin(), sample(&numbers_of(&[(1, 1)]))])),
        ("more values than there are types", all(&[begin(), sample(&numbers_of(&[(2, 1), (2, 1)]))])),
    ];
    for (fault, bytes) in cases {
        match read_pprof(&bytes) {
            Err(error @ ReadError::Malformed(_)) => assert!(error.to_string().contains(fault), "{fault}: {error}"),
            other => panic!("{fault}: {other:?}"),
        }
    }
    let of_none =
        |id| message(&[(4, &all(&[numbers_of(&[(1, 1), (2, id)]), message(&[(4, &numbers_of(&[(1, 9)]))])]))]);
    for bytes in [of_none(0), of_none(3)] {
        assert!(matches!(read_pprof(&all(&[strings(), kind(), bytes])), Err(ReadError::Malformed(_))));
    }
}

#[test]
fn code_without_symbols_is_told_by_its_address() {
    let mapping = message(&[(3, &numbers_of(&[(1, 1), (5, 4)]))]);
    let location = message(&[(4, &numbers_of(&[(1, 1), (2, 1), (3, 0xbeef)]))]);
    let sample = message(&[(2, &numbers_of(&[(1, 1), (2, 4)]))]);
    let read = read_pprof(&all(&[strings(), kind(), mapping, location, sample])).unwrap();
    assert_eq!((read.frames[0].function.as_str(), read.frames[0].file.as_str()), ("0xbeef", "/srv/app.py"));
}

#[test]
fn bounds_hold() {
    let begin = || all(&[strings(), kind(), function(), location(1, 1), location(2, 2)]);
    let deep = [varint(2), varint(1).repeat(MAX_DEPTH + 9)].concat();
    let sample = message(&[(2, &message(&[(1, &deep), (2, &varint(1))]))]);
    let read = read_pprof(&all(&[begin(), sample])).unwrap();
    let names = |at: usize| read.frames[read.stacks[0][at] as usize].function.as_str();
    assert_eq!((read.stacks[0].len(), names(0), names(MAX_DEPTH - 1)), (MAX_DEPTH, "main", FRAMES_OMITTED));

    let many = |count| message(&[(2, &numbers_of(&[(2, 1)]))]).repeat(count);
    assert_eq!(read_pprof(&all(&[begin(), many(MAX_SAMPLES)])).map(|read| read.samples.len()), Ok(MAX_SAMPLES));
    let too_many = ReadError::TooLarge { what: "samples", limit: MAX_SAMPLES };
    assert_eq!(read_pprof(&all(&[begin(), many(MAX_SAMPLES + 1)])), Err(too_many));

    // A long text that many labels name.
    let long = message(&[(6, "x".repeat(10 * MAX_TEXT_BYTES).as_bytes())]);
    let label = message(&[(3, &numbers_of(&[(1, 7), (2, 7)]))]);
    let sample = message(&[(2, &all(&[numbers_of(&[(2, 1)]), label.repeat(MAX_LABELS)]))]);
    let named = |samples: usize| all(&[begin(), long.clone(), sample.repeat(samples)]);
    let read = read_pprof(&named(1)).unwrap();
    assert_eq!((read.samples[0].labels.len(), read.samples[0].labels[0].name.len()), (MAX_LABELS, MAX_TEXT_BYTES));
    assert!(matches!(read_pprof(&named(1_000)), Err(ReadError::TooLarge { what: "bytes in memory", .. })));
    let mut granted = 0;
    let may_grow = |bytes| {
        granted += bytes;
        granted < 1_000_000
    };
    assert_eq!(read_pprof_within(&named(10), MAX_PROFILE_BYTES, may_grow), Err(ReadError::NoRoom));
    assert!(granted < 2_000_000, "it stops when it is told to");
}

/// A profile that ddtrace's profiler wrote, of a program with a busy function.
#[test]
fn a_profile_of_ddtrace_is_read() {
    let mut bytes = Vec::new();
    let file = &include_bytes!("../tests/ddtrace.pprof.gz")[..];
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    let read = read_pprof(&bytes).unwrap();
    let types: Vec<&str> = read.types.iter().map(|of| of.name.as_str()).collect();
    let cpu = types.iter().position(|name| *name == "cpu-time").unwrap();
    let busy: i64 = read
        .samples
        .iter()
        .filter(|sample| {
            read.stacks[sample.stack as usize].iter().any(|frame| read.frames[*frame as usize].function == "busy")
        })
        .map(|sample| sample.values[cpu])
        .sum();
    let all: i64 = read.samples.iter().map(|sample| sample.values[cpu]).sum();
    assert!(busy * 10 > all * 5 && busy > 0, "{busy} of {all} ns");
    assert!(read.time_unix_nano > 1_700_000_000_000_000_000);
    let has_thread = |sample: &Sample| sample.labels.iter().any(|label| label.name == "thread name");
    assert!(read.samples.iter().all(has_thread));
    // Cut off anywhere it is damaged or smaller, and never a reason to panic.
    for end in (0..bytes.len()).step_by(97) {
        let _ = read_pprof(&bytes[..end]);
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(bytes in vec(any::<u8>(), 0..400)) {
        let _ = read_pprof(&bytes);
    }

    #[test]
    fn nothing_in_the_place_of_something_makes_it_panic(
        at in 0_usize..2_000,
        with in vec(any::<u8>(), 1..5),
    ) {
        let label = message(&[(3, &numbers_of(&[(1, 5), (2, 6)]))]);
        let sample = message(&[(2, &all(&[message(&[(1, &varint(1)), (2, &varint(9))]), label]))]);
        let mapping = message(&[(3, &numbers_of(&[(1, 1), (5, 4)]))]);
        let mut bytes = all(&[kind(), sample, mapping, location(1, 10), location(2, 20), function(), strings()]);
        let at = at % bytes.len();
        let end = (at + with.len()).min(bytes.len());
        bytes.splice(at..end, with);
        let _ = read_pprof_within(&bytes, 1_000_000, |_| true);
    }
}
