//! What needs saying, the worst first. A healthy cluster has none.

use crate::decide::diagnosis::{Diagnosis, Trouble, Writer};
use crate::serve::View;
use crate::serve::why::held_back;
use crate::serve::words::{badness, named, why_not_lossless};

pub(super) fn warnings(view: &View<'_>, diagnosis: &Diagnosis) -> Vec<String> {
    if let Some(without) = view.without_leader {
        return vec![no_leader(view, without.formation.as_deref())];
    }
    let mut warnings = Vec::new();
    if let Writer::Lost(lost) = &diagnosis.writer {
        let evidence = lost.evidence.first().map(String::as_str).unwrap_or_default();
        warnings.push(format!("{}: {evidence}", lost.kind));
        warnings.extend(held_back(view).into_iter().map(|why| format!("no failover: {why}")));
    }
    let mut troubles: Vec<&Trouble> =
        diagnosis.troubles.iter().filter(|t| is_news(view, diagnosis, t)).collect();
    troubles.sort_by_key(|t| badness(t));
    warnings.extend(troubles.into_iter().map(named));
    let unpromised = matches!(view.state.durability, crate::state::Durability::Unknown) && view.is_managed();
    if let Some(why) = why_not_lossless(view.state).filter(|_| unpromised) {
        warnings.push(format!("NotLossless: {why}"));
    }
    warnings
}

/// What the first line or the tree says already is not said again; a server that is down during its own failover neither.
fn is_news(view: &View<'_>, diagnosis: &Diagnosis, trouble: &Trouble) -> bool {
    match trouble {
        // Otherwise the head says NO WRITER, or what speaks against the writer is said already.
        Trouble::NoWriter => matches!(diagnosis.writer, Writer::None | Writer::Serving),
        // What holds a failover back says it already.
        Trouble::QuorumLost { .. } => !matches!(diagnosis.writer, Writer::Lost(_)),
        // Without a writer nothing is acknowledged.
        Trouble::NotLossless(_) => view.state.live_grant().is_some(),
        _ => true,
    }
}

fn no_leader(view: &View<'_>, formation: Option<&str>) -> String {
    if let Some(formation) = formation {
        return format!("no group yet: {formation}");
    }
    let (of, answer) = view.voters();
    if of > 0 && answer * 2 <= of {
        return named(&Trouble::QuorumLost { answer, of });
    }
    format!("no leader: {answer} of {of} voters answer; one is being elected")
}
