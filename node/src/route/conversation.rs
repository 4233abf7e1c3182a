//! Where a session stands: what has been said, whose turn it is, and what the router may still say itself.

use std::collections::VecDeque;

use super::{
    framing::{Framer, Packet},
    handshake::{self, Handshake},
    reply::{Reply, Step},
};

/// Commands that a client may send ahead of their replies before the router stops following them.
const PENDING_MAX: usize = 64;

/// One session's packets, in both directions.
#[derive(Default)]
pub(super) struct Conversation {
    phase: Phase,
    handshake: Handshake,
    client: Framer,
    server: Framer,
    pending: VecDeque<Reply>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The server has yet to greet.
    #[default]
    Greeting,
    /// Authentication, up to the server's OK; the client expects (or will expect, once it has answered) this number.
    Authentication { next_sequence: u8 },
    /// Commands and replies.
    Commands,
    /// Only bytes: TLS, compression, a session that is over, or one that the router could not follow.
    Opaque,
}

/// How a session may be ended by the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parting {
    /// By an error in place of the greeting.
    Greeting,
    /// By an error with this sequence number. `awaited` tells whether the client waits for something.
    Reply { sequence: u8, awaited: bool },
    /// Nothing can be said.
    Close,
}

impl Conversation {
    /// Bytes that came from the server, in order.
    pub(super) fn on_server(&mut self, mut bytes: &[u8]) {
        while self.phase != Phase::Opaque {
            let Some(packet) = self.server.next(&mut bytes) else { return };
            self.phase = match self.phase {
                Phase::Greeting => greeted(&packet, &mut self.handshake),
                Phase::Authentication { .. } => authenticating(&packet, self.handshake),
                Phase::Commands => replied(&packet, &mut self.pending, self.handshake),
                Phase::Opaque => Phase::Opaque,
            };
        }
    }

    /// Bytes that came from the client, in order.
    pub(super) fn on_client(&mut self, mut bytes: &[u8]) {
        while self.phase != Phase::Opaque {
            let Some(packet) = self.client.next(&mut bytes) else { return };
            self.phase = match self.phase {
                Phase::Authentication { .. } => answered(&packet, &mut self.handshake),
                Phase::Commands => commanded(&packet, &mut self.pending),
                // A client does not speak first; whatever this is, it is not followed.
                Phase::Greeting | Phase::Opaque => Phase::Opaque,
            };
        }
    }

    /// How many bytes of the server's packet under way are still to come, at least; 0 at a packet's boundary, and
    /// always 0 where packets cannot be read.
    pub(super) fn server_missing(&self) -> usize {
        if self.phase == Phase::Opaque { 0 } else { self.server.missing() }
    }

    /// Whether the session stands between two statements, or before its first: ending it now interrupts nothing.
    pub(super) fn is_between_statements(&self) -> bool {
        match self.phase {
            Phase::Greeting | Phase::Authentication { .. } => self.server_missing() == 0,
            Phase::Commands => self.parting() == Parting::Reply { sequence: 0, awaited: false },
            Phase::Opaque => false,
        }
    }

    /// Whether the router cannot tell where the session stands.
    pub(super) fn is_opaque(&self) -> bool {
        self.phase == Phase::Opaque
    }

    /// What the router may say now to end the session.
    pub(super) fn parting(&self) -> Parting {
        if self.server_missing() > 0 {
            return Parting::Close;
        }
        match (self.phase, self.pending.front()) {
            (Phase::Opaque, _) => Parting::Close,
            (Phase::Greeting, _) => Parting::Greeting,
            (Phase::Authentication { next_sequence }, _) => {
                Parting::Reply { sequence: next_sequence, awaited: true }
            }
            (Phase::Commands, Some(reply)) => {
                Parting::Reply { sequence: reply.next_sequence(), awaited: true }
            }
            (Phase::Commands, None) => match self.client.under_way() {
                Some(sequence) => Parting::Reply { sequence: sequence.wrapping_add(1), awaited: true },
                None => Parting::Reply { sequence: 0, awaited: false },
            },
        }
    }
}

/// After the server's first packet.
fn greeted(packet: &Packet<'_>, handshake: &mut Handshake) -> Phase {
    let Some(flags) = handshake::server_flags(packet.prefix) else { return Phase::Opaque };
    handshake.server = flags;
    Phase::Authentication { next_sequence: packet.sequence.wrapping_add(2) }
}

/// After a client's packet of the authentication. Its first one has the capability flags.
fn answered(packet: &Packet<'_>, handshake: &mut Handshake) -> Phase {
    if handshake.client == 0 {
        match handshake::client_flags(packet.prefix) {
            Some(flags) => handshake.client = flags,
            None => return Phase::Opaque,
        }
        if handshake.is_tls() {
            return Phase::Opaque;
        }
    }
    Phase::Authentication { next_sequence: packet.sequence.wrapping_add(1) }
}

/// After a server's packet of the authentication.
fn authenticating(packet: &Packet<'_>, handshake: Handshake) -> Phase {
    let next = match packet.prefix {
        [0x00, ..] if handshake.is_readable() => return Phase::Commands,
        [0x00 | 0xff, ..] => return Phase::Opaque,
        // caching_sha2_password says that the password was right; OK follows and the client says nothing.
        [0x01, 0x03] => 1,
        // The client's answer has the number in between.
        _ => 2,
    };
    Phase::Authentication { next_sequence: packet.sequence.wrapping_add(next) }
}

/// After a client's packet of the command phase.
fn commanded(packet: &Packet<'_>, pending: &mut VecDeque<Reply>) -> Phase {
    match pending.front_mut() {
        Some(reply) if reply.takes_client_packets() => reply.on_client(packet),
        _ => pending.extend(Reply::to_command(packet)),
    }
    if pending.len() > PENDING_MAX { Phase::Opaque } else { Phase::Commands }
}

/// After a server's packet of the command phase. One that nobody asked for is the server's farewell.
fn replied(packet: &Packet<'_>, pending: &mut VecDeque<Reply>, handshake: Handshake) -> Phase {
    let Some(reply) = pending.front_mut() else { return Phase::Opaque };
    match reply.on_server(packet, handshake) {
        Step::More => Phase::Commands,
        Step::Complete => {
            pending.pop_front();
            Phase::Commands
        }
        Step::Lost => Phase::Opaque,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::handshake::tests::{PLAIN, WITH_COMPRESS, WITH_SSL, greeting};
    use super::*;

    fn wire(sequence: u8, payload: &[u8]) -> Vec<u8> {
        let mut wire = (payload.len() as u32).to_le_bytes()[..3].to_vec();
        wire.push(sequence);
        wire.extend_from_slice(payload);
        wire
    }

    const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];

    fn awaited(sequence: u8) -> Parting {
        Parting::Reply { sequence, awaited: true }
    }
    const IDLE: Parting = Parting::Reply { sequence: 0, awaited: false };

    /// A session that has authenticated, the client having sent these flags.
    fn session(flags: u32) -> Conversation {
        let mut conversation = Conversation::default();
        assert_eq!(conversation.parting(), Parting::Greeting);
        conversation.on_server(&wire(0, &greeting(!(1 << 25))));
        assert_eq!(conversation.parting(), awaited(2));
        conversation.on_client(&wire(1, &[&flags.to_le_bytes()[..], &[0; 28], b"user\0\0"].concat()));
        conversation.on_server(&wire(2, OK));
        conversation
    }

    #[test]
    fn an_idle_session_is_told_out_of_turn_and_a_waiting_one_in_its_turn() {
        let mut conversation = session(PLAIN);
        assert_eq!(conversation.parting(), IDLE);
        conversation.on_client(&wire(0, b"\x03select 1"));
        assert_eq!(conversation.parting(), awaited(1));
        conversation.on_server(&wire(1, &[1]));
        assert_eq!(conversation.parting(), awaited(2));
        conversation.on_server(&wire(2, b"\x03def"));
        conversation.on_server(&wire(3, b"\xfe\0\0\x02\0"));
        assert_eq!(conversation.parting(), awaited(4));
        assert!(!conversation.is_between_statements());
        conversation.on_server(&wire(4, b"\xfe\0\0\x02\0"));
        assert_eq!(conversation.parting(), IDLE);
        assert!(conversation.is_between_statements());
    }

    #[test]
    fn nothing_is_said_within_a_packet() {
        let mut conversation = session(PLAIN);
        conversation.on_client(&wire(0, b"\x0e"));
        let ok = wire(1, OK);
        conversation.on_server(&ok[..6]);
        assert_eq!(conversation.server_missing(), ok.len() - 6);
        assert_eq!(conversation.parting(), Parting::Close);
        conversation.on_server(&ok[6..]);
        assert_eq!(conversation.parting(), IDLE);
    }

    #[test]
    fn a_command_half_sent_is_answered_in_its_turn() {
        let mut conversation = session(PLAIN);
        conversation.on_client(&wire(0, b"\x03select 1")[..7]);
        assert_eq!(conversation.parting(), awaited(1));
    }

    #[test]
    fn commands_sent_ahead_are_answered_one_by_one() {
        let mut conversation = session(PLAIN);
        conversation.on_client(&[wire(0, b"\x0e"), wire(0, b"\x19\x01\0\0\0"), wire(0, b"\x0e")].concat());
        conversation.on_server(&wire(1, OK));
        assert_eq!(conversation.parting(), awaited(1));
        conversation.on_server(&wire(1, OK));
        assert_eq!(conversation.parting(), IDLE);
    }

    #[test]
    fn tls_and_compression_are_let_alone() {
        for flags in [WITH_COMPRESS, WITH_SSL] {
            let mut conversation = session(flags);
            assert_eq!(conversation.parting(), Parting::Close);
            conversation.on_server(b"\x16\x03");
            assert_eq!((conversation.parting(), conversation.server_missing()), (Parting::Close, 0));
        }
    }

    #[test]
    fn after_a_servers_farewell_there_is_nothing_to_add() {
        let mut conversation = session(PLAIN);
        conversation.on_server(&wire(0, b"\xff\xbf\x0f#HY000idle"));
        assert_eq!(conversation.parting(), Parting::Close);
        let mut refused = Conversation::default();
        refused.on_server(&wire(0, b"\xff\x10\x04Too many connections"));
        assert_eq!(refused.parting(), Parting::Close);
    }

    #[test]
    fn authentication_keeps_count() {
        let mut conversation = Conversation::default();
        conversation.on_server(&wire(0, &greeting(PLAIN)));
        conversation.on_client(&wire(1, &[&PLAIN.to_le_bytes()[..], &[0; 28]].concat()));
        assert_eq!(conversation.parting(), awaited(2));
        conversation.on_server(&wire(2, &[1, 3]));
        assert_eq!(conversation.parting(), awaited(3));
        conversation.on_server(&wire(3, OK));
        assert_eq!(conversation.parting(), IDLE);
    }

    #[test]
    fn a_client_that_runs_far_ahead_is_no_longer_followed() {
        let mut conversation = session(PLAIN);
        for _ in 0..=PENDING_MAX {
            conversation.on_client(&wire(0, b"\x0e"));
        }
        assert_eq!(conversation.parting(), Parting::Close);
    }

    proptest! {
        #[test]
        fn where_a_session_stands_does_not_depend_on_how_its_bytes_arrive(
            cut in 0usize..1000,
            pieces in prop::collection::vec(1usize..40, 1..20),
        ) {
            let reply: &[&[u8]] = &[&[1], b"\x03def", b"\xfe\0\0\x02\0", b"\x01a", b"\xfe\0\0\x02\0"];
            let bytes: Vec<u8> = reply.iter().zip(1..).flat_map(|(p, i)| wire(i, p)).collect();
            let bytes = &bytes[..cut.min(bytes.len())];
            let [mut whole, mut pieced] = [session(PLAIN), session(PLAIN)];
            for conversation in [&mut whole, &mut pieced] {
                conversation.on_client(&wire(0, b"\x03select 1"));
            }
            whole.on_server(bytes);
            let mut rest = bytes;
            for size in pieces.iter().cycle() {
                if rest.is_empty() { break; }
                let (now, later) = rest.split_at((*size).min(rest.len()));
                pieced.on_server(now);
                rest = later;
            }
            prop_assert_eq!(whole.parting(), pieced.parting());
            prop_assert_eq!(whole.server_missing(), pieced.server_missing());
        }

        #[test]
        fn whatever_arrives_is_borne(
            pieces in prop::collection::vec((any::<bool>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..60)), 0..60),
            raw in prop::collection::vec(any::<u8>(), 0..200),
            greeted in any::<bool>(),
        ) {
            let mut conversation = if greeted { session(PLAIN) } else { Conversation::default() };
            for (from_server, sequence, payload) in &pieces {
                let bytes = wire(*sequence, payload);
                if *from_server { conversation.on_server(&bytes) } else { conversation.on_client(&bytes) }
                conversation.parting();
            }
            conversation.on_server(&raw);
            conversation.on_client(&raw);
            prop_assert!(conversation.pending.len() <= PENDING_MAX + 1);
        }
    }
}
