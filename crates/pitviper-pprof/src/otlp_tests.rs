//! Requests that are written field by field, as protobuf has them.

use super::*;

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

fn number(field: u8, value: u64) -> Vec<u8> {
    [vec![field << 3], varint(value)].concat()
}

fn message(field: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    let body = parts.concat();
    [vec![field << 3 | 2], varint(body.len() as u64), body].concat()
}

fn text(field: u8, text: &str) -> Vec<u8> {
    message(field, &[text.as_bytes().to_vec()])
}

fn eight(field: u8, value: u64) -> Vec<u8> {
    [vec![field << 3 | 1], value.to_le_bytes().to_vec()].concat()
}

const STRINGS: [&str; 11] = [
    "",
    "cpu",
    "nanoseconds",
    "view",
    "/srv/shop.py",
    "dumps",
    "/usr/lib/python3.12/json/__init__.py",
    "thread.name",
    "thread.id",
    "libc.so",
    "flag",
];

fn dictionary() -> Vec<u8> {
    let function = |name: u64, file: u64| message(3, &[number(1, name), number(3, file)]);
    let location = |function: u64, line: u64| message(2, &[message(3, &[number(1, function), number(2, line)])]);
    let attribute = |key: u64, value: Vec<u8>| message(6, &[number(1, key), message(2, &[value])]);
    let strings: Vec<Vec<u8>> = STRINGS.iter().map(|string| text(5, string)).collect();
    message(
        2,
        &[
            message(1, &[]),
            message(1, &[number(4, 9)]),
            message(2, &[]),
            location(1, 7),
            location(2, 231),
            // Without lines: by its address.
            message(2, &[number(1, 1), number(2, 0x1234)]),
            message(3, &[]),
            function(3, 4),
            function(5, 6),
            message(4, &[]),
            message(4, &[message(1, &[vec![0xab; 16]]), message(2, &[vec![0xcd; 8]])]),
            strings.concat(),
            message(6, &[]),
            attribute(7, text(1, "worker")),
            attribute(8, number(3, 42)),
            attribute(10, number(2, 1)),
            message(7, &[]),
            // dumps, called by view; native code alone.
            message(7, &[message(1, &[varint(2), varint(1)])]),
            message(7, &[message(1, &[varint(3)])]),
        ],
    )
}

fn sample(parts: &[Vec<u8>]) -> Vec<u8> {
    message(2, parts)
}

fn request(samples: &[Vec<u8>]) -> Vec<u8> {
    let attribute = message(1, &[text(1, "service.name"), message(2, &[text(1, "shop")])]);
    // Key and text by their numbers in the table.
    let by_number = message(1, &[number(3, 10), message(2, &[number(8, 3)])]);
    let profile =
        message(2, &[message(1, &[number(1, 1), number(2, 2)]), samples.concat(), eight(3, 1_000), number(4, 500)]);
    [message(1, &[message(1, &[attribute, by_number]), message(2, &[profile])]), dictionary()].concat()
}

fn read(bytes: &[u8]) -> Result<Vec<OfProcess>, ReadError> {
    read_otlp_within(bytes, 1 << 20, |_| true)
}

fn label(name: &str, value: impl Into<LabelValueOf>) -> Label {
    Label { name: name.to_owned().into(), value: value.into().0 }
}

struct LabelValueOf(LabelValue);

impl From<&str> for LabelValueOf {
    fn from(text: &str) -> Self {
        Self(LabelValue::Text(text.to_owned()))
    }
}

impl From<i64> for LabelValueOf {
    fn from(number: i64) -> Self {
        Self(LabelValue::Number(number))
    }
}

#[test]
fn a_profile_has_its_process_stacks_labels_and_links() {
    let samples = [
        sample(&[
            number(1, 1),
            message(2, &[varint(1), varint(2), varint(3)]),
            number(3, 1),
            message(4, &[varint(70)]),
        ]),
        // Moments with values, and moments that count.
        sample(&[
            number(1, 2),
            message(4, &[varint(5), varint(6)]),
            message(5, &[900_u64.to_le_bytes().to_vec(), 901_u64.to_le_bytes().to_vec()]),
        ]),
        sample(&[number(1, 1), eight(5, 902)]),
        // Several values of no moment are one.
        sample(&[message(4, &[varint(1), varint(2)])]),
    ];
    let found = read(&request(&samples)).unwrap();
    assert_eq!(found.len(), 1);
    let OfProcess { attributes, profile } = &found[0];
    assert_eq!(attributes, &[label("service.name", "shop"), label("flag", "view")]);
    assert_eq!((profile.time_unix_nano, profile.duration_ns), (1_000, 500));
    assert_eq!(profile.types, [SampleType { name: "cpu".to_owned(), unit: "nanoseconds".to_owned() }]);
    let names: Vec<(&str, u32, bool, &str)> =
        profile.frames.iter().map(|frame| (&*frame.function, frame.line, frame.in_app, &*frame.library)).collect();
    assert_eq!(names, [("dumps", 231, false, "stdlib"), ("view", 7, true, ""), ("0x1234", 0, false, "libc")]);
    assert_eq!(profile.stacks, [vec![0, 1], vec![2], vec![]]);
    let expected = [
        label("thread", "worker"),
        label("thread id", 42),
        label("flag", "true"),
        label("trace id", &*"ab".repeat(16)),
        label("span id", &*"cd".repeat(8)),
    ];
    assert_eq!((profile.samples[0].values[0], &profile.samples[0].labels[..]), (70, &expected[..]));
    let told: Vec<(u32, i64, Option<&LabelValue>)> =
        profile.samples[1..].iter().map(|sample| (sample.stack, sample.values[0], sample.label(TIME_LABEL))).collect();
    let at = LabelValue::Number;
    assert_eq!(told, [(1, 5, Some(&at(900))), (1, 6, Some(&at(901))), (0, 1, Some(&at(902))), (2, 3, None)]);
}

#[test]
fn what_is_damaged_or_too_much_is_refused() {
    let good = request(&[sample(&[number(1, 1), message(4, &[varint(1)])])]);
    assert!(read(&good).is_ok());
    for end in 1..good.len() {
        // Ends within a message; or between two, where something that is named is missing, or nothing is.
        let cut = read(&good[..end]);
        assert!(matches!(cut, Err(ReadError::Malformed(_))), "{end}: {cut:?}");
    }
    for (sample_of, fault) in [
        (sample(&[number(1, 9)]), "stack"),
        (sample(&[number(3, 9)]), "link"),
        (sample(&[number(2, 9)]), "attribute"),
        (
            sample(&[
                message(4, &[varint(1)]),
                message(5, &[1_u64.to_le_bytes().to_vec(), 2_u64.to_le_bytes().to_vec()]),
            ]),
            "times",
        ),
        (sample(&[message(5, &[vec![1, 2, 3]])]), "eight bytes"),
    ] {
        let refused = read(&request(&[sample_of])).unwrap_err().to_string();
        assert!(refused.contains(fault), "{fault}: {refused}");
    }
    assert!(matches!(read_otlp_within(&good, 64, |_| true), Err(ReadError::TooLarge { .. })));
    assert_eq!(read_otlp_within(&good, 1 << 20, |_| false), Err(ReadError::NoRoom));
    let labels = message(2, &[varint(1).repeat(MAX_LABELS + 1)]);
    assert!(matches!(read(&request(&[sample(&[labels])])), Err(ReadError::TooLarge { .. })));
    assert_eq!(read(&[]), Ok(Vec::new()));
}
