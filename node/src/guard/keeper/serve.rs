//! The keeper's loop: one thread that waits for the deadline, the server's exit, requests and a stop.
//!
//! Nothing on the way to a kill waits: sockets never block, and no file or log line is written between two kills but
//! after one. The deadline is looked at first on each turn.

use std::io::{self, Read};
use std::mem;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;

use super::connection::Connection;
use super::hold::{End, Hold};
use super::protocol::{Answer, Call, CallId, Held, Message, PROTOCOL_VERSION, Refusal, Request, Status};
use super::record::KillRecord;
use super::run::KeeperError;
use super::timer::Timer;
use crate::guard::clock::{BootId, Boottime};
use crate::guard::process::ServerProcess;

/// A daemon has one connection, a restarted one comes beside it.
const MAX_CONNECTIONS: usize = 8;
/// Hard fence commands that are waited for at once. More are started, and stay zombies until the keeper ends.
const MAX_FENCES: usize = 8;

/// How a keeper is set up.
#[derive(Clone, Debug)]
pub struct KeeperOptions {
    /// Where its socket, its lock and its record are. Belongs to it alone, on a memory file system (`/run`).
    pub run_dir: PathBuf,
    /// Program and arguments run after a SIGKILL at a deadline, also when the SIGKILL was refused. It gets
    /// `BATON_EPOCH` and `BATON_SERVER_PID`, and nobody waits for it.
    pub hard_fence_command: Option<Vec<String>>,
}

/// Runs the loop on a listening socket until it is told to stop while it holds nothing.
///
/// A byte on `stop` is one wish to stop, forgotten if a server is held; its other end closed is a wish that stays.
///
/// # Errors
/// Only when the kernel gives it no timer or refuses to wait: nothing a peer does ends it.
pub fn serve(listener: &UnixListener, stop: UnixStream, options: &KeeperOptions) -> Result<(), KeeperError> {
    let looping = |source| KeeperError::Io { doing: "wait for events", source };
    listener.set_nonblocking(true).map_err(looping)?;
    stop.set_nonblocking(true).map_err(looping)?;
    let mut keeper = Keeper {
        options,
        boot_id: BootId::current().map_err(looping)?,
        hold: Hold::default(),
        killed: None,
        timer: Timer::new().map_err(looping)?,
        connections: Vec::with_capacity(MAX_CONNECTIONS),
        stop: Some(stop),
        stop_asked: false,
        hard_fence: options.hard_fence_command.clone(),
        fences: Vec::new(),
    };
    while !keeper.may_stop() {
        keeper.turn(listener).map_err(looping)?;
    }
    Ok(())
}

struct Keeper<'a> {
    options: &'a KeeperOptions,
    boot_id: BootId,
    hold: Hold<ServerProcess>,
    killed: Option<KillRecord>,
    timer: Timer,
    connections: Vec<Connection>,
    /// `None` once its other end is closed.
    stop: Option<UnixStream>,
    stop_asked: bool,
    /// What to run after a kill; a daemon may have set another than it was started with.
    hard_fence: Option<Vec<String>>,
    fences: Vec<Child>,
}

/// Which of the things waited for have something to say.
struct Ready {
    listener: bool,
    stop: bool,
    server: bool,
    connections: Vec<PollFlags>,
}

impl Keeper<'_> {
    /// A wish to stop counts only while nothing is held.
    fn may_stop(&mut self) -> bool {
        let asked = mem::take(&mut self.stop_asked);
        self.hold.held().is_none() && (asked || self.stop.is_none())
    }

    fn turn(&mut self, listener: &UnixListener) -> io::Result<()> {
        self.timer.set(self.hold.next_due())?;
        let ready = self.wait(listener)?;
        self.end_lease();
        if ready.server
            && let Some(exit) = self.hold.reap_exited()
        {
            self.tell_all(&Message::Exited(exit));
        }
        for (index, flags) in ready.connections.iter().enumerate() {
            if flags.contains(PollFlags::OUT) {
                self.connections[index].flush();
            }
            if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                self.hear(index);
            }
        }
        self.connections.retain(Connection::is_open);
        if ready.listener {
            self.accept(listener);
        }
        if ready.stop {
            self.read_stop();
        }
        self.fences.retain_mut(|fence| matches!(fence.try_wait(), Ok(None)));
        Ok(())
    }

    fn wait(&self, listener: &UnixListener) -> io::Result<Ready> {
        let mut fds = Vec::with_capacity(4 + MAX_CONNECTIONS);
        fds.push(PollFd::new(&self.timer, PollFlags::IN));
        fds.push(PollFd::new(listener, PollFlags::IN));
        let stop = self.stop.as_ref().map(|stop| PollFd::new(stop, PollFlags::IN));
        let server = self.hold.process().map(|process| PollFd::new(process, PollFlags::IN));
        let (has_stop, has_server) = (stop.is_some(), server.is_some());
        fds.extend(stop.into_iter().chain(server));
        fds.extend(self.connections.iter().map(|connection| PollFd::new(connection, connection.interest())));
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut flags = fds.iter().map(PollFd::revents).skip(1);
        let mut next = |there: bool| there && flags.next().is_some_and(|flags| !flags.is_empty());
        let (listener, stop, server) = (next(true), next(has_stop), next(has_server));
        Ok(Ready { listener, stop, server, connections: flags.collect() })
    }

    /// Kills what is due; everything else about it comes after the signal.
    fn end_lease(&mut self) {
        let now = Boottime::now();
        let Some((held, end)) = self.hold.end_lease(now) else { return };
        let (delivered, fence, why) = match end {
            End::Killed => (true, true, "its lease ended without an extension".to_owned()),
            End::Exited => {
                (true, false, "its lease ended; SIGKILL was refused first, then it exited".to_owned())
            }
            End::Refused { first, last, error } if first || last => (false, first, error.to_string()),
            End::Refused { .. } => return,
        };
        let record = self.record(held, now, delivered, why);
        self.killed = Some(record.clone());
        self.tell_all(&Message::Killed(record.clone()));
        if fence {
            self.run_hard_fence(held);
        }
        // A full or read-only run directory loses the record, not the kill; a daemon that is connected has it already.
        drop(record.write(&self.options.run_dir));
    }

    fn record(&self, held: Held, now: Boottime, delivered: bool, why: String) -> KillRecord {
        KillRecord {
            epoch: held.epoch,
            pid: held.pid,
            start_time_ticks: held.start_time_ticks,
            deadline: held.deadline.unwrap_or(now),
            killed_at: now,
            time: Timestamp::now(),
            boot_id: self.boot_id.clone(),
            delivered,
            why,
        }
    }

    fn run_hard_fence(&mut self, held: Held) {
        let Some([program, arguments @ ..]) = self.hard_fence.as_deref() else { return };
        let started = Command::new(program)
            .args(arguments)
            .env("BATON_EPOCH", held.epoch.to_string())
            .env("BATON_SERVER_PID", held.pid.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        if self.fences.len() < MAX_FENCES {
            self.fences.extend(started);
        }
    }

    fn tell_all(&mut self, message: &Message) {
        for connection in self.connections.iter_mut().filter(|connection| connection.greeted) {
            connection.send(message);
        }
    }

    fn hear(&mut self, index: usize) {
        self.connections[index].receive();
        while let Some(line) = self.connections[index].next_line() {
            let (id, answer) = match serde_json::from_slice::<Call>(&line) {
                Ok(call) => (call.id, self.answer(index, call.request)),
                Err(error) => {
                    let id = serde_json::from_slice(&line).map_or(0, |CallId { id }| id);
                    (id, Answer::Refused(Refusal::Malformed { reason: error.to_string() }))
                }
            };
            self.connections[index].send(&Message::Answer { id, answer });
            self.end_lease();
        }
    }

    fn answer(&mut self, index: usize, request: Request) -> Answer {
        match self.act(index, request) {
            Ok(()) => Answer::Done(self.status()),
            Err(refusal) => Answer::Refused(refusal),
        }
    }

    fn act(&mut self, index: usize, request: Request) -> Result<(), Refusal> {
        let now = Boottime::now();
        match request {
            Request::Hello { version } if version == PROTOCOL_VERSION => {
                self.connections[index].greeted = true;
                Ok(())
            }
            Request::Hello { .. } => Err(Refusal::Version { version: PROTOCOL_VERSION }),
            // Understood without a hello, so that a daemon of another protocol can replace an idle keeper.
            Request::Stop if self.hold.held().is_some() => Err(Refusal::Holding),
            Request::Stop => {
                self.stop_asked = true;
                Ok(())
            }
            _ if !self.connections[index].greeted => {
                Err(Refusal::Malformed { reason: "a connection begins with hello".to_owned() })
            }
            Request::Arm(request) => self.hold.arm(&request, now, ServerProcess::find_exact),
            Request::Extend { epoch, pid, deadline } => self.hold.extend((epoch, pid), deadline, now),
            Request::Closed { epoch, pid } => self.hold.closed(epoch, pid),
            Request::Disarm { epoch, pid } => self.hold.disarm(epoch, pid, now),
            Request::HardFence { command } => {
                self.hard_fence = command;
                Ok(())
            }
            Request::Status => Ok(()),
        }
    }

    fn status(&self) -> Status {
        Status {
            version: PROTOCOL_VERSION,
            keeper_pid: rustix::process::getpid().as_raw_pid(),
            boot_id: self.boot_id.clone(),
            newest_epoch: self.hold.newest_epoch(),
            holding: self.hold.held(),
            killed: self.killed.clone(),
        }
    }

    /// One connection a turn. Only this user and root are heard; the run directory's mode says the same.
    fn accept(&mut self, listener: &UnixListener) {
        let Ok((stream, _)) = listener.accept() else { return };
        let trusted = socket_peercred(&stream).is_ok_and(|peer| peer.uid.is_root() || peer.uid == geteuid());
        if trusted && self.connections.len() < MAX_CONNECTIONS {
            self.connections.extend(Connection::new(stream));
        }
    }

    fn read_stop(&mut self) {
        let mut wishes = [0; 16];
        match self.stop.as_mut().map(|stop| stop.read(&mut wishes)) {
            Some(Ok(0)) => self.stop = None,
            Some(Ok(_)) => self.stop_asked = true,
            _ => {}
        }
    }
}
