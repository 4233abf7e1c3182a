//! How what happens is folded into notices.

use std::time::Duration;

use super::*;
use crate::alert::decide::{Memory, Moment, changes};
use crate::alert::event::Condition;
use crate::state::{Line, NOTICES_MAX, Severity, Subject};

/// A leader's view, turn by turn.
struct Leader {
    state: ClusterState,
    memory: Memory,
}

fn condition(key: &str, severity: Severity) -> Condition {
    Condition { key: key.into(), severity, what: key.to_lowercase(), settle: Duration::from_secs(5) }
}

fn warning(key: &str) -> Condition {
    condition(key, Severity::Warning)
}

impl Leader {
    fn new() -> Self {
        Self { state: listened(), memory: Memory::default() }
    }

    /// One turn, so many seconds after this node began to lead; how many notices it changes.
    fn sees(&mut self, second: u64, conditions: &[Condition]) -> usize {
        let at_ms = NOW_MS + i64::try_from(second).unwrap() * 1000;
        let now = Moment { leading: Duration::from_secs(second), at_ms };
        let changes = changes(&mut self.memory, &self.state, conditions, now);
        let count = changes.len();
        agree(&mut self.state, at_ms, changes);
        count
    }

    fn lines(&self) -> Vec<Vec<Line>> {
        let lines = |n: &crate::state::Notice| match &n.subject {
            Subject::Troubles(lines) => Some(lines.clone()),
            Subject::Operation(_) => None,
        };
        self.state.alerts.notices.iter().filter_map(lines).collect()
    }
}

#[test]
fn a_trouble_is_told_when_it_lasts_and_said_to_be_over() {
    let mut leader = Leader::new();
    let down = [warning("ReplicaDown:db2")];
    assert_eq!(leader.sees(10, &down), 0, "it may be over in a moment");
    assert_eq!(leader.sees(12, &[]), 0);
    assert_eq!((leader.sees(20, &down), leader.sees(24, &down)), (0, 0), "it has just begun again");
    assert_eq!(leader.sees(25, &down), 1);
    assert_eq!((leader.sees(26, &down), leader.sees(40, &[]), leader.sees(44, &[])), (0, 0, 0));
    assert_eq!(leader.sees(45, &[]), 1);
    assert!(leader.state.alerts.notices[0].is_over());
    assert_eq!(leader.state.alerts.notices[0].revision, 2);
    assert_eq!(leader.sees(60, &[]), 0);
}

#[test]
fn a_trouble_that_gets_worse_is_told_to_those_who_hear_of_worse_alone() {
    let mut leader = Leader::new();
    let [info, worse] = [Severity::Info, Severity::Warning].map(|s| [condition("NodeDown:db2", s)]);
    leader.sees(10, &info);
    assert_eq!((leader.sees(15, &info), leader.sees(16, &worse), leader.sees(17, &worse)), (1, 1, 0));
    assert_eq!(leader.state.alerts.notices[0].severity, Severity::Warning);
}

#[test]
fn a_story_that_is_cut_is_told_once() {
    let mut leader = Leader::new();
    let long = vec!["x".repeat(2_000)];
    leader.state.operation = Some(Operation { evidence: long, ..failover() });
    assert_eq!((leader.sees(10, &[]), leader.sees(10, &[])), (1, 0));
}

#[test]
fn what_comes_again_is_the_same_notice() {
    let mut leader = Leader::new();
    let down = [warning("ReplicaDown:db2")];
    for begin in [10, 100, 200] {
        leader.sees(begin, &down);
        leader.sees(begin + 5, &down);
        leader.sees(begin + 10, &[]);
        leader.sees(begin + 15, &[]);
    }
    assert_eq!(leader.lines().len(), 1);
    assert_eq!(leader.lines()[0][0].times, 3);
    // Half an hour later it is another story.
    leader.sees(2000, &down);
    leader.sees(2005, &down);
    assert_eq!(leader.lines().len(), 2);
}

#[test]
fn a_trouble_that_comes_and_goes_changes_its_notice_once_a_minute_at_most() {
    let mut leader = Leader::new();
    let down = [warning("ReplicaDown:db2")];
    let mut changed = 0;
    for second in (10..310).step_by(20) {
        changed += leader.sees(second, &down) + leader.sees(second + 5, &down);
        changed += leader.sees(second + 10, &[]) + leader.sees(second + 15, &[]);
    }
    assert!(changed <= 12, "{changed} changes in five minutes");
}

#[test]
fn a_storm_is_one_message_and_what_is_worse_has_its_own() {
    let mut leader = Leader::new();
    let storm = ["NodeDown:db1", "NodeDown:db2", "ReplicaDown:db1", "ReplicaDown:db2"].map(warning);
    leader.sees(10, &storm);
    assert_eq!(leader.sees(15, &storm), 1);
    let mut more = storm.to_vec();
    more.push(warning("DiskNearlyFull:db3"));
    leader.sees(16, &more);
    assert_eq!(leader.sees(21, &more), 1);
    assert_eq!(leader.lines().iter().map(Vec::len).collect::<Vec<_>>(), [5]);
    more.push(condition("TwoWritersSeen", Severity::Critical));
    leader.sees(22, &more);
    leader.sees(27, &more);
    assert_eq!(leader.lines().iter().map(Vec::len).collect::<Vec<_>>(), [5, 1]);
    assert_eq!(leader.sees(60, &more[..1]), 0);
    assert_eq!(leader.sees(66, &more[..1]), 2, "both change, the rest lasts on");
    assert!(!leader.state.alerts.notices[0].is_over() && leader.state.alerts.notices[1].is_over());
}

#[test]
fn a_new_leader_calls_nothing_wrong_or_over_before_it_has_heard_everybody() {
    let mut leader = Leader::new();
    let down = [warning("ReplicaDown:db2")];
    leader.sees(10, &down);
    leader.sees(15, &down);
    leader.memory = Memory::default();
    assert_eq!((leader.sees(0, &[]), leader.sees(2, &[warning("NodeDown:db1")])), (0, 0));
    assert_eq!(leader.sees(9, &down), 0);
    assert_eq!(leader.lines()[0].len(), 1);
}

#[test]
fn an_operation_is_one_notice_until_its_last_word_and_old_ones_are_not_told() {
    let mut leader = Leader::new();
    assert_eq!(leader.sees(0, &[]), 0);
    failed_over(&mut leader.state);
    assert_eq!(leader.sees(1, &[]), 1);
    assert_eq!(leader.sees(2, &[]), 0);
    assert!(!leader.state.alerts.notices[0].is_over());
    lossless_again(&mut leader.state);
    assert_eq!(leader.sees(3, &[]), 1);
    assert!(leader.state.alerts.notices[0].is_over());
    leader.state.durability = crate::state::Durability::Unknown;
    assert_eq!(leader.sees(4, &[]), 0, "its last word was said");

    // Whoever listens only now is not told of it.
    agree(&mut leader.state, NOW_MS, vec![AlertChange::Listen(false), AlertChange::Listen(true)]);
    assert_eq!(leader.sees(5, &[]), 0);
}

#[test]
fn notices_are_bounded_and_open_ones_stay_longest() {
    let mut state = listened();
    let put = |n: usize, over: Option<i64>| AlertChange::Put {
        id: format!("n{n}"),
        severity: Severity::Warning,
        subject: Subject::Troubles(vec![Line {
            key: n.to_string(),
            severity: Severity::Warning,
            what: "x".repeat(5000),
            since_ms: NOW_MS,
            times: 1,
            over_ms: over,
        }]),
        nonce: String::new(),
    };
    for n in 0..100 {
        agree(&mut state, NOW_MS + n as i64, vec![put(n, (n % 2 == 1).then_some(NOW_MS))]);
    }
    assert_eq!(state.alerts.notices.len(), NOTICES_MAX);
    assert!(state.alerts.dropped > 0);
    let bytes = serde_json::to_string(&state.alerts).unwrap().len();
    assert!(bytes < 40_000, "{bytes} bytes with every change of the state");
}
