//! `batonctl alert test`: a line for each sink.

use baton_proto::control::AlertTestReply;

use super::layout::{Cell, table};
use super::style::{Style, Tone};

/// What became of the test.
pub fn alert_test(reply: &AlertTestReply, style: &Style) -> String {
    let row = |sink: &baton_proto::control::AlertTested| {
        let (tone, outcome) = match sink.failed.as_str() {
            "" => (Tone::Good, "told"),
            why => (Tone::Bad, why),
        };
        vec![Cell::plain(sink.sink.clone()), Cell::new(tone, outcome)]
    };
    table(&reply.sinks.iter().map(row).collect::<Vec<_>>(), style)
}

#[cfg(test)]
mod tests {
    use baton_proto::control::AlertTested;

    use super::*;
    use crate::render::fixtures::PLAIN;

    #[test]
    fn each_sink_has_a_line() {
        let tested = |sink: &str, failed: &str| AlertTested { sink: sink.into(), failed: failed.into() };
        let sinks = vec![tested("telegram -1001234", ""), tested("webhook ops", "HTTP 403")];
        insta::assert_snapshot!(alert_test(&AlertTestReply { sinks }, &PLAIN), @r"
        telegram -1001234   told
        webhook ops         HTTP 403
        ");
    }
}
