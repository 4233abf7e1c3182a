//! What a statement on the admin interface does. In front of SQLite stand a few answers by rote, commands of ProxySQL's own,
//! and what drivers send by habit.

use super::Shared;
use super::answer::Answer;

/// A real one understands the first two words of these in any case, with any blanks; a comment makes them unknown.
const LOADED: [&str; 5] =
    ["MYSQL USERS", "MYSQL QUERY RULES", "MYSQL VARIABLES", "ADMIN VARIABLES", "PROXYSQL SERVERS"];

/// Answers one packet.
pub(super) fn answer(shared: &Shared, statement: &str) -> Answer {
    let trimmed = statement.trim();
    if trimmed == ";" {
        shared.crash();
        return Answer::Crash;
    }
    let plain = trimmed.trim_end_matches(';').trim_end();
    if plain.is_empty() || plain.starts_with("--") || (plain.starts_with("/*") && plain.ends_with("*/")) {
        return Answer::admin_error("not an error");
    }
    let words = words(plain);
    by_rote(plain, &words)
        .or_else(|| by_habit(plain, &words))
        .or_else(|| own(shared, &words))
        .unwrap_or_else(|| sql(shared, statement, &words))
}

/// In capitals, with one blank between two.
fn words(statement: &str) -> String {
    statement.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_uppercase()
}

/// Matched by their beginning, so that an alias or another name with the same beginning gets the same.
fn by_rote(plain: &str, words: &str) -> Option<Answer> {
    let asked = words.strip_prefix("SELECT @@")?;
    if asked.contains("@@") {
        return Some(Answer::admin_error("near \",\": syntax error"));
    }
    if asked == "GLOBAL.READ_ONLY" {
        return Some(Answer::rows("@@global.read_only", &["0"]));
    }
    if asked.starts_with("GLOBAL.") || asked.starts_with("SESSION.") {
        return Some(Answer::admin_error("near \".\": syntax error"));
    }
    let column = plain.get(7..).unwrap_or_default();
    Some(match asked {
        "MAX_ALLOWED_PACKET" => Answer::rows(column, &["67108864"]),
        "VERSION_COMMENT LIMIT 1" => Answer::rows("@@version_comment", &["(ProxySQL Admin Module)"]),
        "SQL_MODE" => Answer::rows(column, &[""]),
        version if version.starts_with("VERSION") => Answer::rows("@@version", &["2.7.1-16-g2726c27"]),
        // A result with a column and no row.
        _ => Answer::rows(column, &[]),
    })
}

/// Drivers send these; they are answered with OK and do nothing.
fn by_habit(plain: &str, words: &str) -> Option<Answer> {
    const NOTHING: [&str; 8] = [
        "BEGIN",
        "START TRANSACTION",
        "COMMIT",
        "ROLLBACK",
        "LOCK TABLES",
        "UNLOCK TABLES",
        "SAVEPOINT",
        "USE ",
    ];
    const IGNORED: [&str; 4] =
        ["SET NAMES", "SET AUTOCOMMIT", "SET CHARACTER_SET_RESULTS", "SET SQL_AUTO_IS_NULL"];
    if NOTHING.iter().chain(&IGNORED).any(|start| words.starts_with(start)) {
        return Some(Answer::done(0));
    }
    // A failure within an OK.
    let name = words.starts_with("SET ").then(|| plain[4..].split('=').next().unwrap_or_default().trim());
    name.map(|name| Answer::Done { affected: 0, info: format!("ERROR: Unknown global variable: '{name}'.") })
}

/// Commands of ProxySQL.
fn own(shared: &Shared, words: &str) -> Option<Answer> {
    let done = |outcome: anyhow::Result<()>| match outcome {
        Ok(()) => Answer::done(0),
        Err(error) => Answer::admin_error(&error.to_string()),
    };
    let target = |rest: &str, from_to: [&str; 2]| from_to.contains(&rest);
    if let Some(rest) = words.strip_prefix("LOAD MYSQL SERVERS ") {
        let to_runtime = ["TO RUNTIME", "TO RUN", "FROM MEMORY", "FROM MEM"].contains(&rest);
        if to_runtime {
            return Some(done(shared.tables.load().map(|loaded| shared.lead(loaded))));
        }
        return target(rest, ["TO MEMORY", "FROM DISK"]).then(|| done(shared.tables.copy("disk", "main")));
    }
    if let Some(rest) = words.strip_prefix("SAVE MYSQL SERVERS ") {
        if target(rest, ["TO DISK", "FROM MEMORY"]) || rest == "FROM MEM" {
            return Some(done(shared.tables.copy("main", "disk")));
        }
        let from_runtime = || show(shared).and_then(|()| shared.tables.save_runtime());
        return target(rest, ["TO MEMORY", "FROM RUNTIME"]).then(|| done(from_runtime()));
    }
    if words == "PROXYSQL READONLY" || words == "PROXYSQL READWRITE" {
        return Some(done(shared.tables.read_only(words == "PROXYSQL READONLY")));
    }
    let other = words.strip_prefix("LOAD ").or_else(|| words.strip_prefix("SAVE "))?;
    LOADED.iter().any(|what| other.starts_with(what)).then(|| Answer::done(0))
}

fn sql(shared: &Shared, statement: &str, words: &str) -> Answer {
    let of_runtime = words.contains("RUNTIME_") || words.contains("STATS_");
    if of_runtime && let Err(error) = show(shared) {
        return Answer::admin_error(&error.to_string());
    }
    match shared.tables.first(statement) {
        // What is written there is gone at the next look.
        Answer::Done { .. } if of_runtime => Answer::done(u64::from(words.starts_with("INSERT"))),
        answer => answer,
    }
}

fn show(shared: &Shared) -> anyhow::Result<()> {
    let runtime = shared.runtime.borrow().clone();
    shared.tables.show(&runtime, |server| shared.pool.used(server))
}
