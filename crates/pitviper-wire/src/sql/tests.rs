//! What is shown of statements, and that nothing of their values is.

use super::Dialect::{Mysql, Postgresql, Sqlite};
use super::*;
use proptest::prelude::*;

fn check(dialect: Dialect, statement: &str, text: &str, summary: &str) {
    let described = describe(statement, dialect);
    assert_eq!((&*described.text, &*described.summary), (text, summary), "{statement}");
}

#[test]
fn literals_become_question_marks() {
    for dialect in [Postgresql, Mysql, Sqlite] {
        check(
            dialect,
            "SELECT a1, t.b2 FROM t WHERE x='it''s' AND y=-1.5e3 AND z = 0xFF_FF + .5e-3 + 1e5-2",
            "SELECT a1, t.b2 FROM t WHERE x=? AND y=-? AND z = ? + ? + ?-?",
            "SELECT t",
        );
        check(dialect, "SELECT x'ff', N'a', 9f86d081", "SELECT ?, ?, ?", "SELECT");
        check(dialect, "SELECT 'unterminated", "SELECT ?", "SELECT");
        check(dialect, "UPDATE s.t SET a = 1 -- secret 'x'\nWHERE b", "UPDATE s.t SET a = ? WHERE b", "UPDATE s.t");
        check(dialect, "/* lead */ DELETE  FROM\n\tt", "DELETE FROM t", "DELETE t");
        check(dialect, "", "", "SQL");
    }
}

#[test]
fn quotes_mean_what_the_dialect_says() {
    check(Postgresql, r"SELECT 'a\' FROM t", r"SELECT ? FROM t", "SELECT t");
    check(Postgresql, r"SELECT E'a\' FROM t', e'\\' FROM u", "SELECT ?, ? FROM u", "SELECT u");
    check(Postgresql, "SELECT $$it's$$, $a$ $b$ ' $a$ FROM t", "SELECT ?, ? FROM t", "SELECT t");
    check(Postgresql, "SELECT \"na'me\", a[1:2], @5 FROM \"T\"", "SELECT \"na'me\", a[?:?], @? FROM \"T\"", "SELECT T");
    check(Postgresql, "SELECT ARRAY['x', 'y'] /* /* ' */ ' */ FROM t", "SELECT ARRAY[?] FROM t", "SELECT t");
    check(
        Postgresql,
        "SELECT a::text, b -> 'k' FROM foo$$bar$$",
        "SELECT a::text, b -> ? FROM foo$$bar$$",
        "SELECT foo$$bar$$",
    );
    check(Mysql, r#"SELECT 'a\' FROM t', "b\" FROM u" FROM `a`.`b`"#, "SELECT ?, ? FROM `a`.`b`", "SELECT a.b");
    check(Mysql, "SELECT 5--'3' # it's\nFROM t -- it's\n", "SELECT ?--? FROM t", "SELECT t");
    check(Mysql, "SELECT _utf8mb4'x', @u FROM t", "SELECT _utf8mb4?, @u FROM t", "SELECT t");
    check(Sqlite, r"SELECT 'a\', [it's] FROM [t]", r"SELECT ?, [it's] FROM [t]", "SELECT t");
}

#[test]
fn placeholders_stay() {
    check(Postgresql, "SELECT $1, %s, %(n)s, a % 5 FROM t", "SELECT $1, %s, %(n)s, a % ? FROM t", "SELECT t");
    check(Mysql, "SELECT ?, %s FROM t", "SELECT ?, %s FROM t", "SELECT t");
    check(Sqlite, "SELECT $1, :name, @p, ?2, :1 FROM t", "SELECT $1, :name, @p, ?2, :1 FROM t", "SELECT t");
}

#[test]
fn lists_are_shortened() {
    for dialect in [Postgresql, Mysql, Sqlite] {
        check(dialect, "SELECT a FROM t WHERE a IN (1,2, 3 )", "SELECT a FROM t WHERE a IN (? )", "SELECT t");
        check(dialect, "DELETE FROM t WHERE a IN (%s, %s)", "DELETE FROM t WHERE a IN (%s)", "DELETE t");
        check(
            dialect,
            "SELECT 1 FROM t WHERE (a, b) IN ((1, 2), (3, 4))",
            "SELECT ? FROM t WHERE (a, b) IN ((?))",
            "SELECT t",
        );
        check(dialect, "INSERT INTO t VALUES (1, 'a'), (-2, NULL), (3, 'c')", "INSERT INTO t VALUES (?)", "INSERT t");
        check(
            dialect,
            "INSERT INTO t VALUES (1, now()), (2, now()) ON CONFLICT (a) DO NOTHING",
            "INSERT INTO t VALUES (?, now()) ON CONFLICT (a) DO NOTHING",
            "INSERT t",
        );
        check(dialect, "SELECT substr(a, 1, 2), (1 + 2) FROM t", "SELECT substr(a, ?, ?), (? + ?) FROM t", "SELECT t");
        check(
            dialect,
            "SELECT a FROM t WHERE a IN (SELECT b, c FROM u WHERE d IN (1, 2))",
            "SELECT a FROM t WHERE a IN (SELECT b, c FROM u WHERE d IN (?))",
            "SELECT t SELECT u",
        );
    }
    check(
        Mysql,
        "INSERT INTO t (a, value) VALUES ROW(1, 2), ROW(3, 4) ON DUPLICATE KEY UPDATE a = VALUES(a), b = 5",
        "INSERT INTO t (a, value) VALUES ROW(?) ON DUPLICATE KEY UPDATE a = VALUES(a), b = ?",
        "INSERT t",
    );
    check(Postgresql, "SELECT a = ANY(ARRAY['x'::text, 'y'::text])", "SELECT a = ANY(ARRAY[?::text])", "SELECT");
    check(Postgresql, "INSERT INTO t VALUES ($1, $2), ($3, $4)", "INSERT INTO t VALUES ($1)", "INSERT t");
    check(Postgresql, "SELECT * FROM (VALUES (1), (2)) AS v (a)", "SELECT * FROM (VALUES (?)) AS v (a)", "SELECT");
}

#[test]
fn statements_that_repeat_are_shown_once() {
    check(
        Postgresql,
        "UPDATE t SET a = 1 WHERE b = 'x';UPDATE t SET a = 22 WHERE b = 'y'; UPDATE t SET a = 3 WHERE b = 'z'",
        "UPDATE t SET a = ? WHERE b = ?",
        "UPDATE t",
    );
    check(Postgresql, "BEGIN; SELECT 1; SELECT 2; COMMIT;", "BEGIN; SELECT ?; COMMIT;", "BEGIN SELECT COMMIT");
}

#[test]
fn texts_in_double_quotes_are_masked_where_sqlite_takes_values() {
    for (statement, text) in [
        (r#"SELECT "a" FROM "t" WHERE "a" = "secret""#, r#"SELECT "a" FROM "t" WHERE "a" = ?"#),
        (r#"SELECT a BETWEEN "k" AND "m" AND "b" IS "x""#, r#"SELECT a BETWEEN ? AND ? AND "b" IS ?"#),
        (r#"INSERT INTO t VALUES ("x", 1), (lower("y"), "z")"#, r#"INSERT INTO t VALUES (?), (lower("y"), ?)"#),
        (r#"SELECT a FROM b ON "a"."id" = "b" . "id""#, r#"SELECT a FROM b ON "a"."id" = "b" . "id""#),
    ] {
        assert_eq!(describe(statement, Sqlite).text, text);
    }
}

#[test]
fn summaries_name_operations_and_tables() {
    for (statement, summary) in [
        ("SELECT * FROM songs, artists a WHERE 1", "SELECT songs artists"),
        ("select p.id from post p join user u on p.a = u.id", "SELECT post user"),
        ("INSERT INTO details (a, b) SELECT a, b FROM orders", "INSERT details SELECT orders"),
        ("SELECT d FROM (SELECT * FROM orders o JOIN customers c ON 1)", "SELECT SELECT orders customers"),
        ("WITH x AS (SELECT a FROM t), y (b) AS (SELECT 1) DELETE FROM u USING x WHERE 1", "SELECT t SELECT DELETE u"),
        ("WITH x AS (INSERT INTO t VALUES (1) RETURNING id) SELECT * FROM x", "INSERT t SELECT"),
        ("SELECT EXTRACT(YEAR FROM ts) FROM t WHERE a IS NOT DISTINCT FROM b", "SELECT t"),
        ("SELECT a FROM generate_series(1, 2) g, t", "SELECT t"),
        ("SELECT a FROM t UNION SELECT b FROM u ORDER BY 1, 2", "SELECT t SELECT u"),
        ("INSERT OR REPLACE INTO \"my table\" VALUES (1) ON CONFLICT DO UPDATE SET a = 1", "INSERT my table"),
        ("UPDATE ONLY t SET a = b.c, d = 1 FROM b", "UPDATE t b"),
        ("CREATE TABLE IF NOT EXISTS post (id INTEGER REFERENCES u)", "CREATE post"),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a); DROP TABLE u; TRUNCATE v", "CREATE i DROP u TRUNCATE v"),
        ("EXPLAIN ANALYZE SELECT * FROM t", "EXPLAIN SELECT t"),
        ("EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM t", "EXPLAIN SELECT t"),
        ("GRANT SELECT ON t TO u", "GRANT"),
        ("COPY t (a) FROM STDIN", "COPY t"),
        ("DECLARE \"c\" CURSOR FOR SELECT * FROM t", "DECLARE SELECT t"),
        ("FETCH FORWARD 5 FROM \"c\"", "FETCH"),
        ("PRAGMA table_info(t)", "PRAGMA table_info"),
        ("CALL pay(1)", "CALL pay"),
        ("MERGE INTO t USING s ON 1 WHEN MATCHED THEN UPDATE SET a = 1", "MERGE t s"),
        ("SELECT a FROM t FOR UPDATE", "SELECT t"),
        ("BEGIN", "BEGIN"),
        ("PREPARE INSERT INTO t VALUES ($1)", "PREPARE INSERT t"),
        ("PREPARE p (int) AS UPDATE t SET a = $1", "PREPARE UPDATE t"),
    ] {
        assert_eq!(describe(statement, Postgresql).summary, summary, "{statement}");
    }
    assert_eq!(describe("WITH x AS (SELECT 1) DELETE FROM t", Sqlite).operation, "DELETE");
    assert_eq!(describe("(SELECT 1) UNION (SELECT 2)", Sqlite).operation, "SELECT");
    assert!(describe(&"SELECT a FROM t UNION ".repeat(100), Mysql).summary.len() <= 255);
}

#[test]
fn a_statement_that_is_cut_shows_nothing_of_the_value_it_is_cut_in() {
    let long = format!("SELECT '{}', 'é", "é".repeat(MAX_STATEMENT_BYTES));
    assert_eq!(describe(&long, Postgresql).text, "SELECT ?");
}

/// A literal of the dialect that holds `secret`, which nothing else in a statement does.
fn literal(dialect: Dialect) -> BoxedStrategy<String> {
    let inside = "[ -~é\\n]{0,6}";
    let around = (inside, inside).prop_map(|(before, after)| format!("{before}zq9secret{after}"));
    let doubled = |text: &str, quote: char| text.replace(quote, &format!("{quote}{quote}"));
    let plain = around.clone().prop_map(move |text| {
        let text = if dialect == Mysql { text.replace('\\', "\\\\") } else { text };
        format!("'{}'", doubled(&text, '\''))
    });
    let number = "[0-9]{1,3}zq9secret[0-9]{0,3}".boxed();
    match dialect {
        Postgresql => {
            let escaped =
                around.clone().prop_map(|text| format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")));
            let dollars = around.prop_map(|text| format!("$t${}$t$", text.replace('$', "")));
            prop_oneof![plain, escaped, dollars, number].boxed()
        }
        Mysql => {
            let escaped = around.prop_map(|text| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")));
            prop_oneof![plain, escaped, number].boxed()
        }
        Sqlite => {
            prop_oneof![plain, "[0-9A-F]{0,4}".prop_map(|digits| format!("x'zq9secret{digits}'")), number].boxed()
        }
    }
}

/// A statement with literals where they may be, and all that could distract from where they begin.
fn statement() -> impl Strategy<Value = (Dialect, String)> {
    prop_oneof![Just(Postgresql), Just(Mysql), Just(Sqlite)].prop_flat_map(|dialect| {
        let comment = match dialect {
            Postgresql => "/* ' /* \" */ $a$ ' */",
            Mysql => "# it's \"\n",
            Sqlite => "-- it's\n",
        };
        let name = match dialect {
            Mysql => "`it's \"`",
            _ => "\"it's -- \"",
        };
        let other = prop_oneof![
            Just("SELECT".to_owned()),
            Just("FROM".to_owned()),
            Just("t".to_owned()),
            Just("IN (".to_owned()),
            Just("VALUES (".to_owned()),
            Just("(".to_owned()),
            Just(")".to_owned()),
            Just(",".to_owned()),
            Just("=".to_owned()),
            Just("JOIN".to_owned()),
            Just("INTO".to_owned()),
            Just("UPDATE".to_owned()),
            Just(";".to_owned()),
            Just("%s".to_owned()),
            Just("WITH".to_owned()),
            Just("AS".to_owned()),
            Just(comment.to_owned()),
            Just(name.to_owned()),
            Just("-".to_owned()),
            Just("a.b".to_owned()),
        ];
        let piece = prop_oneof![2 => other, 1 => literal(dialect)];
        prop::collection::vec((piece, prop_oneof![Just(" "), Just("\n")]), 0..40)
            .prop_map(move |pieces| (dialect, pieces.into_iter().map(|(piece, space)| piece + space).collect()))
    })
}

/// Milliseconds that this thread had a processor: what others do on a busy machine is not counted.
fn processor_ms() -> u64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    told.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1_000_000
}

proptest! {
    #[test]
    fn language_like_statements_show_no_literal((dialect, statement) in statement()) {
        let described = describe(&statement, dialect);
        prop_assert!(!described.text.contains("zq9"), "{}", described.text);
        prop_assert!(!described.summary.contains("zq9"), "{}", described.summary);
        // What was described once describes itself.
        let again = describe(&described.text, dialect);
        prop_assert!(!again.text.contains("zq9"));
    }

    #[test]
    fn any_text_is_described(text in "\\PC{0,200}", bytes in prop::collection::vec(any::<char>(), 0..80)) {
        let hostile: String = bytes.into_iter().collect();
        for dialect in [Postgresql, Mysql, Sqlite] {
            for statement in [&text, &hostile] {
                let described = describe(statement, dialect);
                prop_assert!(described.text.len() <= statement.len() * 2 + 1);
                prop_assert!(described.summary.len() <= 255);
            }
        }
    }

    #[test]
    fn hostile_pieces_take_linear_time(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "1", "1.", "1e", "$1", "''", "'", "\"", "(", ")", "/*", "*/", "--", "$a$", "[", "]", ",", "VALUES", " IN(", "\\", "x ", "#", "`", "%(",
        ]), 1..6),
    ) {
        let statement = format!("SELECT {}", pieces.concat().repeat(16_000));
        for dialect in [Postgresql, Mysql, Sqlite] {
            let before = processor_ms();
            prop_assert!(describe(&statement, dialect).text.len() <= MAX_STATEMENT_BYTES);
            prop_assert!(processor_ms() - before < 500, "{pieces:?}");
        }
    }
}
