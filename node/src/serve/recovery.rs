//! `batonctl recovery`: what can be restored now.

use baton_proto::control::{RecoveryMoment, RecoveryReply, RecoveryWindow, RecoveryWork};

use super::View;
use super::backup::archive;
use crate::decide::archive::{Stretch, known};
use crate::decide::backup::recovery::{Named, Window, Work, recovery as found, state_ms};

/// The answer, by what the group knows and the node says that archives.
pub(super) fn recovery(view: &View<'_>) -> RecoveryReply {
    let View { state, seen, .. } = view;
    let collector = state.collector.as_ref();
    let said = collector.and_then(|now| known(seen, &now.node));
    let found = found(&state.backups, said.as_ref());
    let archived = said.as_ref().and_then(|said| said.covers().last().map(|newest| newest.last_ms));
    let read_again = found.read_again.and_then(|(backup, listed)| {
        let at_ms = listed.verified.as_ref()?.at_ms;
        Some(RecoveryMoment { backup: backup.to_owned(), at_ms })
    });
    RecoveryReply {
        windows: found.windows.iter().map(window).collect(),
        alone: found.alone.iter().map(moment).collect(),
        unreached: found.unreached.iter().map(unreached).collect(),
        archive: archive(state, seen),
        archived_ms: archived.unwrap_or_default(),
        read_again,
        newest: found.newest.map(work),
    }
}

fn window(window: &Window<'_>) -> RecoveryWindow {
    let (backup, first) = window.first;
    RecoveryWindow {
        from_ms: window.from_ms(),
        backup: backup.to_owned(),
        from_gtids: first.gtids.clone(),
        ..unreached(&window.stretch)
    }
}

fn unreached(stretch: &Stretch) -> RecoveryWindow {
    let (from_gtids, to_gtids) =
        stretch.sets.as_ref().map(|(from, to)| (from.to_string(), to.to_string())).unwrap_or_default();
    RecoveryWindow {
        from_ms: stretch.first_ms,
        to_ms: stretch.last_ms,
        backup: String::new(),
        from_gtids,
        to_gtids,
    }
}

fn moment((backup, listed): &Named<'_>) -> RecoveryMoment {
    RecoveryMoment { backup: (*backup).to_owned(), at_ms: state_ms(listed) }
}

fn work(work: Work<'_>) -> RecoveryWork {
    let known = |number: Option<u64>| number.and_then(|number| i64::try_from(number).ok()).unwrap_or(-1);
    RecoveryWork {
        at_ms: work.at_ms,
        backups: work.backups.into_iter().map(ToOwned::to_owned).collect(),
        bytes: work.bytes,
        bytes_per_second: work.rate.unwrap_or_default(),
        seconds: known(work.seconds),
        replayed: known(work.replayed),
    }
}
