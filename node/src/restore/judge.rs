//! What speaks against beginning a restore. Pure: `look` has what it goes by.

use std::path::{Path, PathBuf};

use super::chain::Chain;
use super::plan::{Target, Tool, Way, package_of, program_of};
use super::replay::STAGED_BYTES_MAX;
use super::work::{FOLDER, Left};
use crate::gtid::MysqlSet;
use crate::paper::size;
use crate::sql::Version;
use crate::sql::loading::Receiver;

/// Beside the streams' own bytes, so much has to be free: redo logs, and what file systems need themselves. In percent.
const ROOM_PERCENT: u64 = 105;
/// Of what is in a folder, so much is named.
const NAMED_MAX: usize = 3;

/// What is known of the destination.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// What is there and would be replaced, by name.
    pub(super) entries: Vec<String>,
    /// Of a restore that did not end.
    pub(super) left: Option<Left>,
    /// Bytes that are free, those of what is left counted in.
    pub(super) free_bytes: u64,
    /// A process that works there.
    pub(super) used_by: Option<String>,
    /// What is needed, and whether it is there.
    pub(super) tools: Vec<Tool>,
    /// The server's program, and what it says of its version.
    pub(super) server: Option<(PathBuf, String)>,
    /// The running server that the SQL goes into, or why it cannot be asked.
    pub(super) receiver: Option<Result<Receiver, String>>,
    /// Why no key opens the backup.
    pub(super) key: Option<String>,
}

/// What an operator said beside the target.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wish {
    /// What is there may go.
    pub(super) force: bool,
    /// The server's version may differ.
    pub(super) other_version: bool,
    /// The restored server is started and looked at.
    pub(super) sandbox: bool,
    /// Bytes of the segments that are replayed.
    pub(super) replayed_bytes: u64,
}

/// What speaks against it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// It is not begun.
    pub(super) faults: Vec<String>,
    /// It is begun all the same.
    pub(super) warnings: Vec<String>,
}

/// Bytes that it takes at the destination. `replayed`: of segments, which may all be rows that are new, and of which some lie
/// beside the data meanwhile.
pub(super) fn needed_bytes(chain: &Chain, way: Way, replayed: u64) -> u64 {
    match way {
        // The server says itself what it has no room for.
        Way::Dump => 0,
        _ => {
            let beside = replayed.min(STAGED_BYTES_MAX);
            (chain.bytes() / 100).saturating_mul(ROOM_PERCENT).saturating_add(replayed).saturating_add(beside)
        }
    }
}

/// Looks at everything at once: whoever restores wants to hear all of it at the first try.
pub(super) fn judge(chain: &Chain, way: Way, target: &Target, facts: &Facts, wish: Wish) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.faults.extend(facts.key.clone());
    for tool in facts.tools.iter().filter(|tool| tool.found.is_none()) {
        let Tool { name, package, .. } = tool;
        verdict.faults.push(format!("there is no {name} on the PATH: apt-get install {package}"));
    }
    match target {
        Target::Directory(path) | Target::Output(path) => {
            let needed = needed_bytes(chain, way, wish.replayed_bytes);
            place(needed, way, path, facts, &mut verdict);
        }
        Target::Server(path) => server(chain, path, facts, wish, &mut verdict),
    }
    versions(chain, way, facts, wish, &mut verdict);
    if chain.is_guess {
        verdict.warnings.push(
            "whether this backup lies wholly before the moment its server says once it runs; it is not replayed if not".into(),
        );
    }
    for (id, why) in &chain.passed_over {
        verdict.warnings.push(format!("a newer backup, {id}, is passed over: {why}"));
    }
    verdict
}

fn place(needed: u64, way: Way, path: &Path, facts: &Facts, verdict: &mut Verdict) {
    let (shown, faults) = (path.display(), &mut verdict.faults);
    if let Some(process) = &facts.used_by {
        faults.push(format!("{process} is at work in {shown}: stop it first"));
    }
    // Nothing of anybody is removed here: a folder may hold more than its data, also what this restore reads.
    if facts.left == Some(Left::Swapping) && !facts.entries.is_empty() {
        faults.push(format!(
            "{shown} has a part of a restore that was ended in its last step: empty it but for {FOLDER}, and run this again"
        ));
    } else if !facts.entries.is_empty() {
        let named: Vec<_> = facts.entries.iter().take(NAMED_MAX).map(String::as_str).collect();
        let more = if facts.entries.len() > NAMED_MAX { ", …" } else { "" };
        let what = match way {
            Way::Stream => format!("{shown} is there already"),
            _ => format!("{shown} is not empty ({}{more})", named.join(", ")),
        };
        faults.push(format!("{what}: name another one, or move away what is there"));
    }
    let free = facts.free_bytes;
    if free < needed {
        faults.push(format!(
            "{shown} has room for {} and {} are needed: {} are missing",
            size(free),
            size(needed),
            size(needed - free)
        ));
    }
}

fn server(chain: &Chain, path: &Path, facts: &Facts, wish: Wish, verdict: &mut Verdict) {
    let (shown, faults) = (path.display(), &mut verdict.faults);
    let receiver = match &facts.receiver {
        None => return,
        Some(Err(why)) => return faults.push(format!("{shown}: {why}")),
        Some(Ok(receiver)) => receiver,
    };
    let Some(last) = chain.last() else { return };
    if receiver.dialect != last.server.dialect {
        faults.push(format!("{shown} is {} and the backup is of {}", receiver.dialect, last.server.dialect));
    }
    if receiver.is_read_only {
        faults.push(format!("{shown} is read-only: SET GLOBAL read_only=OFF there first"));
    }
    let is_of_this = receiver.part_of.as_ref().is_some_and(|part| *part == last.backup);
    if receiver.has_part && !is_of_this {
        let of = receiver.part_of.as_deref().unwrap_or("another backup");
        faults.push(format!(
            "{shown} has a part of {of}, which would be mixed with this one: take a server that is empty, or restore {of}"
        ));
    }
    if !receiver.schemas.is_empty() && !wish.force && !receiver.has_part {
        let named: Vec<_> = receiver.schemas.iter().take(NAMED_MAX).map(String::as_str).collect();
        faults.push(format!(
            "{shown} is not empty (schemas {}): take another server, or let --force write over what is there",
            named.join(", ")
        ));
    }
    let has = |text: &str| text.parse::<MysqlSet>().unwrap_or_default();
    let (own, theirs) =
        (has(&receiver.gtids), last.position.as_ref().map(|p| has(&p.gtids)).unwrap_or_default());
    if !own.is_empty() && !receiver.has_part {
        if own.intersect(&theirs).is_empty() {
            verdict.warnings.push(format!(
                "{shown} has transactions of its own, {own}, which no other server of the cluster has: RESET BINARY LOGS AND \
                 GTIDS (RESET MASTER before 8.2) there before it is restored"
            ));
        } else {
            faults.push(format!(
                "{shown} has transactions of the backup already, and cannot be told so twice: RESET BINARY LOGS AND GTIDS \
                 (RESET MASTER before 8.2) there first"
            ));
        }
    }
}

/// Files fit the series that wrote them. SQL fits that one and later ones.
fn versions(chain: &Chain, way: Way, facts: &Facts, wish: Wish, verdict: &mut Verdict) {
    let Some(last) = chain.last().filter(|_| way != Way::Stream) else { return };
    let of = &last.server.version;
    let mut look = |what: &str, found: &str| {
        let (there, wanted) = (series(found), series(of));
        let fits = match way {
            Way::Dump => there >= wanted,
            _ => there == wanted,
        };
        if there.is_none() || wanted.is_none() || fits {
            return;
        }
        let text = format!("{what} is of version {} and the backup of {of}", version(found).unwrap_or(found));
        if wish.other_version {
            verdict.warnings.push(text);
        } else {
            verdict.faults.push(format!(
                "{text}: install that series, or pass --other-version if you know that it fits"
            ));
        }
    };
    for tool in facts.tools.iter().filter(|tool| tool.name == "mariadb-backup") {
        if let Some((path, found)) = &tool.found {
            look(&path.display().to_string(), found);
        }
    }
    match (&facts.receiver, &facts.server, way) {
        (Some(Ok(receiver)), _, _) => look("the server", &receiver.version),
        (_, _, Way::Dump) => {}
        (_, Some((path, found)), _) => look(&path.display().to_string(), found),
        (_, None, _) if wish.sandbox => verdict.faults.push(format!(
            "there is no {} on the PATH, which --sandbox starts: apt-get install {}",
            program_of(last.server.dialect),
            package_of(last.server.dialect)
        )),
        (_, None, _) => verdict.warnings.push(format!(
            "no {} is installed here yet; the backup needs {} {}",
            program_of(last.server.dialect),
            last.server.dialect,
            series(of).map(|(major, minor)| format!("{major}.{minor}")).unwrap_or_default()
        )),
    }
}

/// Of what a program or a server says of itself, the first that is three numbers with dots between.
fn version(said: &str) -> Option<&str> {
    said.split_whitespace().find(|word| {
        let mut parts = word.split(['.', '-']);
        let mut is_number = || parts.next().is_some_and(|part| part.parse::<u16>().is_ok());
        is_number() && is_number() && is_number()
    })
}

fn series(said: &str) -> Option<(u16, u16)> {
    let (major, minor, _) = Version::parse(version(said)?).number;
    Some((major, minor))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::testing::chain;
    use super::*;
    use crate::gtid::Dialect;

    fn tool(name: &'static str, said: &str) -> Tool {
        let found = Some((Path::new("/usr/bin").join(name), said.to_owned()));
        Tool { name, package: "mariadb-backup", found }
    }

    fn good() -> Facts {
        let said = "mariadb-backup based on MariaDB server 10.11.14-MariaDB debian-linux-gnu (x86_64)";
        Facts {
            free_bytes: 1 << 30,
            tools: vec![tool("mariadb-backup", said), tool("mbstream", "")],
            server: Some(("/usr/sbin/mariadbd".into(), "mariadbd  Ver 10.11.16-MariaDB for debian".into())),
            ..Facts::default()
        }
    }

    #[tokio::test]
    async fn everything_that_speaks_against_it_is_said_at_once() {
        let (chain, way) = (chain().await, Way::MariadbBackup);
        let target = Target::Directory("/var/lib/mysql".into());
        let judged = |facts: &Facts, wish| judge(&chain, way, &target, facts, wish);
        assert_eq!(judged(&good(), Wish::default()), Verdict::default());
        let mut bad = Facts {
            entries: vec!["ibdata1".into()],
            used_by: Some("mariadbd (process 7)".into()),
            free_bytes: 1 << 20,
            key: Some("none of the keys here opens it".into()),
            server: Some(("/usr/sbin/mariadbd".into(), "mariadbd  Ver 11.4.2-MariaDB".into())),
            ..good()
        };
        bad.tools[1].found = None;
        let faults = judged(&bad, Wish::default()).faults.join("\n");
        for part in [
            "none of the keys here",
            "no mbstream on the PATH: apt-get install mariadb-backup",
            "mariadbd (process 7) is at work in /var/lib/mysql",
            "is not empty (ibdata1)",
            "has room for 1.0 MiB and 18.9 MiB are needed: 17.9 MiB are missing",
            "/usr/sbin/mariadbd is of version 11.4.2-MariaDB and the backup of 10.11.14-MariaDB",
        ] {
            assert!(faults.contains(part), "{part} in {faults}");
        }
        assert_eq!(faults.lines().count(), 6);
        let forced =
            judged(&bad, Wish { force: true, other_version: true, sandbox: false, replayed_bytes: 0 });
        assert_eq!((forced.faults.len(), forced.warnings.len()), (5, 1), "{forced:?}");
        let killed = Facts { left: Some(Left::Swapping), entries: bad.entries.clone(), ..good() };
        let said = judged(&killed, Wish::default()).faults;
        assert!(said.len() == 1 && said[0].contains("ended in its last step"), "{said:?}");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_yet() {
        let chain = chain().await;
        let target = Target::Directory("/d".into());
        let facts = Facts { server: None, ..good() };
        let judged = |wish| judge(&chain, Way::MariadbBackup, &target, &facts, wish);
        assert!(judged(Wish::default()).warnings[0].contains("the backup needs MariaDB 10.11"));
        let wish = Wish { sandbox: true, ..Wish::default() };
        assert!(judged(wish).faults[0].contains("apt-get install mariadb-server"));
    }

    #[tokio::test]
    async fn a_running_server_has_to_be_empty_and_of_the_family() {
        let (mut chain, target) = (chain().await, Target::Server("/run/s".into()));
        let judged = |chain: &Chain, receiver: Receiver| {
            let facts = Facts { receiver: Some(Ok(receiver)), ..good() };
            judge(chain, Way::Dump, &target, &facts, Wish::default())
        };
        let receiver = Receiver {
            dialect: Dialect::Mariadb,
            version: "11.4.2-MariaDB".into(),
            schemas: Vec::new(),
            gtids: String::new(),
            is_read_only: false,
            has_part: false,
            part_of: None,
        };
        let newer = Receiver { ..receiver.clone() };
        assert!(judged(&chain, newer).faults.iter().all(|fault| fault.contains("/usr/bin/mariadb-backup")));
        let full = Receiver {
            schemas: vec!["app".into()],
            is_read_only: true,
            dialect: Dialect::Mysql,
            ..receiver.clone()
        };
        let faults = judged(&chain, full.clone()).faults.join("\n");
        for part in ["is MySQL and the backup is of MariaDB", "is read-only", "is not empty (schemas app)"] {
            assert!(faults.contains(part), "{part} in {faults}");
        }
        let set = |numbers: &str| format!("3e11fa47-71ca-11e1-9e33-c80aa9429562:{numbers}");
        for part in chain.parts_mut() {
            part.position.as_mut().unwrap().gtids = set("1-9");
        }
        let overlaps = judged(&chain, Receiver { gtids: set("5"), ..receiver.clone() });
        assert!(overlaps.faults.join("\n").contains("cannot be told so twice"), "{overlaps:?}");
        let own = judged(&chain, Receiver { gtids: set("50"), ..receiver.clone() });
        assert!(own.warnings.join("\n").contains("transactions of its own"), "{own:?}");
        // One that was killed before may be begun again, and no other in its place.
        let last = chain.last().unwrap().backup.clone();
        let other = Receiver { has_part: true, part_of: Some("another".into()), ..receiver.clone() };
        assert!(judged(&chain, other).faults.join("\n").contains("has a part of another"));
        let part = Receiver {
            has_part: true,
            part_of: Some(last.clone()),
            is_read_only: false,
            dialect: Dialect::Mariadb,
            gtids: set("5"),
            ..full
        };
        let again = judged(&chain, part);
        assert!(again.faults.iter().all(|fault| fault.contains("mariadb-backup")), "{again:?}");
    }

    #[test]
    fn versions_as_programs_say_them() {
        for (said, expected) in [
            ("mariadbd  Ver 10.11.14-MariaDB-0+deb12u2 for debian-linux-gnu on x86_64", Some((10, 11))),
            ("/usr/sbin/mysqld  Ver 9.7.0 for Linux on x86_64 (MySQL Community Server - GPL)", Some((9, 7))),
            (
                "mariadb-backup based on MariaDB server 11.4.2-MariaDB debian-linux-gnu (x86_64)",
                Some((11, 4)),
            ),
            ("8.0.36", Some((8, 0))),
            ("tar (GNU tar) 1.34", None),
        ] {
            assert_eq!(series(said), expected, "{said}");
        }
    }
}
