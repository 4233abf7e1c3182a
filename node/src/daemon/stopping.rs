//! The two commands that a stop goes through: `stop` for a node and `stop-server` for the server beside it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use super::claim;
use super::servers::Servers;
use crate::config::Loaded;
use crate::guard::keeper::{Client, ClientError};
use crate::guard::process::ServerProcess;
use crate::sql::{Address, CloseOptions, ManagedServer, SqlServer};

/// The daemon closes its server, which has bounds of its own, or the keeper ends it.
const CLOSED_WITHIN: Duration = Duration::from_secs(20);
/// How often the keeper is asked meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// systemd answers at once, or is not the one that stops the node.
const SYSTEMD_WITHIN: Duration = Duration::from_secs(2);
/// Writing back what is in memory takes its time. Whatever bound the unit has comes first.
const ORDERLY_WITHIN: Duration = Duration::from_secs(600);
/// Closing a server before it is stopped, its connection included. New writes queue meanwhile.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Readies this node for a stop for good: the unit's `ExecStop=`. Says what was found or done.
///
/// A restart needs nothing of it, nor does a node whose server is not under a lease. With `force` the daemon closes its
/// server, and the others move the write role.
///
/// # Errors
/// Why the node should not be stopped now, and what to do first.
pub async fn stop(loaded: &Loaded, force: bool) -> Result<String, String> {
    let run_dir = &loaded.config.paths.run;
    let keeper = match Client::connect(run_dir).await {
        Ok(keeper) => keeper,
        Err(ClientError::Connect { .. }) => {
            return Ok("no keeper runs here, so no server is under a lease".into());
        }
        Err(error) => return Err(error.to_string()),
    };
    if keeper.hello().holding.is_none() {
        return Ok("the server here is not under a lease: the node may stop".into());
    }
    let name = &loaded.me.name;
    let daemon =
        claim::holder(run_dir).ok_or("the server here is under a lease, and no daemon of this node runs")?;
    if is_restarted(daemon).await {
        return Ok("a restart: the lease is handed over to the next process".into());
    }
    if !force {
        return Err(format!(
            "{name}'s server is the writer: move the write role first (`batonctl switchover`, or where that is refused \
             `batonctl failover --force --to NODE --reason TEXT`), or stop in a pause (`batonctl pause --for 30m`), or \
             pass --force, which closes the server at once"
        ));
    }
    let pid = Pid::from_raw(daemon).ok_or("the daemon has no pid")?;
    kill_process(pid, Signal::USR1).map_err(|error| format!("the daemon cannot be told: {error}"))?;
    let until = Instant::now() + CLOSED_WITHIN;
    while keeper.status().await.map_err(|error| error.to_string())?.holding.is_some() {
        if Instant::now() >= until {
            return Err(format!("{name}'s server has not been closed within {} s", CLOSED_WITHIN.as_secs()));
        }
        sleep(LOOK_AGAIN).await;
    }
    Ok(format!("{name}'s server is closed; the others choose the next writer"))
}

/// Whether systemd restarts the unit of this process. Anything else that stops it counts as for good.
async fn is_restarted(pid: i32) -> bool {
    let Ok(groups) = std::fs::read_to_string(format!("/proc/{pid}/cgroup")) else { return false };
    let Some(unit) = unit_of(&groups) else { return false };
    let mut jobs = Command::new("systemctl");
    jobs.args(["list-jobs", "--no-legend", "--plain", "--no-pager"]).kill_on_drop(true);
    match timeout(SYSTEMD_WITHIN, jobs.output()).await {
        Ok(Ok(output)) => names_restart(&String::from_utf8_lossy(&output.stdout), unit),
        _ => false,
    }
}

/// The unit that a process belongs to, from its `/proc/PID/cgroup`.
fn unit_of(groups: &str) -> Option<&str> {
    groups.lines().filter_map(|line| line.rsplit('/').next()).find(|name| name.ends_with(".service"))
}

/// Whether `systemctl list-jobs` names a restart of the unit: number, unit, type, state. While a restart stops a unit its
/// job is still of that type; it becomes `start` afterwards.
fn names_restart(jobs: &str, unit: &str) -> bool {
    jobs.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).any(|words| {
        matches!(&words[..], [_, name, kind, ..] if *name == unit && matches!(*kind, "restart" | "try-restart"))
    })
}

/// Stops the server beside this node safely, as its unit's `ExecStop=`: closes it first, so that an orderly stop finds no
/// commit that waits for an acker, and SIGKILLs it when that does not finish. Says what was done.
///
/// # Errors
/// When the process cannot be signalled, or a closed one does not end.
pub async fn stop_server(loaded: &Loaded, pid: i32) -> Result<String, String> {
    let process = match ServerProcess::find(pid) {
        Ok(process) => process,
        Err(error) => return Ok(format!("nothing to stop: {error}")),
    };
    let closed = match timeout(CLOSE_WITHIN, close(loaded)).await {
        Ok(closed) => closed,
        Err(_) => Err(format!("no answer within {} s", CLOSE_WITHIN.as_secs())),
    };
    match closed {
        Ok(()) => {
            process.terminate().map_err(|error| error.to_string())?;
            let until = Instant::now() + ORDERLY_WITHIN;
            while !process.has_exited() {
                if Instant::now() >= until {
                    return Err(format!(
                        "closed, but it has not ended within {} s",
                        ORDERLY_WITHIN.as_secs()
                    ));
                }
                sleep(LOOK_AGAIN).await;
            }
            Ok("the server was closed, and stopped in an orderly way".into())
        }
        Err(why) => {
            process.kill().map_err(|error| error.to_string())?;
            Ok(format!("the server could not be closed ({why}); it was sent SIGKILL, not an orderly stop"))
        }
    }
}

async fn close(loaded: &Loaded) -> Result<(), String> {
    let servers = Arc::new(Servers::new(&loaded.config, !loaded.me.is_witness())?);
    let socket: &Path = &loaded.config.server.socket;
    let server = SqlServer::new(&servers.connector(Address::Socket(socket.to_owned())));
    let proof = server.close(&CloseOptions::default()).await.map_err(|error| error.to_string())?;
    let accepts = servers.accepts();
    let gaps = proof.gaps(|account| accepts(account));
    if gaps.is_empty() { Ok(()) } else { Err(gaps.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_is_told_from_a_stop_by_systemds_jobs() {
        let unit = unit_of("0::/system.slice/system-baton\\x2dnode.slice/baton-node@db1.service\n");
        assert_eq!(unit, Some("baton-node@db1.service"));
        assert_eq!(unit_of("0::/user.slice/user-0.slice/session-1.scope\n"), None);
        let jobs = "1201 baton-node@db1.service restart running\n1202 cron.service stop waiting\n";
        assert!(names_restart(jobs, "baton-node@db1.service"));
        assert!(!names_restart(jobs, "cron.service"));
        assert!(!names_restart(&jobs.replace("restart", "stop"), "baton-node@db1.service"));
        assert!(!names_restart("No jobs running.\n", "baton-node@db1.service"));
    }
}
