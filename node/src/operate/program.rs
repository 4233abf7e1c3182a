//! A program of the operator's: run without a shell, bounded, and killed with all that it started.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

/// More output than this ends the program.
const OUTPUT_MAX: u64 = 64 << 10;
/// Characters of the last line of its output that are kept.
const LINE_MAX: usize = 200;

/// What is to be run.
pub(super) struct Program<'a> {
    /// What messages call it.
    pub(super) what: &'a str,
    /// Program and arguments.
    pub(super) command: &'a [String],
    /// Beside this process's own environment.
    pub(super) environment: Vec<(&'static str, String)>,
    /// Its standard input.
    pub(super) input: Vec<u8>,
    /// It has to end, and its output to be closed, within this.
    pub(super) bound: Duration,
}

impl Program<'_> {
    /// Runs it. It succeeds by exit status 0 in time. What is said of it names the program and the last line that it
    /// wrote, never its arguments: they may hold a password.
    ///
    /// # Errors
    /// In words: not started, another status, or not done in time.
    pub(super) async fn run(self) -> Result<String, String> {
        let Self { what, command, environment, input, bound } = self;
        let [program, arguments @ ..] = command else { return Err(format!("no {what} is configured")) };
        let begun = Instant::now();
        let mut command = Command::new(program);
        command.args(arguments).envs(environment).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|e| format!("{what} {program} cannot be started: {e}"))?;
        let mut group = Group(child);
        let ran = timeout(bound, group.ends(&input)).await;
        let Ok((status, said)) = ran else {
            return Err(format!(
                "{what} {program} was not done within {} s and was killed",
                bound.as_secs_f64()
            ));
        };
        let said = said.map(|line| format!(": {line}")).unwrap_or_default();
        match status {
            Ok(status) if status.success() => {
                let took = begun.elapsed().as_millis();
                Ok(format!("{what} {program} ended with status 0 after {took} ms{said}"))
            }
            Ok(status) => Err(format!("{what} {program} ended with {}{said}", words(status))),
            Err(error) => Err(format!("{what} {program}: {error}")),
        }
    }
}

/// A program and its process group, killed as one when this is dropped before the program has ended.
struct Group(Child);

impl Group {
    /// Its status, and the last line it wrote. The program is reaped only after its output was closed: until then its
    /// process group is nobody else's.
    async fn ends(&mut self, input: &[u8]) -> (std::io::Result<ExitStatus>, Option<String>) {
        let (stdin, out, err) = (self.0.stdin.take(), self.0.stdout.take(), self.0.stderr.take());
        let told = async {
            if let Some(mut stdin) = stdin {
                // One that reads nothing needs nothing.
                let _ = stdin.write_all(input).await;
            }
        };
        let ((), out, err) = tokio::join!(told, last_line(out), last_line(err));
        (self.0.wait().await, err.or(out))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // None once it was reaped.
        let pid = self.0.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _gone_by_itself = kill_process_group(pid, Signal::KILL);
        }
    }
}

fn words(status: ExitStatus) -> String {
    status.code().map_or_else(|| "a signal".to_owned(), |code| format!("status {code}"))
}

async fn last_line(output: Option<impl AsyncRead + Unpin>) -> Option<String> {
    let mut bytes = Vec::new();
    output?.take(OUTPUT_MAX).read_to_end(&mut bytes).await.ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    Some(line.chars().filter(|c| !c.is_control()).take(LINE_MAX).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    async fn run(script: &str, bound: Duration) -> Result<String, String> {
        let command = ["/bin/sh", "-c", script, "sh", "s3cret"].map(str::to_owned);
        let environment = vec![("BATON_NODE", "db1".to_owned())];
        let program =
            Program { what: "hook", command: &command, environment, input: b"{\"a\":1}".to_vec(), bound };
        program.run().await
    }

    #[tokio::test]
    async fn it_reads_its_input_and_its_last_line_is_kept() {
        let said = run("echo begun; echo \"$(cat) at $BATON_NODE\"", LONG).await.unwrap();
        assert!(said.starts_with("hook /bin/sh ended with status 0 after"), "{said}");
        assert!(said.ends_with(": {\"a\":1} at db1") && !said.contains("s3cret"), "{said}");
        let failed = run("echo 'not now' >&2; exit 3", LONG).await.unwrap_err();
        assert_eq!(failed, "hook /bin/sh ended with status 3: not now");
    }

    #[tokio::test]
    async fn whatever_it_started_ends_with_it_at_its_bound() {
        let file = std::env::temp_dir().join(format!("baton-program-{}", std::process::id()));
        let script = format!("sleep 600 & echo $! > {}; wait", file.display());
        let late = run(&script, Duration::from_millis(500)).await.unwrap_err();
        assert_eq!(late, "hook /bin/sh was not done within 0.5 s and was killed");
        let child = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let gone = async {
            loop {
                let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
                if stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z ")) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LONG, gone).await.unwrap();
    }

    #[tokio::test]
    async fn one_that_never_stops_talking_is_ended() {
        let said = run("while :; do echo again; done", LONG).await.unwrap_err();
        assert!(said.contains("ended with"), "{said}");
    }
}
