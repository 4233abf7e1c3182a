//! What was found, as an operator reads it. Pure.

use serde::Serialize;

use super::choose::Fate;
use super::hits::Found;
use super::scan::Deed;
use super::wanted::Wanted;
use super::words::Kind;
use crate::paper::wrapped;
use crate::restore::replay::Moment;

/// Of the tables of one statement so many are named.
const NAMED_MAX: usize = 4;
/// A word that is longer is broken: lists of names have no spaces.
const WORD_MAX: usize = 60;
/// Of the column with the kinds.
const KIND: usize = 10;
/// How far what a transaction did stands in.
const IN: &str = "      ";

/// A transaction, for people and for machines.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    moment: Moment,
    fate: Fate,
    deeds: Vec<Deed>,
    /// So many beside these.
    more: u64,
}

/// What was looked through.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Searched {
    pub(super) segments: u64,
    /// When the first transaction of these was committed, and the last, in milliseconds since 1970.
    pub(super) first_ms: u64,
    pub(super) last_ms: u64,
}

/// How one gets to right before a transaction: the last one that was found of those that the cluster went on with.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Back {
    pub(super) before: String,
    /// What to type; `None` where no restore leads there.
    pub(super) command: Option<String>,
    /// Why none does.
    pub(super) why_not: Option<String>,
}

/// The whole answer, for people and for machines.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Answer {
    pub(super) store: String,
    pub(super) cluster: String,
    pub(super) searched: Searched,
    /// The oldest first.
    pub(super) transactions: Vec<Shown>,
    /// There are more, which were not looked for.
    pub(super) has_more: bool,
    /// What could not be looked through.
    pub(super) lacks: Vec<String>,
    pub(super) back: Option<Back>,
}

impl Shown {
    pub(super) fn of(Found { hit, fate, .. }: Found) -> Self {
        let moment = Moment { gtid: hit.gtid.to_string(), committed_us: hit.at_us };
        Self { moment, fate, deeds: hit.deeds, more: hit.more }
    }

    fn stands_out(&self) -> bool {
        self.deeds.iter().any(stands_out)
    }

    fn render(&self) -> String {
        let mark = if self.stands_out() { "! " } else { "  " };
        let mut page = wrapped(mark, IN, &self.moment.text());
        page += match self.fate {
            Fate::Kept => "",
            Fate::Lost => "      lost: the cluster went on without it\n",
            Fate::Earlier => "      of an earlier history, before the GTIDs began anew\n",
        };
        for deed in &self.deeds {
            page += &render(deed);
        }
        if self.more > 0 {
            page += &format!("{IN}and {} more\n", self.more);
        }
        page
    }
}

fn stands_out(deed: &Deed) -> bool {
    [Kind::Drop, Kind::Truncate].contains(&deed.kind)
}

fn render(deed: &Deed) -> String {
    let name = deed.kind.name();
    let kind = if stands_out(deed) { name.to_uppercase() } else { name.to_owned() };
    let (first, next) = (format!("{IN}{kind:<KIND$}"), format!("{IN}{:KIND$}", ""));
    let rows = match (deed.rows, &deed.statement) {
        (Some(1), _) => Some("1 row".to_owned()),
        (Some(rows), _) => Some(format!("{rows} rows")),
        (None, None) => Some("rows".to_owned()),
        (None, Some(_)) => None,
    };
    let named = deed.tables.iter().take(NAMED_MAX).cloned();
    let more = deed.tables.len().saturating_sub(NAMED_MAX);
    let more = (more > 0).then(|| format!("{more} more tables"));
    let what = named.chain(more).chain(rows).collect::<Vec<_>>().join(", ");
    match (&deed.statement, what.is_empty()) {
        (Some(statement), true) => wrapped(&first, &next, &broken(statement)),
        (Some(statement), false) => {
            wrapped(&first, &next, &broken(&what)) + &wrapped(&next, &next, &broken(statement))
        }
        (None, _) => wrapped(&first, &next, &broken(&what)),
    }
}

/// Long words in pieces.
fn broken(text: &str) -> String {
    let mut out = String::new();
    let mut length = 0;
    for c in text.chars() {
        length = if c.is_whitespace() { 0 } else { length + 1 };
        if length > WORD_MAX {
            out.push(' ');
            length = 1;
        }
        out.push(c);
    }
    out
}

impl Answer {
    /// The last accident, to right before which somebody may want to go: of those that the cluster went on with, if there is
    /// any. `None` where what was found is not known to be accidents.
    pub(super) fn last_of_accidents(&self, wanted: &Wanted) -> Option<(String, Fate)> {
        // Where there are more, nobody has seen the last.
        if self.has_more || (!wanted.is_of_accidents() && self.transactions.len() != 1) {
            return None;
        }
        let kept = self.transactions.iter().rfind(|shown| shown.fate == Fate::Kept);
        let last = kept.or(self.transactions.last())?;
        Some((last.moment.gtid.clone(), last.fate))
    }

    pub(super) fn render(&self) -> String {
        let Self { store, cluster, searched, transactions, .. } = self;
        let mut page = format!("binlog of {cluster} in {store}\n");
        page += &match searched.segments {
            0 => "no segment of it is of that time\n".to_owned(),
            segments => wrapped(
                "",
                "  ",
                &format!(
                    "{segments} segments looked through, committed from {} to {}",
                    Moment::time(searched.first_ms.saturating_mul(1000)),
                    Moment::time(searched.last_ms.saturating_mul(1000))
                ),
            ),
        };
        page += "\n";
        for shown in transactions {
            page += &shown.render();
        }
        if transactions.is_empty() {
            page += "nothing of the kind was found\n";
        }
        if self.has_more {
            let count = transactions.len();
            let more = format!(
                "there are more: these are the first {count}; --limit N shows N, --from TIME later ones"
            );
            page += &wrapped("", "  ", &more);
        }
        for lack in &self.lacks {
            page += &wrapped("! ", "  ", &broken(lack));
        }
        if let Some(back) = &self.back {
            page += &back.render(transactions.iter().filter(|shown| shown.fate == Fate::Kept).count());
        }
        page
    }
}

impl Back {
    /// `of`: so many were found that the cluster went on with.
    fn render(&self, of: usize) -> String {
        let Self { before, command, why_not } = self;
        match (command, why_not) {
            (Some(command), _) => {
                let is_quoted = command.contains('\'');
                // An option a line, as a shell takes it; never within quotes.
                let lines = if is_quoted { command.clone() } else { command.replace(" --", " \\\n    --") };
                let last = match of {
                    0 | 1 => String::new(),
                    of => format!(", the last of {of} (for an earlier one put its GTID in the place)"),
                };
                wrapped("\n", "  ", &format!("to right before {before}{last}, with all that precedes it:"))
                    + &format!("  {lines}\n")
            }
            (None, Some(why)) => {
                wrapped("\n", "  ", &broken(&format!("no restore leads to right before {before}: {why}")))
            }
            (None, None) => String::new(),
        }
    }
}

#[cfg(test)]
#[path = "show_tests.rs"]
mod tests;
