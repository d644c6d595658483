//! Documents of profiles, and the protobuf they stand for.

use super::*;

fn read(document: &str) -> Result<Vec<u8>, ProfilesError> {
    profiles_from_json(document.as_bytes(), 1 << 20, |_| true)
}

/// Fields of a message, the way protobuf has them: key, then a number or a length and bytes.
fn message(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    assert!(length < 0x80, "longer ones are for the code under test");
    [&[number << 3 | 2, length][..], content].concat()
}

fn number(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

#[test]
fn each_field_that_is_read_is_written() {
    let document = r#"{
        "dictionary": {
            "mappingTable": [{}, {"filenameStrindex": 1, "attributeIndices": [1, "2"], "memoryStart": 7}],
            "locationTable": [{"mappingIndex": 1, "address": "16", "lines": [{"functionIndex": 1, "line": "3"}]}],
            "functionTable": [{"nameStrindex": 1, "systemNameStrindex": 2, "filenameStrindex": 3}],
            "linkTable": [{"traceId": "0aFF", "spanId": ""}],
            "stringTable": ["", "\u00e9"],
            "attributeTable": [{"keyStrindex": 1, "value": {"stringValueStrindex": 2}, "unitStrindex": null}],
            "stackTable": [{"locationIndices": [0, 1]}]
        },
        "resourceProfiles": [{
            "schemaUrl": "s",
            "resource": {"attributes": [
                {"key": "k", "value": {"stringValue": "v"}},
                {"keyStrindex": 1, "value": {"boolValue": true}},
                {"key": "n", "value": {"intValue": "-1"}},
                {"key": "l", "value": {"arrayValue": {"values": [{"intValue": 1}]}}}
            ]},
            "scopeProfiles": [{"scope": {"name": "x"}, "profiles": [{
                "sampleType": {"typeStrindex": 1, "unitStrindex": 2},
                "samples": [{"stackIndex": 1, "attributeIndices": [1], "linkIndex": 1, "values": ["5", 6],
                    "timestampsUnixNano": ["258"]}],
                "timeUnixNano": "1", "durationNano": 2, "period": null, "originalPayload": "AA=="
            }]}]
        }]
    }"#;
    let minus_one = [&[3 << 3][..], &[0xff; 9], &[1]].concat();
    let attributes = [
        message(1, &[message(1, b"k"), message(2, &message(1, b"v"))].concat()),
        message(1, &[number(3, 1), message(2, &number(2, 1))].concat()),
        message(1, &[message(1, b"n"), message(2, &minus_one)].concat()),
        message(1, &[message(1, b"l"), message(2, b"")].concat()),
    ];
    let sample =
        [number(1, 1), message(2, &[1]), number(3, 1), message(4, &[5, 6]), message(5, &[2, 1, 0, 0, 0, 0, 0, 0])];
    let profile = [
        message(1, &[number(1, 1), number(2, 2)].concat()),
        message(2, &sample.concat()),
        vec![3 << 3 | 1, 1, 0, 0, 0, 0, 0, 0, 0],
        number(4, 2),
    ];
    let location = [number(1, 1), number(2, 16), message(3, &[number(1, 1), number(2, 3)].concat())];
    let dictionary = [
        message(1, b""),
        message(1, &[number(4, 1), message(5, &[1, 2])].concat()),
        message(2, &location.concat()),
        message(3, &[number(1, 1), number(2, 2), number(3, 3)].concat()),
        message(4, &[message(1, &[0x0a, 0xff]), message(2, b"")].concat()),
        message(5, b""),
        message(5, "é".as_bytes()),
        message(6, &[number(1, 1), message(2, &number(8, 2))].concat()),
        message(7, &message(1, &[0, 1])),
    ];
    let resource = [message(1, &attributes.concat()), message(2, &message(2, &profile.concat()))];
    let expected = [message(2, &dictionary.concat()), message(1, &resource.concat())].concat();
    assert_eq!(read(document).unwrap(), expected);
}

#[test]
fn long_messages_say_how_long_they_are() {
    let text = "x".repeat(70_000);
    let written = read(&format!(r#"{{"dictionary":{{"stringTable":["{text}"]}}}}"#)).unwrap();
    let inner = [&[5 << 3 | 2, 0xf0, 0xa2, 4][..], text.as_bytes()].concat();
    assert_eq!(written, [&[2 << 3 | 2, 0xf4, 0xa2, 4][..], &inner].concat());
}

#[test]
fn what_is_no_such_document_is_refused() {
    for (document, fault) in [
        ("", "EOF"),
        ("null", "an object"),
        ("[]", "an object"),
        ("{} x", "trailing"),
        (r#"{"dictionary":[]}"#, "an object for `dictionary`"),
        (r#"{"resourceProfiles":{}}"#, "a list"),
        (r#"{"dictionary":{"stringTable":["", null]}}"#, "null in it"),
        (r#"{"dictionary":{"stringTable":[1]}}"#, "text for `stringTable`"),
        (r#"{"dictionary":{"stackTable":[{"locationIndices":[1.5]}]}}"#, "whole number"),
        (r#"{"dictionary":{"stackTable":[{"locationIndices":["a"]}]}}"#, "whole number"),
        (r#"{"dictionary":{"linkTable":[{"traceId":"abc"}]}}"#, "an id in hex"),
        (r#"{"dictionary":{"linkTable":[{"spanId":"+1"}]}}"#, "an id in hex"),
        (r#"{"resourceProfiles":[{"scopeProfiles":[{"profiles":[{"timeUnixNano":-1}]}]}]}"#, "whole number"),
    ] {
        let refused = read(document).unwrap_err().to_string();
        assert!(refused.contains(fault), "{document}: {refused}");
    }
    let deep = format!(r#"{{"unknown":{}"#, "[".repeat(100_000));
    assert!(read(&deep).is_err());
}

#[test]
fn what_takes_too_much_is_refused_before_it_is_there() {
    let times = format!(
        r#"{{"resourceProfiles":[{{"scopeProfiles":[{{"profiles":[{{"samples":[{{"timestampsUnixNano":[1{}]}}]}}]}}]}}]}}"#,
        ",1".repeat(100_000)
    );
    let mut granted = 0;
    let refused = profiles_from_json(times.as_bytes(), 1_000_000, |step| {
        granted += step;
        true
    });
    assert!(matches!(refused, Err(ProfilesError::Room(RoomError::TooLarge { .. }))), "{refused:?}");
    assert!(granted <= 1_000_000, "{granted}");
    let refused = profiles_from_json(times.as_bytes(), 10_000_000, |_| false);
    assert!(matches!(refused, Err(ProfilesError::Room(RoomError::NoRoom))), "{refused:?}");
    assert_eq!(profiles_from_json(times.as_bytes(), 10_000_000, |_| true).unwrap().len() / 100_000, 8);
}
