//! Balances against sums over the bytes of the ledgers, and what is left when something is wrong.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

use crate::program::{Example, Random};

/// Writes ledgers: one that is read in pieces, some small ones, one without postings.
fn ledgers(directory: &Path) -> Result<BTreeMap<u32, i64>> {
    std::fs::create_dir(directory)?;
    let mut random = Random::new(41);
    let mut balances = BTreeMap::new();
    for (ledger, postings) in [25_000, 1, 700, 0, 999].into_iter().enumerate() {
        let mut bytes = Vec::new();
        for _ in 0..postings {
            let account = random.below(5_000) as u32;
            let cents = random.below(2_000_000) as i64 - 1_000_000;
            *balances.entry(account).or_insert(0) += cents;
            bytes.extend(account.to_le_bytes());
            bytes.extend(cents.to_le_bytes());
        }
        std::fs::write(directory.join(format!("{ledger}.ledger")), bytes)?;
    }
    Ok(balances)
}

fn names(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[test]
fn the_table_has_the_balance_of_each_account() -> Result<()> {
    for (mode, parallelism) in [("STREAMING", 1), ("STREAMING", 3), ("BATCH", 3)] {
        let example = Example::new("custom-connector")?
            .set("execution.runtime-mode", mode)
            .parallelism(parallelism);
        let (directory, out) = (example.path("ledgers"), example.path("out"));
        let table = out.join("balances.csv");
        std::fs::create_dir(&out)?;
        let balances = ledgers(&directory)?;
        let arguments = [
            "--ledgers".as_ref(),
            directory.as_os_str(),
            "--table".as_ref(),
            table.as_os_str(),
        ];
        example.args(arguments).run_and(|| {
            let lines = balances
                .iter()
                .map(|(account, cents)| format!("{account},{cents}\n"));
            assert_eq!(std::fs::read_to_string(&table)?, lines.collect::<String>());
            assert_eq!(names(&out)?, ["balances.csv"], "parts are left");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn what_cannot_be_is_told_before_anything_runs() -> Result<()> {
    for (wrong, told) in [
        ("ledger", "no whole number of postings"),
        ("table", "exists already"),
    ] {
        let example = Example::new("custom-connector")?;
        let (directory, table) = (example.path("ledgers"), example.path("balances.csv"));
        ledgers(&directory)?;
        match wrong {
            "ledger" => std::fs::write(directory.join("x"), [0; 13])?,
            _ => std::fs::write(&table, "mine")?,
        }
        let failed = example
            .args(["--ledgers".as_ref(), directory.as_os_str()])
            .args(["--table".as_ref(), table.as_os_str()])
            .run()
            .err()
            .with_context(|| format!("it takes a wrong {wrong}"))?;
        let failed = format!("{failed:#}");
        assert!(failed.contains(told), "{failed}");
    }
    Ok(())
}
