//! Each format of one small profile, as its readers see it.

use pitviper_model::Frame;
use pitviper_pprof::{
    Label, LabelValue, Profile, Sample, SampleType, write_collapsed, write_html, write_pprof, write_speedscope,
};

fn frame(function: &str, file: &str, line: u32, library: &str) -> Frame {
    Frame {
        function: function.to_owned(),
        file: file.to_owned(),
        line,
        in_app: library.is_empty(),
        library: library.to_owned(),
    }
}

fn labels(thread: &str, time: i64) -> Vec<Label> {
    vec![
        Label { name: "thread".into(), value: LabelValue::Text(thread.to_owned()) },
        Label { name: "end_timestamp_ns".into(), value: LabelValue::Number(time) },
    ]
}

fn kind(name: &str, unit: &str) -> SampleType {
    SampleType { name: name.to_owned(), unit: unit.to_owned() }
}

/// `main` calls `query` of a library and `</script>;` of its own, twice by equal stacks.
fn profile() -> Profile {
    let sample =
        |stack, values: [i64; 2], thread, time| Sample { stack, values: values.to_vec(), labels: labels(thread, time) };
    Profile {
        time_unix_nano: 1_700_000_000_000_000_000,
        duration_ns: 60_000_000_000,
        types: vec![kind("cpu", "nanoseconds"), kind("alloc_space", "bytes")],
        frames: vec![
            frame("main", "/app/shop.py", 10, ""),
            frame("Cursor.query", "/site-packages/db/cursor.py", 20, "db"),
            frame("</script>;", "/app/shop.py", 30, ""),
        ],
        stacks: vec![vec![1, 0], vec![2, 0], vec![2, 0]],
        samples: vec![
            sample(0, [30, 0], "MainThread", 200),
            sample(1, [10, 512], "MainThread", 100),
            sample(2, [5, 0], "worker", 300),
            sample(0, [0, 0], "worker", 400),
            sample(7, [9, 9], "of no stack", 500),
        ],
    }
}

#[test]
fn collapsed_stacks_add_up_from_the_root() {
    assert_eq!(
        write_collapsed(&profile(), "cpu"),
        "main (/app/shop.py:10);</script>: (/app/shop.py:30) 15\n\
         main (/app/shop.py:10);Cursor.query (/site-packages/db/cursor.py:20) 30\n"
    );
    assert_eq!(write_collapsed(&profile(), "alloc_space"), "main (/app/shop.py:10);</script>: (/app/shop.py:30) 512\n");
    assert_eq!(write_collapsed(&profile(), "wall"), "");
}

#[test]
fn speedscope_has_a_profile_for_each_type_and_thread_in_order_of_time() {
    let read: serde_json::Value = serde_json::from_str(&write_speedscope(&profile(), "shop \"1\"")).unwrap();
    assert_eq!(read["$schema"], "https://www.speedscope.app/file-format-schema.json");
    assert_eq!(read["name"], "shop \"1\"");
    assert_eq!(
        read["shared"]["frames"][1],
        serde_json::json!({"name": "Cursor.query", "file": "/site-packages/db/cursor.py", "line": 20})
    );
    assert_eq!(
        read["profiles"],
        serde_json::json!([
            {"type": "sampled", "name": "cpu · MainThread", "unit": "nanoseconds", "startValue": 0, "endValue": 40,
             "samples": [[0, 2], [0, 1]], "weights": [10, 30]},
            {"type": "sampled", "name": "cpu · worker", "unit": "nanoseconds", "startValue": 0, "endValue": 5,
             "samples": [[0, 2]], "weights": [5]},
            {"type": "sampled", "name": "alloc_space · MainThread", "unit": "bytes", "startValue": 0, "endValue": 512,
             "samples": [[0, 2]], "weights": [512]},
        ])
    );
}

#[test]
fn a_page_holds_the_profile_and_nothing_of_it_ends_the_script() {
    let page = write_html(&profile(), "profile of <shop> {{script}}");
    assert!(page.contains("<title>profile of &lt;shop&gt; {{script}}</title>"));
    let (_, after) = page.split_once(r#"<script type="application/json" id="profile">"#).unwrap();
    let (data, _) = after.split_once("</script>").unwrap();
    let read: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(read["types"], serde_json::json!([["cpu", "nanoseconds"], ["alloc_space", "bytes"]]));
    assert_eq!(read["texts"][read["frames"][2][0].as_u64().unwrap() as usize], "</script>;");
    assert_eq!(read["stacks"], serde_json::json!([[1, 0], [2, 0], [2, 0]]));
    assert_eq!(read["samples"].as_array().unwrap().len(), 4);
    for network in ["http://", "https://", "src=", "@import", "fetch("] {
        assert!(!page.contains(network), "{network}");
    }
}

#[test]
fn pprof_has_each_text_once_and_no_sample_of_nothing() {
    let bytes = write_pprof(&profile());
    let count = |text: &str| bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count();
    for text in ["main", "/app/shop.py", "Cursor.query", "nanoseconds", "alloc_space", "thread", "MainThread"] {
        assert_eq!(count(text), 1, "{text}");
    }
    // The library is the mapping's name and part of its build id.
    assert_eq!(count("library:db"), 1);
    assert_eq!(count("of no stack"), 0);
    assert_eq!(write_pprof(&Profile::default()), [6 << 3 | 2, 0]);
    // A function may be called as the build id of the application's code is.
    let mut named = profile();
    named.frames[0].function = "app".to_owned();
    let bytes = write_pprof(&named);
    assert_eq!(bytes.windows(5).filter(|window| *window == b"\x32\x03app").count(), 1);
}
