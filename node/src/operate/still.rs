//! Whom an acker's node asks whether the writer's epoch is still granted, and when. A majority's word is what counts; while
//! one was heard in the round before, a majority is asked, and the others as soon as one of those is late or says no.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep};

use crate::state::NodeName;

/// Who is asked at first, a majority and no more where there is one, and who else there is. This node costs nothing; then
/// come those whose yes is the youngest, so that one that did not answer is last the next time.
pub(super) fn in_turns(
    voters: impl IntoIterator<Item = NodeName>,
    me: &NodeName,
    yes: &BTreeMap<NodeName, Instant>,
    is_majority: impl Fn(&mut dyn Iterator<Item = &NodeName>) -> bool,
) -> (Vec<NodeName>, Vec<NodeName>) {
    let mut first: Vec<NodeName> = voters.into_iter().collect();
    first.sort_by_key(|voter| (voter != me, Reverse(yes.get(voter).copied()), voter.clone()));
    let enough = (1..first.len()).find(|n| is_majority(&mut first.iter().take(*n)));
    let rest = enough.map(|n| first.split_off(n)).unwrap_or_default();
    (first, rest)
}

/// Puts the question to `first`, and to `rest` as well once one of them has not said yes, or not within `late`. `yes` is
/// told each yes as it comes, with when its question was put. Ends when all that were asked have answered: whoever calls
/// this bounds it.
pub(super) async fn ask<F>(
    first: Vec<NodeName>,
    mut rest: Vec<NodeName>,
    late: Duration,
    question: impl Fn(NodeName) -> F,
    mut yes: impl FnMut(NodeName, Instant),
) where
    F: Future<Output = Option<bool>>,
{
    let put = |voter: NodeName| {
        let (asked, answer) = (Instant::now(), question(voter.clone()));
        async move { (voter, asked, answer.await) }
    };
    let mut asking: FuturesUnordered<_> = first.into_iter().map(put).collect();
    let mut is_late = std::pin::pin!(sleep(late));
    loop {
        let wanting = tokio::select! {
            answer = asking.next() => match answer {
                Some((voter, asked, Some(true))) => {
                    yes(voter, asked);
                    false
                }
                Some(_) => true,
                None => return,
            },
            () = &mut is_late, if !rest.is_empty() => true,
        };
        if wanting {
            asking.extend(rest.drain(..).map(put));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;

    use tokio::time::timeout;

    use super::*;

    const LATE: Duration = Duration::from_millis(150);

    fn names(names: &[&str]) -> Vec<NodeName> {
        names.iter().map(|n| NodeName::from(*n)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_majority_is_asked_first_this_node_and_those_that_said_yes_last() {
        let (long_ago, lately) = (Instant::now(), Instant::now() + LATE);
        let of_three = |nodes: &mut dyn Iterator<Item = &NodeName>| nodes.count() >= 2;
        for (yes, first, rest) in [
            (vec![], ["c", "a"], ["b"]),
            (vec![("a", long_ago), ("b", lately)], ["c", "b"], ["a"]),
            (vec![("b", long_ago)], ["c", "b"], ["a"]),
        ] {
            let yes = yes.into_iter().map(|(n, at)| (NodeName::from(n), at)).collect();
            let turns = in_turns(names(&["a", "b", "c"]), &"c".into(), &yes, of_three);
            assert_eq!(turns, (names(&first), names(&rest)), "{yes:?}");
        }
        // While the membership changes, a majority of each set: a and d alone are none of the second.
        let both = |nodes: &mut dyn Iterator<Item = &NodeName>| {
            let nodes: Vec<&str> = nodes.map(NodeName::as_str).collect();
            [["a", "b", "c"], ["c", "d", "e"]]
                .iter()
                .all(|set| set.iter().filter(|n| nodes.contains(n)).count() >= 2)
        };
        let turns = in_turns(names(&["a", "b", "c", "d", "e"]), &"d".into(), &BTreeMap::new(), both);
        assert_eq!(turns, (names(&["d", "a", "b", "c"]), names(&["e"])));
        let nobody = in_turns(names(&["a", "b"]), &"a".into(), &BTreeMap::new(), |_| false);
        assert_eq!(nobody, (names(&["a", "b"]), vec![]), "all, where no part is a majority");
    }

    /// Who was asked when, and whose yes came when, in milliseconds.
    async fn asked(
        answers: &[(&'static str, u64, Option<bool>)],
    ) -> (Vec<(String, u128)>, Vec<(String, u128)>) {
        let begun = Instant::now();
        let (put, said) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        let question = |voter: NodeName| {
            put.lock().unwrap().push((voter.to_string(), begun.elapsed().as_millis()));
            let (_, after_ms, answer) = *answers.iter().find(|(n, ..)| *n == voter.as_str()).unwrap();
            async move {
                sleep(Duration::from_millis(after_ms)).await;
                answer
            }
        };
        let yes = |voter: NodeName, at: Instant| {
            assert!(at <= Instant::now() && at >= begun);
            said.lock().unwrap().push((voter.to_string(), begun.elapsed().as_millis()));
        };
        let all = ask(names(&["a", "b"]), names(&["c"]), LATE, question, yes);
        let _stalled = timeout(LATE * 2, all).await;
        (put.into_inner().unwrap(), said.into_inner().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn the_others_are_asked_once_one_is_late_or_says_no() {
        const STALLED: u64 = 60_000;
        let at = |who: &[(&str, u128)]| who.iter().map(|(n, ms)| ((*n).to_owned(), *ms)).collect::<Vec<_>>();
        let both = [("a", 0), ("b", 0)];
        for (answers, put, said) in [
            (
                [("a", 0, Some(true)), ("b", 20, Some(true)), ("c", 1, Some(true))],
                vec![],
                vec![("a", 0), ("b", 20)],
            ),
            (
                [("a", 0, Some(true)), ("b", 20, Some(false)), ("c", 1, Some(true))],
                vec![("c", 20)],
                vec![("a", 0), ("c", 21)],
            ),
            (
                [("a", 0, Some(true)), ("b", 20, None), ("c", 1, Some(true))],
                vec![("c", 20)],
                vec![("a", 0), ("c", 21)],
            ),
            (
                [("a", 0, Some(true)), ("b", STALLED, None), ("c", 1, Some(true))],
                vec![("c", 150)],
                vec![("a", 0), ("c", 151)],
            ),
            (
                [("a", 0, Some(true)), ("b", 200, Some(true)), ("c", STALLED, None)],
                vec![("c", 150)],
                vec![("a", 0), ("b", 200)],
            ),
        ] {
            let expected = (at(&[&both[..], &put].concat()), at(&said));
            assert_eq!(asked(&answers).await, expected, "{answers:?}");
        }
    }
}
