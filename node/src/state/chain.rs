//! Chains of backups: an increment, what it adds to, and what that adds to, down to a full one.

use super::{Backup, Backups};

/// So many backups are listed; older ones are in the stores alone. The whole state is written at each change, and goes to a
/// new node in one message.
pub const BACKUPS_LISTED: usize = 500;

impl Backups {
    /// What a backup adds to, the nearest first, as far as it is listed. A ring, which no honest store has, ends.
    pub fn bases<'s>(&'s self, backup: &str) -> impl Iterator<Item = (&'s str, &'s Backup)> {
        let below = |listed: Option<&'s Backup>| {
            let (base, backup) = self.catalogue.get_key_value(listed?.base.as_ref()?)?;
            Some((base.as_str(), backup))
        };
        let first = below(self.catalogue.get(backup));
        std::iter::successors(first, move |(_, listed)| below(Some(*listed))).take(self.catalogue.len())
    }

    /// The increments that add to a backup itself.
    pub fn added_to<'s>(&'s self, backup: &'s str) -> impl Iterator<Item = (&'s str, &'s Backup)> {
        let all = self.catalogue.iter().map(|(id, listed)| (id.as_str(), listed));
        all.filter(move |(_, listed)| listed.base.as_deref() == Some(backup))
    }

    /// The increments that add to a backup and stay in that store.
    pub fn needed_by<'s>(&'s self, backup: &'s str, store: &str) -> Vec<&'s str> {
        self.added_to(backup).filter(|(_, other)| other.stays_in(store)).map(|(id, _)| id).collect()
    }

    /// Why a backup cannot be restored, as far as is known: the part of its chain that is damaged, or not listed.
    pub fn fault_of(&self, backup: &str) -> Option<String> {
        let Some(listed) = self.catalogue.get(backup) else { return Some(format!("{backup} is not listed")) };
        let (mut id, mut last) = (backup, listed);
        for (base, below) in std::iter::once((backup, listed)).chain(self.bases(backup)) {
            if !below.is_good() {
                return Some(format!("{base} was found damaged"));
            }
            (id, last) = (base, below);
        }
        last.base.as_ref().map(|base| format!("{id} adds to {base}, which is not listed"))
    }

    /// Whether nothing speaks against a restore of it.
    pub fn is_restorable(&self, backup: &str) -> bool {
        self.fault_of(backup).is_none()
    }

    /// Whether it, and all that it adds to, is good and stays in that store.
    pub fn is_whole_in(&self, backup: &str, store: &str) -> bool {
        let stays = |id: &str| self.catalogue.get(id).is_some_and(|listed| listed.stays_in(store));
        self.is_restorable(backup) && stays(backup) && self.bases(backup).all(|(base, _)| stays(base))
    }

    /// Lists no more than it should. A chain is forgotten from its end, and what is pinned last.
    pub(super) fn forget_oldest(&mut self) {
        while self.catalogue.len() > BACKUPS_LISTED {
            let ends = || self.catalogue.iter().filter(|(id, _)| self.added_to(id).next().is_none());
            let oldest = ends().find(|(_, listed)| !listed.is_pinned).or_else(|| ends().next());
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else { return };
            self.catalogue.remove(&oldest);
        }
    }
}
