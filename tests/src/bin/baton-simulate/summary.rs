//! What is printed.

use std::time::Duration;

use baton_node::mutation::Mutation;
use baton_tests::sim::run::Report;

use crate::seeds::Sum;

/// Lines of the trace shown of a seed that did not hold.
const SHOWN: usize = 60;

/// A seed that did not hold: the end of its trace, why, and how it is run again.
pub(crate) fn tell(report: &Report, mutation: Option<Mutation>) {
    for line in report.trace.iter().skip(report.trace.len().saturating_sub(SHOWN)) {
        println!("  {line}");
    }
    let seed = report.seed;
    let broken = mutation.map(|m| format!(" --mutation {m:?}")).unwrap_or_default();
    println!("seed {seed}: {}", report.broken.as_deref().unwrap_or_default());
    println!("replay: script/simulate --seeds 1 --from {seed} --show{broken}");
}

/// The last line.
pub(crate) fn line(sum: &Sum, wanted: u64, took: Duration) -> String {
    let (runs, took) = (sum.runs(), took.as_secs_f64());
    let minute = f64::from(u32::try_from(runs).unwrap_or(u32::MAX)) * 60.0 / took.max(0.001);
    let time_was_up = if runs < wanted && sum.broken.is_empty() {
        format!(" (of {wanted} wanted: the time was up)")
    } else {
        String::new()
    };
    format!(
        "{} of {runs} seeds held{time_was_up} in {took:.0} s ({minute:.0} a minute): {} virtual minutes, {} faults, {} \
         epochs, {} writes, {} acknowledged",
        sum.held,
        sum.virtual_s / 60,
        sum.faults,
        sum.epochs,
        sum.writes,
        sum.acknowledged,
    )
}
