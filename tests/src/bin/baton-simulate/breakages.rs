//! Whether the simulation finds what is broken on purpose.

use std::process::ExitCode;
use std::time::Instant;

use baton_node::mutation::Mutation;

use crate::seeds::Seeds;

/// Breaks the protocol in every way, one after the other.
pub(crate) fn find_all(seeds: &Seeds) -> anyhow::Result<ExitCode> {
    let (begun, mut missed) = (Instant::now(), Vec::new());
    for mutation in Mutation::ALL {
        let sum = Seeds { mutation: Some(mutation), keep_going: false, ..seeds.clone() }.run()?;
        match sum.broken.first() {
            Some(report) => {
                let how = report.broken.as_deref().unwrap_or_default();
                println!("{mutation:?}: found by seed {} after {} seeds: {how}", report.seed, sum.runs());
            }
            None => {
                println!("{mutation:?}: NOT found in {} seeds", sum.runs());
                missed.push(format!("{mutation:?}"));
            }
        }
    }
    let all = Mutation::ALL.len();
    let not = if missed.is_empty() { String::new() } else { format!("; not found: {}", missed.join(", ")) };
    println!(
        "{} of {all} breakages found, each within {} seeds, in {} s{not}",
        all - missed.len(),
        seeds.count,
        begun.elapsed().as_secs()
    );
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
