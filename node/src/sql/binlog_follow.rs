//! A server's binlog, followed without end from behind a set of transactions: what comes is what that set lacks, wherever the
//! server's files begin and end.

use std::time::Duration;

use futures::StreamExt;
use mysql_async::binlog::BinlogVersion;
use mysql_async::binlog::events::{Event, FormatDescriptionEvent, PreviousGtidsEvent};
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest, Conn, Sid};
use tokio::time::{Instant, timeout};

use super::binlog::{BinlogReader, LOOK};
use super::binlog_event::{kind, previous_gtids};
use super::connector::Connector;
use super::error::SqlError;
use super::fields::text_at;
use super::wire::Wire;
use crate::gtid::{Dialect, GtidSet, ServerUuid};

/// Names this reader to the server, beside the one that reads a binlog once. A second one ends the connection of the first.
const FOLLOWER_ID: u32 = 4_294_901_761;
/// Between two signs of life of a server that has nothing to send. In nanoseconds, as servers take it.
const HEARTBEAT_NS: u64 = 2_000_000_000;
/// A server that sends nothing for so long is gone or stuck.
const SILENT: Duration = Duration::from_secs(20);
/// A server has purged what was asked for, or never had it.
const NOT_THERE: u16 = 1236;

/// A server, as its own transactions name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnId {
    /// MySQL: by `server_uuid`.
    Uuid(ServerUuid),
    /// MariaDB: by `server_id`.
    Id(u32),
}

/// Where a server's binlog stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinlogStart {
    /// Its version, in its own words.
    pub version: String,
    /// What the transactions that it commits first are called after.
    pub own_id: OwnId,
    /// Every transaction that it has.
    pub executed: GtidSet,
    /// What went before its oldest file: it has that, and cannot send it.
    pub purged: GtidSet,
}

/// Asks a server again and again which transactions it has.
pub struct Executed(Wire);

impl Executed {
    /// Which it has now.
    ///
    /// # Errors
    /// [`SqlError`]; it has to be asked anew then.
    pub async fn now(&mut self) -> Result<GtidSet, SqlError> {
        self.0.begin("ask which transactions there are", LOOK);
        Ok(asked(&mut self.0).await?.executed)
    }
}

impl BinlogReader {
    /// Where the binlog stands.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn start(&self) -> Result<BinlogStart, SqlError> {
        let none = || SqlError::Unsupported("it writes no binlog".into());
        let first = self.files().await?.into_iter().next().ok_or_else(none)?;
        let before = self.before(&first.name).await?;
        let mut start = asked(&mut self.wire("ask where the binlog stands").await?).await?;
        let mixed = |e: crate::gtid::DialectMismatch| SqlError::Unexpected(e.to_string());
        start.purged = start.purged.union(&before).map_err(mixed)?;
        Ok(start)
    }

    /// For asking again and again.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn executed(&self) -> Result<Executed, SqlError> {
        self.wire("ask which transactions there are").await.map(Executed)
    }

    /// Every transaction that `have` lacks, as they come. `have` must hold nothing that the server does not have.
    ///
    /// # Errors
    /// [`SqlError`]. That the server has them no more is said by the first event that is asked for.
    pub async fn follow(&self, have: &GtidSet) -> Result<BinlogTail, SqlError> {
        let what = "begin to follow the binlog";
        let conn = self.0.connect(Instant::now() + LOOK).await?;
        let id = conn.id();
        let late = || SqlError::TimedOut { what, after: LOOK };
        let begun = timeout(LOOK, begin(conn, have)).await;
        match begun.map_err(|_| late()).and_then(|begun| begun) {
            Ok(stream) => Ok(BinlogTail { stream, id, connector: self.0.clone() }),
            Err(error) => {
                self.0.forget(id);
                Err(error)
            }
        }
    }
}

/// MariaDB: the position is asked for first. What is in it was logged before, if it is logged here at all.
async fn asked(wire: &mut Wire) -> Result<BinlogStart, SqlError> {
    let odd = |e: String| SqlError::Unexpected(e);
    let missing = || odd("the server does not say which transactions it has".into());
    let ask = match wire.caps().dialect {
        Dialect::Mysql => "SELECT @@version, @@GLOBAL.gtid_purged, @@GLOBAL.gtid_executed, @@server_uuid",
        Dialect::Mariadb => {
            "SELECT @@version, @@GLOBAL.gtid_slave_pos, @@GLOBAL.gtid_binlog_state, @@GLOBAL.server_id"
        }
    };
    let row = wire.row(ask).await?.ok_or_else(missing)?;
    let text = |index| text_at(&row, index).ok_or_else(missing);
    let version = text(0)?;
    match wire.caps().dialect {
        Dialect::Mysql => {
            let purged = GtidSet::parse_mysql(&text(1)?).map_err(|e| odd(e.to_string()))?;
            let executed = GtidSet::parse_mysql(&text(2)?).map_err(|e| odd(e.to_string()))?;
            let own_id = OwnId::Uuid(text(3)?.parse().map_err(|_| missing())?);
            Ok(BinlogStart { version, own_id, executed, purged })
        }
        Dialect::Mariadb => {
            let position = GtidSet::parse_mariadb_pos(&text(1)?).map_err(|e| odd(e.to_string()))?;
            let state = GtidSet::parse_mariadb_state(&text(2)?).map_err(|e| odd(e.to_string()))?;
            // A server that was built from a copy has what its position names, and no binlog of it.
            let is_logged = match (&state, &position) {
                (GtidSet::Mariadb(state), GtidSet::Mariadb(position)) => state.contains_position(position),
                _ => true,
            };
            let purged = if is_logged { GtidSet::empty(Dialect::Mariadb) } else { position.clone() };
            let executed = state.union(&position).map_err(|e| odd(e.to_string()))?;
            let own_id = OwnId::Id(text(3)?.parse().map_err(|_| missing())?);
            Ok(BinlogStart { version, own_id, executed, purged })
        }
    }
}

async fn begin(mut conn: Conn, have: &GtidSet) -> Result<BinlogStream, SqlError> {
    let heartbeat =
        format!("SET @master_heartbeat_period={HEARTBEAT_NS}, @source_heartbeat_period={HEARTBEAT_NS}");
    conn.query_drop(heartbeat).await?;
    let request = BinlogStreamRequest::new(FOLLOWER_ID).with_pos(4_u64);
    let request = match have {
        GtidSet::Mysql(_) => request.with_gtid().with_gtid_set(sids(have)?),
        GtidSet::Mariadb(set) => {
            let position = set.position();
            // With a lower capability it writes its GTID events as something that older replicas understand.
            let dialect = format!(
                "SET @mariadb_slave_capability=4, @slave_connect_state='{position}', @slave_gtid_strict_mode=1, \
                 @slave_gtid_ignore_duplicates=0"
            );
            conn.query_drop(dialect).await?;
            request
        }
    };
    conn.get_binlog_stream(request).await.map_err(SqlError::from)
}

/// As the request takes them. The driver makes a tag only out of what it has read itself.
fn sids(have: &GtidSet) -> Result<Vec<Sid<'static>>, SqlError> {
    let odd = |e: std::io::Error| SqlError::Unexpected(format!("a set of GTIDs: {e}"));
    let body = previous_gtids(have);
    let format = FormatDescriptionEvent::new(BinlogVersion::Version4);
    let size = u32::try_from(body.len()).unwrap_or(u32::MAX).saturating_add(19);
    let mut bytes = vec![0; 4];
    bytes.push(kind::PREVIOUS_GTIDS);
    bytes.extend([0; 4]);
    bytes.extend(size.to_le_bytes());
    bytes.extend([0; 6]);
    bytes.extend(body);
    let event = Event::read(&format, bytes.as_slice()).map_err(odd)?;
    let read: PreviousGtidsEvent<'_> = event.read_event().map_err(odd)?;
    let read = read.into_owned();
    let sids = read.sids().iter().map(|entry| {
        let sid = Sid::new(entry.uuid()).with_intervals(entry.intervals().to_vec());
        match entry.tag() {
            Some(tag) => sid.with_tag(tag.clone()),
            None => sid,
        }
    });
    Ok(sids.collect())
}

/// Events as they come, for ever.
pub struct BinlogTail {
    stream: BinlogStream,
    id: u32,
    connector: Connector,
}

impl BinlogTail {
    /// The next event; a server that has nothing new says so every few seconds. Cancelling it loses nothing.
    ///
    /// # Errors
    /// [`SqlError`]; the stream is of no further use then.
    pub async fn next(&mut self) -> Result<Event, SqlError> {
        match timeout(SILENT, self.stream.next()).await {
            Ok(Some(event)) => event.map_err(SqlError::from),
            Ok(None) => Err(SqlError::Gone { message: "the binlog has ended".into() }),
            Err(_) => Err(SqlError::TimedOut { what: "follow the binlog", after: SILENT }),
        }
    }
}

impl SqlError {
    /// Whether the server cannot send what was asked of its binlog: it has purged it, or never logged it.
    #[must_use]
    pub fn is_not_in_binlog(&self) -> bool {
        matches!(self, Self::Other { errno: NOT_THERE, .. })
    }
}

impl Drop for BinlogTail {
    fn drop(&mut self) {
        self.connector.forget(self.id);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    /// UUID's length, tag and intervals of each.
    type Asked = Vec<(usize, String, Vec<(u64, u64)>)>;

    fn asked_for(text: &str) -> Asked {
        let sids = sids(&GtidSet::parse_mysql(text).unwrap()).unwrap();
        let entry = |sid: &Sid<'_>| {
            let tag = sid.tag().map(|tag| tag.as_str().to_owned()).unwrap_or_default();
            (sid.uuid().len(), tag, sid.intervals().iter().map(|i| (i.start(), i.end())).collect())
        };
        sids.iter().map(entry).collect()
    }

    #[test]
    fn a_set_is_asked_for_with_its_tags() {
        assert_eq!(asked_for(""), []);
        assert_eq!(asked_for(&format!("{UUID}:1-5:7")), [(16, String::new(), vec![(1, 6), (7, 8)])]);
        let tagged = asked_for(&format!("{UUID}:1-5:shop:3"));
        assert_eq!(tagged, [(16, String::new(), vec![(1, 6)]), (16, "shop".into(), vec![(3, 4)])]);
    }
}
