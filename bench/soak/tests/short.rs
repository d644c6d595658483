//! A soak of seconds: the account has to come out even there as well.

use std::path::PathBuf;
use std::time::Duration;

use pitviper_bench_soak::{Plan, run};

#[test]
fn every_span_is_accounted_for_after_three_kills() {
    // Beside the folder of this test's own binary.
    let target: PathBuf = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().into();
    let binary = target.join("pitviper-server");
    assert!(binary.exists(), "there is no {}; build it: cargo build --release -p pitviper-server", binary.display());
    let plan =
        Plan { binary, duration: Duration::from_secs(20), kills: 3, max_disk: "2MB".to_owned(), must_expire: true };
    run(&plan).unwrap();
}
