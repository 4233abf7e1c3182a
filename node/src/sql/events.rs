//! Events of a server and whether they run. A replica marks every event of its source as not to run there, also those
//! that do not run at the source (tried: MySQL 9.7, MariaDB 10.11), so a new writer cannot tell which of them should.

use super::accounts;
use super::error::SqlError;
use super::fields::{Fields, quote, text_at};
use super::grants::Place;
use super::managed::{EventSeen, EventsSeen, Permit};
use super::wire::Wire;

/// The scheduler, and the events that run where it is on.
pub(super) async fn seen(wire: &mut Wire) -> Result<EventsSeen, SqlError> {
    let visible = accounts::grants(wire).await?.holds("EVENT", Place::Everywhere);
    let sql = "SELECT @@global.event_scheduler AS scheduler, COUNT(e.EVENT_NAME) AS enabled \
               FROM (SELECT 1) AS one LEFT JOIN information_schema.EVENTS e ON e.STATUS = 'ENABLED'";
    let row = wire.row(sql).await?.map(|row| Fields::of_row(&row)).unwrap_or_default();
    Ok(EventsSeen {
        scheduler: row.is_on(&["scheduler"]),
        enabled: row.number(&["enabled"]).unwrap_or(0),
        visible,
    })
}

/// The events that this account sees; a few hundred are looked at.
pub(super) async fn list(wire: &mut Wire) -> Result<Vec<EventSeen>, SqlError> {
    let sql = "SELECT EVENT_SCHEMA, EVENT_NAME, DEFINER, STATUS, ORIGINATOR, SQL_MODE, TIME_ZONE, \
               CHARACTER_SET_CLIENT, COLLATION_CONNECTION, @@global.server_id AS SERVER_ID \
               FROM information_schema.EVENTS ORDER BY EVENT_SCHEMA, EVENT_NAME LIMIT 1000";
    Ok(wire.rows(sql).await?.iter().filter_map(|row| event(&Fields::of_row(row))).collect())
}

fn event(row: &Fields) -> Option<EventSeen> {
    let text = |name: &str| row.text(&[name]).unwrap_or_default().to_owned();
    let status = row.text(&["status"])?;
    let elsewhere = ["REPLICA_SIDE_DISABLED", "SLAVESIDE_DISABLED"].contains(&status)
        && row.text(&["originator"]) != row.text(&["server_id"]);
    Some(EventSeen {
        schema: row.filled(&["event_schema"])?.to_owned(),
        name: row.filled(&["event_name"])?.to_owned(),
        definer: text("definer"),
        enabled: status == "ENABLED",
        from_elsewhere: elsewhere,
        sql_mode: text("sql_mode"),
        time_zone: text("time_zone"),
        character_set: text("character_set_client"),
        collation: text("collation_connection"),
    })
}

/// Enables an event under its own definer, on a connection of its own: what the session is set to becomes part of it.
pub(super) async fn enable(wire: &mut Wire, event: &EventSeen, permit: &Permit) -> Result<(), SqlError> {
    let [session, sql] = enabling(event);
    wire.run(&session).await?;
    permit.check(&sql)?;
    wire.run(&sql).await
}

/// The statements that enable an event, in their order.
pub(super) fn enabling(event: &EventSeen) -> [String; 2] {
    let settings = [
        ("sql_mode", &event.sql_mode),
        ("time_zone", &event.time_zone),
        ("character_set_client", &event.character_set),
        ("collation_connection", &event.collation),
    ];
    let set: Vec<String> =
        settings.iter().map(|(name, value)| format!("SESSION {name}={}", quote(value))).collect();
    [format!("SET {}", set.join(", ")), statement(event)]
}

/// The statement that switches the scheduler; none where it is as good as off already.
///
/// # Errors
/// [`SqlError::Unsupported`] for one that cannot be switched on.
pub(super) async fn switching(wire: &mut Wire, on: bool) -> Result<Option<String>, SqlError> {
    let row = wire.row("SELECT @@global.event_scheduler").await?;
    let now = row.and_then(|row| text_at(&row, 0)).unwrap_or_default();
    match (now.as_str(), on) {
        // As good as off, and neither can be set.
        ("DISABLED", false) => Ok(None),
        ("DISABLED", true) => {
            let why = "event_scheduler=DISABLED: start the server with event_scheduler=OFF";
            Err(SqlError::Unsupported(why.into()))
        }
        _ => Ok(Some(format!("SET GLOBAL event_scheduler={}", if on { "ON" } else { "OFF" }))),
    }
}

fn statement(event: &EventSeen) -> String {
    let (user, host) = event.definer.rsplit_once('@').unwrap_or((&event.definer, "%"));
    let name = |text: &str| format!("`{}`", text.replace('`', "``"));
    format!(
        "ALTER DEFINER={}@{} EVENT {}.{} ENABLE",
        name(user),
        name(host),
        name(&event.schema),
        name(&event.name)
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn row(status: &str, originator: &str) -> Fields {
        Fields::of(&[
            ("EVENT_SCHEMA", "app"),
            ("EVENT_NAME", "a`b"),
            ("DEFINER", "o@wner@10.0.0.%"),
            ("STATUS", status),
            ("ORIGINATOR", originator),
            ("SERVER_ID", "2"),
        ])
    }

    #[test]
    fn what_came_by_replication_is_told_from_what_was_disabled_here() {
        let seen =
            |status, originator| event(&row(status, originator)).map(|e| (e.enabled, e.from_elsewhere));
        assert_eq!(seen("ENABLED", "2"), Some((true, false)));
        assert_eq!(seen("REPLICA_SIDE_DISABLED", "1"), Some((false, true)));
        assert_eq!(seen("SLAVESIDE_DISABLED", "1"), Some((false, true)));
        assert_eq!(seen("SLAVESIDE_DISABLED", "2"), Some((false, false)));
        assert_eq!(seen("DISABLED", "1"), Some((false, false)));
    }

    #[test]
    fn names_cannot_leave_their_quotes() {
        let sql = statement(&event(&row("ENABLED", "1")).unwrap());
        assert_eq!(sql, "ALTER DEFINER=`o@wner`@`10.0.0.%` EVENT `app`.`a``b` ENABLE");
    }
}
