//! A data directory that is made once and copied for every server, which is faster than making it each time and gives
//! all of them the same data and the same, empty, GTID set.

use std::fs::{self, File, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use super::bounded::{output, until};
use super::dialect::{Dialect, initial_sql};
use super::option_file::{Place, option_file};
use super::programs::{Programs, cache};

/// Making a data directory takes a few seconds; a busy machine with a slow disk may need much longer.
const MAKE_BOUND: Duration = Duration::from_secs(120);
const COPY_BOUND: Duration = Duration::from_secs(60);

/// Copies the template's data directory to `to`, after making the template where there is none yet.
pub(super) async fn copy_data(
    dialect: Dialect,
    programs: &Programs,
    extra: &[String],
    to: &Path,
) -> Result<()> {
    let template = template(dialect, programs, extra).await?;
    let mut copy = Command::new("cp");
    copy.args(["-a", "--reflink=auto"]).arg(template.join("data")).arg(to);
    output(copy, b"", COPY_BOUND).await.map(drop)
}

/// The template for a server, version, options and first content; it is made when it is not there.
async fn template(dialect: Dialect, programs: &Programs, extra: &[String]) -> Result<PathBuf> {
    let place = Place { folder: Path::new("/"), address: Ipv4Addr::LOCALHOST, server_id: 1 };
    let mut hasher = DefaultHasher::new();
    (&programs.version, initial_sql(), option_file(dialect, programs, &place, extra)).hash(&mut hasher);
    let templates = cache()?.join("templates");
    fs::create_dir_all(&templates).with_context(|| format!("cannot create {}", templates.display()))?;
    let template = templates.join(format!("{}-{:016x}", dialect.name(), hasher.finish()));
    if template.is_dir() {
        return Ok(template);
    }
    let _lock = lock(&templates.join(format!("{}.lock", dialect.name()))).await?;
    if !template.is_dir() {
        let partial = template.with_extension("partial");
        let _ = fs::remove_dir_all(&partial);
        fs::create_dir(&partial)?;
        make(dialect, programs, extra, &partial)
            .await
            .with_context(|| format!("cannot make a data directory for {dialect}{}", log_tail(&partial)))?;
        fs::rename(&partial, &template)?;
    }
    Ok(template)
}

/// Two tests at once must not make the same template.
async fn lock(path: &Path) -> Result<File> {
    let file = File::create(path)?;
    until("the lock on the templates", MAKE_BOUND, async || match file.try_lock() {
        Ok(()) => Ok(Some(())),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error.into()),
    })
    .await?;
    Ok(file)
}

async fn make(dialect: Dialect, programs: &Programs, extra: &[String], folder: &Path) -> Result<()> {
    let options = folder.join("my.cnf");
    let place = Place { folder, address: Ipv4Addr::LOCALHOST, server_id: 1 };
    fs::write(&options, option_file(dialect, programs, &place, extra))?;
    let mut defaults = std::ffi::OsString::from("--defaults-file=");
    defaults.push(&options);
    let mut server = Command::new(programs.server());
    server.arg(defaults);
    match dialect {
        Dialect::MySql => make_mysql(server, folder).await?,
        Dialect::MariaDb => make_mariadb(server, programs, folder).await?,
    }
    // Each server gives itself a uuid at its first start.
    let _ = fs::remove_file(folder.join("data/auto.cnf"));
    Ok(())
}

/// Without a binlog, since the statements of the init file would be its first transactions.
async fn make_mysql(mut server: Command, folder: &Path) -> Result<()> {
    let sql = folder.join("init.sql");
    fs::write(&sql, initial_sql())?;
    let mut init_file = std::ffi::OsString::from("--init-file=");
    init_file.push(&sql);
    server.args(["--initialize-insecure", "--super-read-only=OFF", "--read-only=OFF", "--plugin-load-add="]);
    server.args(["--skip-log-bin", "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"]);
    server.arg(init_file);
    output(server, b"", MAKE_BOUND).await.map(drop)
}

/// What `mariadb-install-db` does, without the programs it looks for in system folders: the server's own scripts,
/// then ours, read by a server that neither listens nor checks rights.
async fn make_mariadb(mut server: Command, programs: &Programs, folder: &Path) -> Result<()> {
    const SCRIPTS: [&str; 5] = [
        "_system_tables.sql",
        "_performance_tables.sql",
        "_system_tables_data.sql",
        "_add_gis_sp_bootstrap.sql",
        "_sys_schema.sql",
    ];
    fs::create_dir_all(folder.join("data/mysql"))?;
    let mut sql =
        String::from("CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n");
    for script in SCRIPTS {
        // What their names begin with changed over time.
        let mut names = ["mysql", "maria", "mariadb"].iter().map(|family| format!("{family}{script}"));
        let path = names.find_map(|name| Some(programs.share().join(name)).filter(|path| path.is_file()));
        let path = path.with_context(|| format!("no file *{script} in {}", programs.share().display()))?;
        sql += &fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        sql.push('\n');
    }
    // Accounts cannot be made before the tables of rights are loaded.
    sql += "FLUSH PRIVILEGES;\n";
    sql += &initial_sql();
    server.args([
        "--bootstrap",
        "--skip-log-bin",
        "--read-only=OFF",
        "--innodb",
        "--enforce-storage-engine=",
    ]);
    server.args(["--max-allowed-packet=8M", "--net-buffer-length=16K"]);
    output(server, sql.as_bytes(), MAKE_BOUND).await.map(drop)
}

fn log_tail(folder: &Path) -> String {
    super::server::log_tail(&folder.join("error.log"))
}
