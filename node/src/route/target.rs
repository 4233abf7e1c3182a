//! Where a new session may go, and whether an old one may stay.

use std::net::SocketAddr;

use super::Routes;

/// Which of the router's ports a client came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    Writer,
    Reader,
}

impl Port {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Reader => "reader",
        }
    }
}

/// The server of a session and the role for which it was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    role: Role,
}

impl Target {
    /// The epoch of the writer for which it was chosen, `None` for a reader.
    pub(super) fn writer_epoch(&self) -> Option<u64> {
        match self.role {
            Role::Writer { epoch } => Some(epoch),
            Role::Reader => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Writer { epoch: u64 },
    Reader,
}

/// The servers to try for a new session, the best first; empty means wait.
///
/// `turn` rises with each connection to the reader port and makes the choice among the readers go round. The writer
/// comes last there, so that reads go on while no reader answers.
pub(super) fn candidates(port: Port, routes: &Routes, turn: usize) -> Vec<Target> {
    let epoch = routes.epoch;
    let writer = routes.writer.map(|address| Target { address, role: Role::Writer { epoch } });
    let mut targets = Vec::new();
    if port == Port::Reader {
        targets.extend(routes.readers.iter().map(|&address| Target { address, role: Role::Reader }));
        let len = targets.len();
        if len > 0 {
            targets.rotate_left(turn % len);
        }
    }
    targets.extend(writer);
    targets
}

/// What becomes of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on.
    Stays,
    /// It ends once its statement is answered.
    Leaves,
    /// It ends now.
    Ends,
}

/// What becomes of a session on `target` under `routes`.
///
/// A session of the writer port ends with the epoch it began in, and leaves before that where the epoch is about to end by
/// plan. A session of the reader port leaves when its reader leaves the list and still serves, such as one that has
/// become the writer, unless that reader is where a new session would be sent anyway; one that fell back to the writer
/// does not leave because a reader came back.
pub(super) fn fate(target: Target, routes: &Routes) -> Fate {
    let is_writer = routes.writer == Some(target.address);
    let (stays, leaves) = match target.role {
        Role::Writer { epoch } => {
            let same = same_opening(epoch, routes.epoch);
            (is_writer && same, same && routes.draining.contains(&target.address))
        }
        Role::Reader => {
            let stays = routes.readers.contains(&target.address) || (is_writer && routes.readers.is_empty());
            (stays, is_writer || routes.draining.contains(&target.address))
        }
    };
    match (stays, leaves) {
        (true, _) => Fate::Stays,
        (false, true) => Fate::Leaves,
        (false, false) => Fate::Ends,
    }
}

/// Adoption commits epoch 1 to a server that is open already and stays so; every other epoch begins with a closed one.
fn same_opening(then: u64, now: u64) -> bool {
    then == now || (then == 0 && now == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn routes(epoch: u64, writer: Option<u16>, readers: &[u16]) -> Routes {
        let readers = readers.iter().copied().map(address).collect();
        Routes { epoch, writer: writer.map(address), readers, draining: Vec::new() }
    }

    fn ports(port: Port, routes: &Routes, turn: usize) -> Vec<u16> {
        candidates(port, routes, turn).iter().map(|t| t.address.port()).collect()
    }

    #[test]
    fn the_writer_port_knows_only_the_writer() {
        assert_eq!(ports(Port::Writer, &routes(1, Some(1), &[2, 3]), 0), [1]);
        assert!(ports(Port::Writer, &routes(1, None, &[2, 3]), 0).is_empty());
    }

    #[test]
    fn readers_take_turns_and_the_writer_comes_last() {
        let all = routes(1, Some(1), &[2, 3]);
        assert_eq!(ports(Port::Reader, &all, 0), [2, 3, 1]);
        assert_eq!(ports(Port::Reader, &all, 1), [3, 2, 1]);
        assert_eq!(ports(Port::Reader, &routes(1, Some(1), &[]), 5), [1]);
        assert!(ports(Port::Reader, &routes(1, None, &[]), 5).is_empty());
    }

    fn draining(server: u16, routes: Routes) -> Routes {
        Routes { draining: vec![address(server)], ..routes }
    }

    #[test]
    fn a_writer_session_ends_with_its_epoch() {
        let target = candidates(Port::Writer, &routes(3, Some(1), &[]), 0)[0];
        for (now, fate_then, why) in [
            (routes(3, Some(1), &[2]), Fate::Stays, "nothing has changed"),
            (routes(3, None, &[]), Fate::Ends, "the writer is lost"),
            (draining(1, routes(3, None, &[])), Fate::Leaves, "about to be closed by plan"),
            (draining(2, routes(3, None, &[])), Fate::Ends, "another one leaves"),
            (draining(1, routes(4, Some(2), &[])), Fate::Ends, "its epoch is over"),
            (routes(4, Some(2), &[]), Fate::Ends, "its epoch is over"),
            (routes(4, Some(1), &[]), Fate::Ends, "reopened: it was closed in between"),
        ] {
            assert_eq!(fate(target, &now), fate_then, "{why}");
        }
    }

    #[test]
    fn adoption_cuts_nothing() {
        let target = candidates(Port::Writer, &routes(0, Some(1), &[]), 0)[0];
        assert_eq!(fate(target, &routes(1, Some(1), &[])), Fate::Stays);
        assert_eq!(fate(target, &routes(2, Some(1), &[])), Fate::Ends);
    }

    #[test]
    fn a_reader_session_ends_when_its_reader_leaves_the_list() {
        let target = candidates(Port::Reader, &routes(1, Some(1), &[2, 3]), 0)[0];
        for (now, fate_then, why) in [
            (routes(2, Some(3), &[2]), Fate::Stays, "still a reader"),
            (routes(2, Some(1), &[3]), Fate::Ends, "nobody knows whether it is there"),
            (draining(2, routes(2, Some(1), &[3])), Fate::Leaves, "it lags, and answers"),
            (draining(2, routes(2, Some(1), &[])), Fate::Leaves, "it lags, and the writer is better"),
            (routes(2, Some(2), &[3]), Fate::Leaves, "promoted, and other readers are there"),
            (routes(2, Some(2), &[]), Fate::Stays, "promoted, and nowhere better to go"),
        ] {
            assert_eq!(fate(target, &now), fate_then, "{why}");
        }
    }

    #[test]
    fn a_session_that_fell_back_to_the_writer_stays_there() {
        let target = candidates(Port::Reader, &routes(1, Some(1), &[]), 0)[0];
        assert_eq!(fate(target, &routes(1, Some(1), &[2])), Fate::Stays);
        assert_eq!(fate(target, &routes(2, Some(2), &[1])), Fate::Ends);
    }
}
